"""Why bulk scoring stops: the two errors that it alone raises, and `OutputError`.

InputError
├── BadRowsError       rows that are no query with a document; `.file`, `.rejects`
└── OtherWorkError     the output folder belongs to another input, model or setting; `.differences`

Both survive pickling, because a worker's error is raised again by the process that waits.
"""

from collections.abc import Sequence
from typing import NamedTuple

from zelo.errors import InputError, OutputError

__all__ = ["BadRowsError", "OtherWorkError", "OutputError", "Reject"]

EXPLAINED = 20  # rows; beyond these only their number is told


class Reject(NamedTuple):
    """A row that has no score, and why. Holds no text of the row."""

    number: int
    """Of the row in its file, from 1; in text files, of the line."""
    reason: str


class BadRowsError(InputError):
    """Rows of a file cannot be scored, and nobody said that they may be left out."""

    def __init__(self, file: str, rejects: Sequence[Reject]) -> None:
        self.file = file
        self.rejects = tuple(rejects)
        """The bad rows of the block at which the work stopped; others may follow in later ones."""
        count = "1 row" if len(self.rejects) == 1 else f"{len(self.rejects)} rows"
        told = [f"{file}: {count} cannot be scored; mend them, or leave them out with --skip-bad"]
        told += [f"  row {number}: {reason}" for number, reason in self.rejects[:EXPLAINED]]
        if len(self.rejects) > EXPLAINED:
            told.append(f"  and {len(self.rejects) - EXPLAINED} more")
        super().__init__("\n".join(told))

    def __reduce__(self) -> tuple[type["BadRowsError"], tuple[str, tuple[Reject, ...]]]:
        return type(self), (self.file, self.rejects)


class OtherWorkError(InputError):
    """The output folder holds results of something else than what is asked for now."""

    def __init__(self, folder: str, differences: Sequence[str]) -> None:
        self.folder = folder
        self.differences = tuple(differences)
        """What was and what is, one sentence each."""
        told = [
            f"{folder} holds the results of other work, and mixing them would be wrong; name "
            "another folder, or begin anew with --restart",
            *(f"  {difference}" for difference in self.differences[:EXPLAINED]),
        ]
        if len(self.differences) > EXPLAINED:
            told.append(f"  and {len(self.differences) - EXPLAINED} more differences")
        super().__init__("\n".join(told))

    def __reduce__(self) -> tuple[type["OtherWorkError"], tuple[str, tuple[str, ...]]]:
        return type(self), (self.folder, self.differences)
