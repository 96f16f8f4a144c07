"""What the stages hand to each other: JSON Lines, one line per query, so that files can stream.

Candidates are in zbench's layout, so `zelo evaluate` and zbench read them too. All other lines name
documents by id.
"""

import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zelo._common.atomic_write import whole_file
from zelo.errors import InputError

__all__ = [
    "Candidates",
    "Document",
    "Pairs",
    "Preferences",
    "Query",
    "Ratings",
    "Targets",
    "read_records",
    "write_records",
]


class _Record(BaseModel):
    written_by: ClassVar[str]
    """The command that writes files of it."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


Record = TypeVar("Record", bound=_Record)


class Query(_Record):
    """A query's id and text."""

    id: str
    query: str


class Document(_Record):
    """A candidate's id and text."""

    id: str
    content: str
    score: float | None = None
    """A grade, where the document was judged; None where it was not."""


class Candidates(_Record):
    """A query with the documents that are to be rated for it."""

    written_by: ClassVar = "zelo train candidates"

    query: Query
    documents: list[Document]


class Pairs(_Record):
    """Pairs of documents that are to be compared, each in the order in which it is shown."""

    written_by: ClassVar = "zelo train pairs"

    query: str
    """Id of the query that the first documents were found for."""
    against: str | None = None
    """Id of the query of the second documents, for pairs across queries; None for the same."""
    pairs: list[tuple[str, str]]


class Preferences(Pairs):
    """How the pairs were judged."""

    written_by: ClassVar = "zelo train judge"

    preferences: list[float | None]
    """Per pair, in [0, 1]: 1 if the first document is the better answer to its query, 0 if the
    second is, and between them the ensemble's mean; None where no judge gave a vote."""
    votes: dict[str, list[float | None]] = Field(default_factory=dict)
    """Per judge and pair, its preference before averaging; None where it gave none."""

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        for name, values in {"preferences": self.preferences, **self.votes}.items():
            if len(values) != len(self.pairs):
                raise ValueError(f"{name}: {len(values)} values for {len(self.pairs)} pairs")
            if any(value is not None and not 0 <= value <= 1 for value in values):
                raise ValueError(f"{name}: a value is not in [0, 1]")
        return self


class Ratings(_Record):
    """Every document's strength for its query, from its comparisons."""

    written_by: ClassVar = "zelo train fit"

    query: str
    ratings: dict[str, float]
    """Their sum is 0."""
    method: str
    comparisons: int
    iterations: int
    converged: bool
    loss: float


class Targets(_Record):
    """What a pointwise reranker is to answer: probabilities, comparable across queries."""

    written_by: ClassVar = "zelo train calibrate"

    query: str
    targets: dict[str, float]


def read_records(path: str | os.PathLike[str], kind: type[Record]) -> Iterator[Record]:
    """Yield a file's records, one line at a time.

    Raises:
        InputError: there is no such file, or a line is no such record; with its number.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as lines:  # "\n" alone ends a line
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _record(line, kind, f"{name}, line {number}")
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error


def write_records(path: str | os.PathLike[str], records: Iterable[BaseModel]) -> int:
    """Write records in place of what a file held, when all of them are on disk; count them.

    Raises:
        OutputError: the file cannot be written.
    """
    count = 0
    with whole_file(pathlib.Path(path)) as partial, partial.open("wb") as file:
        for record in records:
            file.write(record.model_dump_json(exclude_none=False).encode() + b"\n")
            count += 1
    return count


def _record(line: bytes, kind: type[Record], place: str) -> Record:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        at = ".".join(map(str, first["loc"])) or "the line"
        missing = first["type"] == "missing"
        reason = "it is missing" if missing else first["msg"].removeprefix("Value error, ")
        message = (
            f"{place}: no {kind.__name__.lower()}, at {at}: {reason}. Give a file that "
            f"{kind.written_by} wrote"
        )
    raise InputError(message)
