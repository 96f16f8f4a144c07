"""What is learned from: prompts with the numbers that the model should give, and their storage.

Knows token ids, nothing of texts, models or where a target comes from.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple, overload

from zelo.local.packing import Part

__all__ = ["Example", "Examples", "tokens_of"]


class Example(NamedTuple):
    """Prompts that share a prefix, each with its target."""

    part: Part
    targets: list[float]
    """One for each suffix of the part."""


def tokens_of(example: Example) -> int:
    """Count an example's tokens, the shared prefix once."""
    return len(example.part.prefix) + sum(map(len, example.part.suffixes))


class Examples(Sequence[Example]):
    """Many examples at 4 bytes a token, where Python's lists of whole numbers take 36."""

    def __init__(self, examples: Iterable[Example] = ()) -> None:
        self._ids = array("i")
        self._ends = array("q", [0])
        """Where each sequence ends in `_ids`: an example's prefix, then its suffixes."""
        self._first = array("q", [0])
        """The number of each example's prefix among all sequences."""
        self._targets = array("d")
        for example in examples:
            self.append(example)

    def append(self, example: Example) -> None:
        """Add an example behind all others."""
        part, targets = example
        if len(targets) != len(part.suffixes) or not targets:
            raise ValueError(f"{len(part.suffixes)} prompts with {len(targets)} targets")
        for ids in (part.prefix, *part.suffixes):
            self._ids.extend(ids)
            self._ends.append(len(self._ids))
        self._first.append(len(self._ends) - 1)
        self._targets.extend(targets)

    def __len__(self) -> int:
        return len(self._first) - 1

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self._read(number) for number in range(len(self))[place]]
        return self._read(range(len(self))[place])

    def _read(self, place: int) -> Example:
        first, end = self._first[place], self._first[place + 1]
        prefix, *suffixes = (
            self._ids[self._ends[number] : self._ends[number + 1]].tolist()
            for number in range(first, end)
        )
        # an example of n prompts has n + 1 sequences, so prompts before it are fewer by its place
        targets = self._targets[first - place : end - place - 1].tolist()
        return Example(Part(prefix, suffixes), targets)
