"""Reading an order from what a model wrote, whatever it wrote.

Takes time linear in the answer's length: the patterns never try a character twice.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Order", "read_order"]

CHAIN = re.compile(r"\[\s*+[0-9]++\s*+\](?:[\s>,=]*+\[\s*+[0-9]++\s*+\])*+")
"""`[2] > [1] > [3]`, also with commas, equals signs or line ends between."""
BARE = re.compile(r"(?<![0-9])[0-9]++(?:\s*+[>,]\s*+[0-9]++)++")
"""`2 > 1 > 3`, and so `[2, 1, 3]` too."""
NUMBER = re.compile(r"[0-9]++")
THOUGHT = "</think>"
"""Ends the reasoning that some servers leave in the text."""


class Order(NamedTuple):
    """What was read from an answer."""

    places: tuple[int, ...]
    """From 0, best first, each once; none where no number was usable."""
    exact: bool
    """The answer was a permutation: nothing missing, repeated or unknown."""

    def complete(self, count: int) -> list[int]:
        """Return a permutation of `count` places: what was not named keeps its order behind."""
        named = set(self.places)
        return [*self.places, *(place for place in range(count) if place not in named)]


def read_order(answer: str, count: int) -> Order:
    """Read an order of `count` passages, numbered from 1.

    Taken is the chain of bracketed numbers that names most passages, of equals the last: what a
    model says before is thinking aloud. If none names two, all bracketed numbers count, as in a
    list by lines; without any bracket, a bare chain that names two. Of a number that repeats the
    first counts, an unknown one is dropped.
    """
    answer = answer.rpartition(THOUGHT)[2]
    chains = [_numbers(found) for found in CHAIN.findall(answer)]
    bare = [_numbers(found) for found in ([] if chains else BARE.findall(answer))]
    longest = _longest(chains or bare, count)
    if len(_usable(longest, count)) < 2:
        longest = [number for chain in chains for number in chain]
    places = _usable(longest, count)
    return Order(tuple(places), len(places) == len(longest) == count)


def _numbers(chain: str) -> list[int]:
    """Return a chain's numbers; one too long for any passage becomes 0, which is unknown."""
    return [int(digits) if len(digits) < 10 else 0 for digits in NUMBER.findall(chain)]


def _longest(chains: Sequence[list[int]], count: int) -> list[int]:
    """Return the chain that names most passages, the last of equals."""
    return max(reversed(chains), key=lambda chain: len(_usable(chain, count)), default=[])


def _usable(numbers: Iterable[int], count: int) -> list[int]:
    """Return the places of known numbers, each once."""
    return list(dict.fromkeys(number - 1 for number in numbers if 1 <= number <= count))
