"""What an export is: files that an engine serves, the command for it, and what of that is shown.

Values only. Knows no engine, no tensor and no file system.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Export", "ExportedFile", "Flag", "OnBytes", "Serving", "Statement"]

OnBytes = Callable[[int, int], None]
"""Called with (bytes of weights written, bytes of weights in all)."""


class Flag(NamedTuple):
    """Words of a serve command that matter, and what goes wrong without them."""

    words: tuple[str, ...]
    """As they are typed, such as ("--runner", "pooling"); unquoted."""
    reason: str


class Statement(NamedTuple):
    """Something that is said of an export, and whether anybody has seen it."""

    claim: str
    proven: bool
    """Shown by this export, or by a test of zelo with the library that is named in `how`."""
    how: str
    """What showed it; for a claim that is unproven, what would."""


class ExportedFile(NamedTuple):
    """A file of an export."""

    name: str
    """Path below the export's folder, with forward slashes."""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How an export is served."""

    program: tuple[str, ...]
    """The command's beginning, such as ("vllm", "serve", "/path/of/the/export")."""
    flags: tuple[Flag, ...]
    """The rest of it, in order. All are mandatory: an export writes down no others."""
    dialect: str
    """What the server speaks, as `zelo doctor --dialect` and `Reranker(dialect=)` take it."""
    url: str
    """Where it listens when it is started by this command on this machine."""

    @property
    def command(self) -> str:
        """One line for a POSIX shell."""
        return shlex.join([*self.program, *(word for flag in self.flags for word in flag.words)])


@dataclass(frozen=True, slots=True)
class Export:
    """A model as an engine serves it."""

    engine: str
    """The engine's name, as `--for` takes it."""
    model: str
    """What was exported: alias, hub id with commit, or folder."""
    family: str
    """Name of a `zelo.scoring.families.Family`."""
    folder: Path
    files: tuple[ExportedFile, ...]
    serving: Serving | None
    """None for a library, which is called and not served."""
    usage: str
    """What to type or write to get scores: the serve command, or lines of Python."""
    client: str
    """The line of Python that makes zelo's client of a server; empty for a library."""
    check: str
    """The `zelo doctor` command that examines a server of this export; empty for a library."""
    statements: tuple[Statement, ...]
    notes: tuple[str, ...]
    """What whoever runs it has to know: dangers, and what the engine does otherwise than zelo."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def unproven(self) -> tuple[Statement, ...]:
        """The statements that nobody has seen."""
        return tuple(statement for statement in self.statements if not statement.proven)

    def as_json(self) -> dict[str, Any]:
        """Return what zelo-export.json holds, and `zelo export --json` writes."""
        flags = self.serving.flags if self.serving else ()
        return {
            "engine": self.engine,
            "model": self.model,
            "family": self.family,
            "folder": str(self.folder),
            "files": [file._asdict() for file in self.files],
            "command": self.serving.command if self.serving else None,
            "flags": [flag._asdict() for flag in flags],
            "usage": self.usage,
            "client": self.client,
            "check": self.check,
            "statements": [statement._asdict() for statement in self.statements],
            "notes": list(self.notes),
        }
