"""Files of a model folder: read, or refused with what is wrong and what to do.

Knows JSON and the headers of safetensors files; what they mean is `checkpoint`'s.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zelo.errors import ModelFileError
from zelo.scoring.catalog import other_format

__all__ = [
    "EXPORT_RECORD",
    "UNREADABLE",
    "TensorEntry",
    "is_whole",
    "missing",
    "read_json",
    "read_text",
    "refuse_faults",
    "tensor_entries",
]

EXPORT_RECORD = "zelo-export.json"
"""The file in an export's folder that says what it is."""
WORK = ("refined/model", "model")
"""Where the work folder of zelo train run holds a reranker, the better one first."""

UNREADABLE = (
    *(ValueError, TypeError, KeyError, AttributeError),
    *(OverflowError, RecursionError),  # infinite offsets, deep nesting
)
"""What JSON that is not as it should be raises, on its way into our values."""


class TensorEntry(NamedTuple):
    """What a safetensors header says of a tensor."""

    kind: str
    """Number type as safetensors writes it: BF16, F32 or F16."""
    shape: tuple[int, ...]
    start: int
    """Where its bytes begin in the file."""
    size: int
    """Bytes."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or raise a ModelFileError that names the file."""
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        message = (
            f"{path} is not valid JSON (character {getattr(error, 'pos', '?')}); fetch it again"
        )
        raise ModelFileError(message) from error
    if not isinstance(found, dict):
        raise ModelFileError(f"{path} holds a {type(found).__name__}, not a JSON object")
    return found


def read_text(path: Path) -> str:
    """Read UTF-8 text, or raise a ModelFileError that names the file."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ModelFileError(missing(path)) from error
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path} is not UTF-8 text; fetch it again") from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error


def missing(path: Path) -> str:
    """Say that a file is missing, and where it may be instead."""
    for name in WORK:
        if path.name == "config.json" and (path.parent / name / path.name).is_file():
            return f"{path} is missing; is {path.parent / name} meant?"
    beside = sorted(other.name for other in path.parent.glob("*"))
    if not list(path.parent.glob("model*.safetensors")) and (instead := other_format(beside)):
        return f"{path} is missing. {instead}"
    return f"{path} is missing; fetch the whole model, or point to the folder that holds it"


def tensor_entries(path: Path) -> dict[str, TensorEntry]:
    """Read a safetensors header, and check that the file is as long as the header says.

    Raises:
        ModelFileError: the file is missing, cut short, or no safetensors file.
    """
    if not path.is_file():
        raise ModelFileError(missing(path))
    try:
        with path.open("rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            if header_size > path.stat().st_size:
                raise ValueError("header longer than the file")
            header: dict[str, Any] = json.loads(file.read(header_size))
        header.pop("__metadata__", None)
        data = 8 + header_size
        entries = {name: _entry(written, data) for name, written in header.items()}
    except UNREADABLE as error:
        message = f"{path} is not a safetensors file, or was cut short; fetch it again"
        raise ModelFileError(message) from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error
    actual = path.stat().st_size
    expected = max((one.start + one.size for one in entries.values()), default=data)
    if actual != expected:
        message = f"{path} has {actual} bytes of {expected}; fetch it again"
        raise ModelFileError(message)
    return entries


def is_whole(path: Path) -> bool:
    """Whether a JSON or safetensors file is one, to its end; other kinds of file tell nothing."""
    try:
        if path.suffix == ".json":
            json.loads(read_text(path))
        elif path.suffix == ".safetensors":
            tensor_entries(path)
    except (ModelFileError, ValueError, RecursionError):
        return False
    return True


def _entry(written: dict[str, Any], data: int) -> TensorEntry:
    start, end = map(int, written["data_offsets"])
    if not 0 <= start <= end:
        raise ValueError("offsets out of order")
    shape = tuple(map(int, written["shape"]))
    return TensorEntry(str(written["dtype"]), shape, data + start, end - start)


def refuse_faults(folder: Path, faults: Mapping[str, Sequence[str]]) -> None:
    """Refuse a folder for the first kind of fault, as "are missing", that any of its tensors has.

    Raises:
        ModelFileError: some tensor has a fault.
    """
    for fault, names in faults.items():
        if names:
            message = (
                f"{len(names)} tensor(s) of {folder} {fault}, {names[0]} first; loaded as they "
                "are, scores would be random. Fetch the whole model again."
            )
            raise ModelFileError(message)
