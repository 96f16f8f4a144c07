"""A stage of a run: what it reads and writes, and whether it is done. Knows nothing of training."""

import pathlib
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from zelo._common.journal import Journal, key_of
from zelo.evaluation.experiment import Stage as Tell
from zelo.training.pipeline.content import Contents

__all__ = ["Done", "Figures", "Ledger", "Stage", "Tell"]

OUTPUTS = "outputs"
FORMAT = 1  # changes when a stage's work does, so that what an older zelo did is done again

Figures = dict[str, Any]
"""What a stage tells, as JSON."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A piece of a run, from files to files."""

    name: str
    settings: Mapping[str, Any]
    """All that its result depends on besides its inputs, as JSON."""
    inputs: Mapping[str, pathlib.Path | str]
    """By what it is to the stage: a file or folder, whose content counts, or the name of what has
    no files here."""
    outputs: tuple[pathlib.Path, ...]
    """Files and folders; in a folder it may go on from what a killed run left there."""
    run: Callable[[Tell], Figures]
    check: Callable[[], object] = field(default=lambda: None)
    """Refuses, before anything is paid for, what `run` would refuse after hours. Light, for plans
    too: it loads no model, and writes nothing into the work folder."""
    fetch: Callable[[], object] = field(default=lambda: None)
    """Brings, before anything is paid for, what `run` needs from elsewhere."""


class Done(NamedTuple):
    """How a stage ended."""

    figures: Figures
    seconds: float
    """That it took, from its last start."""


class Ledger:
    """Which stages are done, and with which inputs and settings.

    Args:
        journal: where that is kept; None for a folder in which nothing was done yet.
        folder: the work folder.
    """

    def __init__(self, journal: Journal | None, folder: pathlib.Path) -> None:
        self._journal, self._folder = journal, folder
        self._contents = Contents(journal)

    def done(self, stage: Stage) -> Done | None:
        """Return how a stage ended, if its inputs, settings and outputs are still the same."""
        kept = self._kept(stage)
        if OUTPUTS not in kept or kept["digest"] != self._digest(stage):
            return None
        if kept[OUTPUTS] != self._outputs(stage):
            return None
        return Done(kept["figures"], kept["seconds"])

    def standing(self, stages: Iterable[Stage]) -> dict[str, Done | None]:
        """Return how each stage ended; one whose inputs are yet to be made is not done."""
        found: dict[str, Done | None] = {}
        to_come: set[pathlib.Path] = set()
        for stage in stages:
            files = {one for one in stage.inputs.values() if isinstance(one, pathlib.Path)}
            found[stage.name] = None if files & to_come else self.done(stage)
            if found[stage.name] is None:
                to_come.update(stage.outputs)
        return found

    def carry_out(self, stage: Stage, tell: Tell) -> Done:
        """Do a stage, or go on with it where it was stopped."""
        digest = self._digest(stage)
        kept = self._kept(stage)
        if kept.get("digest") != digest or OUTPUTS in kept:  # another's remains, or spoilt ones
            self._keep(stage, {})  # or a kill now would leave half of them
            for path in stage.outputs:
                _remove(path)
            kept = {"digest": digest}
            self._keep(stage, kept)
        if "figures" not in kept or not all(path.exists() for path in stage.outputs):
            started = time.perf_counter()
            figures = stage.run(tell)
            kept |= {"figures": figures, "seconds": time.perf_counter() - started}
            self._keep(stage, kept)  # reading a large model's digest takes a while
        self._keep(stage, {**kept, OUTPUTS: self._outputs(stage)})
        return Done(kept["figures"], kept["seconds"])

    def forget(self, stage: Stage) -> None:
        """Have a stage done again from its beginning."""
        self._keep(stage, {})

    def _kept(self, stage: Stage) -> dict[str, Any]:
        """The digest that a stage began with, its figures at its end, those of its outputs then."""
        kept = self._journal.get(_key(stage)) if self._journal is not None else None
        return dict(kept or {})

    def _keep(self, stage: Stage, value: dict[str, Any]) -> None:
        assert self._journal is not None  # noqa: S101 - without one there is only a plan
        self._journal.put(_key(stage), value)

    def _digest(self, stage: Stage) -> str:
        inputs = {
            name: one if isinstance(one, str) else self._contents.of(one)
            for name, one in stage.inputs.items()
        }
        return key_of(FORMAT, stage.name, dict(stage.settings), inputs)

    def _outputs(self, stage: Stage) -> dict[str, str | None]:
        return {
            str(path.relative_to(self._folder)): self._contents.of(path) for path in stage.outputs
        }


def _key(stage: Stage) -> str:
    return f"stage {stage.name}"


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
