"""Training stages in several processes, one for each card, started by torchrun.

The run itself is one process: it starts these, shows their progress, and takes their figures. Of
what a stage does nothing is known here.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from typing import Any

from zelo import errors
from zelo._common.journal import Journal
from zelo.errors import ScoringError, ZeloError
from zelo.evaluation.experiment import Stage as Tell
from zelo.training.learning.launched import is_first

__all__ = ["end_with_the_run", "launch", "work"]

Figures = dict[str, Any]
LOCK = "training.sqlite"
"""Held by the first process while it trains: should the run be killed, that one lives on for a
moment, and a new run must not train beside it."""


def launch(settings: Figures, stage: str, processes: int, tell: Tell) -> Figures:
    """Carry out a stage of a run in so many processes, and return its figures.

    Args:
        settings: of the run, as JSON.
        stage: its name.
        processes: how many.
        tell: of the progress.

    Raises:
        ZeloError: what the first process raised.
        ScoringError: they ended without a word.
    """
    log = pathlib.Path(settings["out"], f"{stage}.log")
    with tempfile.TemporaryDirectory(prefix="zelo-") as folder:
        job, answer = pathlib.Path(folder, "job.json"), pathlib.Path(folder, "answer.json")
        job.write_text(json.dumps({"settings": settings, "stage": stage, "answer": str(answer)}))
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(processes), "-m", "zelo.training.pipeline.worker", str(job)),
        ]
        with (
            log.open("w", encoding="utf-8") as errors_to,
            subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=subprocess.PIPE,  # by which they see that this process has gone
                stdout=subprocess.PIPE,
                stderr=errors_to,
                text=True,
            ) as started,
        ):
            assert started.stdout is not None  # noqa: S101 - it is a pipe
            _follow(started.stdout, tell)
        if not answer.exists():
            message = (
                f"{stage}: its {processes} processes ended with status {started.returncode}; what "
                f"they wrote is in {log}; the last checkpoint is kept"
            )
            raise ScoringError(message)
        found: Figures = json.loads(answer.read_text())
    log.unlink()
    if "error" in found:
        kind: Any = getattr(errors, found["error"], ZeloError)
        raise kind(found["message"])
    return found


def work(carry_out: Callable[[Tell], Figures], folder: pathlib.Path, answer: pathlib.Path) -> None:
    """Do one process's part of a stage; the first one holds the lock, tells and answers."""
    if not is_first():
        carry_out(lambda what: lambda done, total: None)
        return
    try:
        with Journal(folder / LOCK):
            found = carry_out(_tell)
    except ZeloError as error:
        found = {"error": type(error).__name__, "message": str(error)}
    answer.write_text(json.dumps(found))
    if "error" in found:
        sys.exit(1)  # which ends the others


def end_with_the_run() -> None:
    """End this process at once when the run has gone, though it was killed; the others do the same.

    Standard input is a pipe that only the run can write to, and never does: it ends with the run.
    """

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="zelo-run-watch", daemon=True).start()


def _follow(lines: Iterable[str], tell: Tell) -> None:
    """Hand on the progress that the first process tells."""
    begun: dict[str, Any] = {}
    for line in lines:
        try:
            what, done, total = json.loads(line)
        except (ValueError, TypeError):  # something else that was printed
            continue
        if what not in begun:
            begun[what] = tell(what)
        begun[what](done, total)


def _tell(what: str) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        sys.stdout.write(json.dumps([what, done, total]) + "\n")
        sys.stdout.flush()

    return progress
