"""What was wrong with the files of a collection: gathered while reading, told together."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from zelo.corpora.rows import BadLine
from zelo.errors import InputError

__all__ = ["Problem", "bad_lines", "refuse"]

EXPLAINED = 20  # problems; beyond these only their number is told


class Problem(NamedTuple):
    """Something in a file that is not as it should be. Holds no document's text."""

    path: str
    line: int
    """Number from 1."""
    reason: str
    """What was found; and, unless the line was left out, what a lenient reading makes of it."""
    note: bool = False
    """Worth telling, but nothing is uncertain: a strict reading goes on as well."""

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.reason}"


def bad_lines(path: str | os.PathLike[str], bad: Iterable[BadLine]) -> list[Problem]:
    """Return the lines of a file that could not be read, as problems."""
    return [Problem(os.fspath(path), line, reason) for line, reason, _ in bad]


def refuse(problems: Iterable[Problem], name: str, remedy: str) -> None:
    """Refuse an input that has problems other than notes.

    Raises:
        InputError: it names the first problems by file, line and reason, and counts the others.
    """
    grave = [problem for problem in problems if not problem.note]
    if not grave:
        return
    count = "1 problem" if len(grave) == 1 else f"{len(grave)} problems"
    told = [f"{name}: {count}; {remedy}", *(f"  {problem}" for problem in grave[:EXPLAINED])]
    if len(grave) > EXPLAINED:
        told.append(f"  and {len(grave) - EXPLAINED} more")
    raise InputError("\n".join(told))
