"""What an engine's module says: a name, and a function that writes a model for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zelo.export.export import OnBytes, Serving, Statement
from zelo.export.source import Source
from zelo.wire import Scale

__all__ = ["Engine", "Request", "Written"]


@dataclass(frozen=True, slots=True)
class Request:
    """A model to write for an engine."""

    source: Source
    into: Path
    """An empty folder, which becomes `folder` when all is written."""
    folder: Path
    """Where the export will be: the path for commands."""
    dtype: str | None
    """How weights are stored, in the engine's own words; None as the engine's module sees fit."""
    on_bytes: OnBytes

    @property
    def name(self) -> str:
        """What a server calls the model."""
        return self.folder.name


@dataclass(frozen=True, slots=True)
class Written:
    """What an engine's module says of the files it wrote."""

    serving: Serving | None
    usage: str
    scale: Scale
    """What the engine answers."""
    statements: tuple[Statement, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that models can be exported for."""

    name: str
    """What `--for` takes."""
    title: str
    summary: str
    """What is written for it, in a line."""
    write: Callable[[Request], Written]
    """Raises UnsupportedModelError for a model that the engine would serve wrongly."""
