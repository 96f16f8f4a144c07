"""Telling how far a file has been read."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["OnRead", "counted", "silent"]

Record = TypeVar("Record")
OnRead = Callable[[str, int], None]
"""Told of what is read, and how many there were so far."""

EVERY = 100  # records between two words about it


def silent(what: str, count: int) -> None:
    """Tell nobody."""


def counted(records: Iterable[Record], what: str, on_read: OnRead) -> Iterator[Record]:
    """Pass records on, and tell now and then how many there were."""
    for number, record in enumerate(records, start=1):
        if number % EVERY == 1:
            on_read(what, number)
        yield record
