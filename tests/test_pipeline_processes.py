"""Training stages of a run in several processes: what one process does, and errors passed on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pipeline_kit import CONFIG, prepare

from zelo import ScoringError
from zelo._common.journal import Journal
from zelo.errors import ModelFileError
from zelo.training.pipeline import read_config, run
from zelo.training.pipeline.launching import LOCK, launch, work
from zelo.training.pipeline.stage import Tell

TRAINED = "pointwise"


def trained(folder: Path, processes: int) -> Any:
    """What training told."""
    folder.mkdir()
    path = prepare(folder, CONFIG.replace("[pointwise]", f"[pointwise]\nprocesses = {processes}"))
    told: list[tuple[str, int, int]] = []
    report = run(
        read_config(path),
        until=TRAINED,
        on_stage=lambda what: lambda done, total: told.append((what, done, total)),
    )
    steps = [(done, total) for what, done, total in told if what == f"{TRAINED}: training"]
    return report["stages"][TRAINED], steps


def losses(folder: Path) -> list[float]:
    """The losses on held-out queries of a learning curve."""
    curve = (folder / "work" / "model" / "curve.jsonl").read_text(encoding="utf-8")
    points = [json.loads(line)["held_out"] for line in curve.splitlines()]
    return [loss for loss in points if loss is not None]


def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """With the same steps, figures and progress; the run itself stays one process."""
    (one, one_told), (two, two_told) = (trained(tmp_path / str(n), n) for n in (1, 2))
    assert two_told == one_told
    assert two["learned"]["steps"] == one["learned"]["steps"] == one_told[-1][1]
    assert two["after"] == pytest.approx(one["after"], rel=1e-4)
    assert losses(tmp_path / "2") == pytest.approx(losses(tmp_path / "1"), rel=1e-4)
    assert len(set(losses(tmp_path / "2"))) > 1  # it did learn something, be it nothing of use
    assert (tmp_path / "2" / "work" / "model" / "model.safetensors").exists()
    assert not list((tmp_path / "2" / "work").glob("*.log"))


ENDLESS = """
import pathlib, runpy, sys, time
from zelo.training.pipeline import chain

class Stage:
    name = "pointwise"

    def run(self, tell):
        with open(pathlib.Path(__file__).with_name("alive"), "w") as alive:
            print("begun", file=alive, flush=True)
            time.sleep(120)

class Chain:
    def __init__(self, config):
        self.stages, self.folder = [Stage()], pathlib.Path(config.out)

chain.Chain = Chain
runpy.run_module("zelo.training.pipeline.worker", run_name="__main__")
"""
TORCHRUN = """#!{python}
import os, sys
options = sys.argv[1:-3]  # behind them stand -m, the worker and its job
os.execv({python!r}, [{python!r}, *options, {worker!r}, sys.argv[-1]])
"""
LAUNCHING = """
import json, sys
from zelo.training.pipeline.launching import launch
sys.executable = sys.argv[1]
launch(json.loads(sys.argv[2]), "pointwise", 2, lambda what: lambda done, total: None)
"""


@pytest.mark.timeout(100)
def test_a_killed_run_takes_its_processes_along(tmp_path: Path) -> None:
    """Even where they have nothing to tell it; they would else train on, and hold the folder."""
    settings = json.dumps(read_config(prepare(tmp_path)).plain())
    (tmp_path / "work").mkdir()
    worker, program, alive = (tmp_path / name for name in ("endless.py", "torchrun", "alive"))
    worker.write_text(ENDLESS)
    program.write_text(TORCHRUN.format(python=sys.executable, worker=str(worker)))
    program.chmod(0o755)
    os.mkfifo(alive)  # ends for its reader when all who write to it have gone
    with subprocess.Popen([sys.executable, "-c", LAUNCHING, program, settings]) as launching:
        with alive.open() as said:
            assert [said.readline(), said.readline()] == ["begun\n"] * 2
            launching.kill()
            assert said.read() == ""


def test_no_word_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that end without an answer leave a log, which is named with their status."""
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(ScoringError, match=r"2 processes ended with status 1; .*pointwise\.log"):
        launch({"out": str(tmp_path)}, TRAINED, 2, lambda what: lambda done, total: None)
    assert (tmp_path / "pointwise.log").exists()


def test_the_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress as it comes, whatever else is printed, and an error as what it is."""
    program = tmp_path / "program"
    program.write_text(
        f"""#!{sys.executable}
import json, sys
job = json.load(open(sys.argv[-1]))
assert job["stage"] == "pointwise", job
print("something else", 5, sep="\\n", flush=True)
print(json.dumps(["training", 1, 2]), flush=True)
json.dump({{"error": "ModelFileError", "message": "cut short"}}, open(job["answer"], "w"))
"""
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    told: list[tuple[str, int, int]] = []
    with pytest.raises(ModelFileError, match="cut short"):
        launch(
            {"out": str(tmp_path)},
            TRAINED,
            2,
            lambda what: lambda done, total: told.append((what, done, total)),
        )
    assert told == [("training", 1, 2)]


def test_an_error_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its kind and message, for the run to raise; the other processes are ended."""
    monkeypatch.setenv("RANK", "0")

    def fails(tell: Tell) -> dict[str, Any]:
        raise ModelFileError("the file is cut short")

    with pytest.raises(SystemExit):
        work(fails, tmp_path, tmp_path / "answer")
    answer = json.loads((tmp_path / "answer").read_text())
    assert answer == {"error": "ModelFileError", "message": "the file is cut short"}


def test_only_one_trains_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of a run that was killed may still be at work."""
    monkeypatch.setenv("RANK", "0")
    with Journal(tmp_path / LOCK), pytest.raises(SystemExit):
        work(lambda tell: {}, tmp_path, tmp_path / "answer")
    assert json.loads((tmp_path / "answer").read_text())["error"] == "InputError"


def test_the_others_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They do their part, and leave answer, lock and progress to the first."""
    monkeypatch.setenv("RANK", "1")

    def does(tell: Tell) -> dict[str, Any]:
        tell("training")(1, 2)
        return {}

    work(does, tmp_path, tmp_path / "answer")
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("RANK", "0")
    work(does, tmp_path, tmp_path / "answer")
    assert capsys.readouterr().out == '["training", 1, 2]\n'
