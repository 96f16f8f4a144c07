"""How an input is cut into blocks: the unit that is scored, written and counted as done.

Cuts depend on the files alone, so that every machine and every later start finds the same ones. A
block lies in one file. Where rows of one query follow each other they stay in one block, whose
length is a limit and not a promise; a query with more rows than the limit fills blocks of its own.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["Block", "Limits", "Piece", "cut", "joined"]


class Limits(NamedTuple):
    """How much goes into a block at most, unless one row or one query of a run is larger."""

    pairs: int
    text: int = 32 << 20
    """Bytes, as the file holds them before compression."""

    def hold(self, pairs: int, text: int) -> bool:
        """Whether so much fits."""
        return pairs <= self.pairs and text <= self.text


class Piece(NamedTuple):
    """Neighbouring rows of one file that stay together."""

    lines: int
    """Rows; in text files, lines, among them blank ones."""
    pairs: int
    """Documents to score; in files that do not tell without being read, an estimate."""
    text: int
    """Bytes."""

    def plus(self, other: "Piece") -> "Piece":
        """Return both as one."""
        return Piece(self.lines + other.lines, self.pairs + other.pairs, self.text + other.text)


NOTHING = Piece(0, 0, 0)


class Block(NamedTuple):
    """Neighbouring rows of one file. Travels between processes as plain numbers."""

    number: int
    """From 0, in the order of the input; it names the part that is written."""
    source: int
    """Place of the file in the input."""
    first: int
    """Row (in text files, line) at which it begins, from 1."""
    lines: int
    pairs: int
    start: int
    """Byte at which it begins, in text files."""
    end: int


def joined(rows: Iterable[tuple[object, Piece]], limits: Limits) -> Iterator[Piece]:
    """Join neighbouring rows with one key, a query, into pieces that fit into a block."""
    key: object = None
    piece = NOTHING
    for row_key, row in rows:
        both = piece.plus(row)
        if piece.lines and (row_key != key or not limits.hold(both.pairs, both.text)):
            yield piece
            both = row
        key, piece = row_key, both
    if piece.lines:
        yield piece


def cut(pieces: Iterable[Piece], limits: Limits, source: int, number: int) -> Iterator[Block]:
    """Lay pieces of one file into blocks, the first of which gets `number`."""
    first, start, block = 1, 0, NOTHING
    for piece in pieces:
        both = block.plus(piece)
        if block.lines and not limits.hold(both.pairs, both.text):
            yield Block(number, source, first, block.lines, block.pairs, start, start + block.text)
            number, first, start = number + 1, first + block.lines, start + block.text
            both = piece
        block = both
    if block.lines:
        yield Block(number, source, first, block.lines, block.pairs, start, start + block.text)
