"""What bulk scoring asks of a file format."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from zelo.bulk.blocks import Block, Limits, Piece
from zelo.bulk.errors import Reject
from zelo.bulk.layout import Layout, Wishes
from zelo.bulk.rows import Answer, Record
from zelo.bulk.sources import Source

__all__ = ["Form", "Raw"]


class Raw(NamedTuple):
    """A block as its format reads it."""

    records: list[Record]
    rejects: list[Reject]
    """Rows that are not even a record."""
    whole: Any = None
    """What the format needs to write the block, besides what each record carries."""


class Form(Protocol):
    """A format. An instance may remember where it stopped reading; use it from one thread."""

    suffix: str
    """Of the files that it writes."""

    def layout(self, source: Source, wishes: Wishes) -> Layout:
        """Choose the columns by a file's schema or first row.

        Raises:
            InputError: they are not there, or the file cannot be read.
        """
        ...

    def pieces(self, source: Source, layout: Layout, limits: Limits) -> Iterator[Piece]:
        """Yield what stays together in blocks, in the order of the file.

        Raises:
            InputError: the file cannot be read as this format, or lacks a column.
        """
        ...

    def read(self, source: Source, block: Block, layout: Layout) -> Raw:
        """Return the rows of a block.

        Raises:
            InputError: the file cannot be read.
        """
        ...

    def write(
        self, raw: Raw, answers: Sequence[tuple[Record, Sequence[Answer]]], layout: Layout
    ) -> bytes:
        """Return a file with the rows that were answered, in their order, and their scores."""
        ...

    def close(self) -> None:
        """Close what reading left open."""
        ...
