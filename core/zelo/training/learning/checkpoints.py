"""Stopped runs: all that the next step depends on, in one file that is there whole or not at all.

`state.safetensors` holds the weights, Adam's moments and, in its header, how far the run was. The
best weights so far have files of their own, which stay until no state names them. No pickle.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zelo._common.atomic_write import whole_file
from zelo.errors import InputError, ModelFileError
from zelo.training.learning.curve import Point

__all__ = ["Checkpoints", "Progress", "drop_checkpoint"]

Identity = Mapping[str, Any]
HEADER = "zelo"
FOLDER, STATE = "checkpoint", "state.safetensors"


@dataclass(slots=True)
class Progress:
    """How far a run is."""

    step: int = 0
    """Steps done."""
    tokens: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    """Over the prompts since the last point."""
    prompts: int = 0
    """Since the last point."""
    best_step: int = 0
    best: float | None = None
    """Held-out loss of the best step."""
    points: list[Point] = field(default_factory=list)


def drop_checkpoint(folder: Path) -> None:
    """Delete the checkpoint of the run that was written to `folder`, when it is not needed."""
    place = folder / FOLDER
    (place / STATE).unlink(missing_ok=True)  # first: a state without its best weights is damaged
    shutil.rmtree(place, ignore_errors=True)


class Checkpoints:
    """The checkpoint of one run, in a folder of its own beside what it writes.

    `identity` is what the run depends on, by name; a checkpoint of another one is refused.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self._folder = folder / FOLDER
        self._identity = json.loads(json.dumps(identity))
        self._state = self._folder / STATE

    def read(self) -> tuple[Progress, dict[str, Tensor]] | None:
        """Return where a run was stopped; None if there was none.

        Raises:
            InputError: it was a run of other data, model or settings; says which.
            ModelFileError: the file is damaged.
        """
        if not self._state.exists():
            return None
        header, tensors = _read(self._state)
        self._check(header["identity"])
        points = [Point(**point) for point in header["progress"].pop("points")]
        return Progress(**header["progress"], points=points), tensors

    def write(self, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
        """Take the place of the checkpoint before, and drop what only that one needed."""
        header = {"identity": self._identity, "progress": asdict(progress)}
        _write(self._state, tensors, header)
        needed = {self._state.name, self._best(progress.best_step).name}
        self._drop_all_but(needed)

    def read_best(self, step: int) -> dict[str, Tensor]:
        """Return the weights that were the best at a step."""
        return _read(self._best(step))[1]

    def write_best(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Keep weights that are the best so far, beside those that the checkpoint names."""
        _write(self._best(step), tensors, {})

    def clean(self) -> None:
        """Drop what a killed process left half written."""
        for path in self._folder.glob(".*.partial"):
            path.unlink(missing_ok=True)

    def _best(self, step: int) -> Path:
        return self._folder / f"best-{step}.safetensors"

    def _drop_all_but(self, names: set[str]) -> None:
        for path in self._folder.glob("best-*.safetensors"):
            if path.name not in names:
                path.unlink(missing_ok=True)

    def _check(self, found: dict[str, Any]) -> None:
        differ = [
            f"{name} {found.get(name)!r} then, {self._identity.get(name)!r} now"
            if name not in HASHES
            else HASHES[name]
            for name in dict.fromkeys((*found, *self._identity))
            if found.get(name) != self._identity.get(name)
        ]
        if differ:
            message = (
                f"{self._folder} holds the checkpoint of another run ({'; '.join(differ)}). Give "
                "the same command again to go on with it, delete that folder to begin anew, or "
                "write somewhere else"
            )
            raise InputError(message)


HASHES = {
    "examples": "other examples",
    "held_out": "other held-out examples",
    "model": "another model",
}
"""Parts of an identity that mean nothing to a reader, and what to say where they differ."""


def _write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    with whole_file(path) as partial:
        held = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_file(held, partial, {HEADER: json.dumps(header)})


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})[HEADER])
            return header, {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        message = f"{path} is no sound checkpoint ({error}); delete it to begin anew"
        raise ModelFileError(message) from error
