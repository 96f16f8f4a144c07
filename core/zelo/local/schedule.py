"""Which documents of which callers go into the next pack. Pure: no threads, no tensors.

Every caller's documents wait longest first. The oldest call is sure of a quarter of each pack, so
a stream of small calls cannot starve it; the rest goes to the calls with the least work left, so
that a small call behind a large one is done in the next pack. Work is compared by powers of two,
and calls of the same power come by arrival: of similar calls none is overtaken again and again.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["Share", "Waiting", "next_pack"]

OLDEST_SHARE = 1 / 4
PREFIX_SHARE = 1 / 4
"""A pack is made larger where the oldest call's prefix alone would fill more than this of it."""


@dataclass(eq=False)
class Waiting:
    """What one call still has to get scored."""

    prefix_length: int
    lengths: list[int]
    """Tokens of each of the call's sequences, without the prefix."""
    pending: list[int] = field(init=False)
    """Sequences not yet handed out, shortest first: the longest are taken from the end."""

    def __post_init__(self) -> None:
        self.pending = []
        self.hand_back(range(len(self.lengths)))

    def hand_back(self, sequences: Iterable[int]) -> None:
        """Let sequences wait that were handed out, and of which nothing came."""
        self.pending = sorted([*self.pending, *sequences], key=self.lengths.__getitem__)

    @property
    def tokens_left(self) -> int:
        """Tokens that this call still needs, its prefix counted once."""
        return self.prefix_length + sum(self.lengths[i] for i in self.pending)


Call = TypeVar("Call", bound=Waiting)


@dataclass(frozen=True)
class Share(Generic[Call]):
    """The sequences of one call that go into the next pack, longest first."""

    call: Call
    sequences: list[int]


def next_pack(calls: Sequence[Call], budget: int, limit: float = math.inf) -> list[Share[Call]]:
    """Take the next pack's sequences off the calls' pending lists.

    `calls` are in order of arrival, each with something pending; `budget` counts tokens, and no
    prefix makes the pack larger than `limit`. At least one sequence is taken, so one that is longer
    gets a pack beyond both.
    """
    oldest, *others = calls
    room = int(min(limit, max(budget, oldest.prefix_length / PREFIX_SHARE)))
    shares: list[Share[Call]] = []
    spare = room - int(room * OLDEST_SHARE)
    for call in sorted(others, key=lambda call: call.tokens_left.bit_length()):  # stable
        sequences, used = _take(call, spare)
        if sequences:
            shares.append(Share(call, sequences))
            spare -= used
            room -= used
    sequences, _ = _take(oldest, room, at_least_one=True)
    return [Share(oldest, sequences), *shares]


def _take(call: Waiting, room: int, at_least_one: bool = False) -> tuple[list[int], int]:
    """Take the longest pending sequences that fit; return them and the tokens they use."""
    taken: list[int] = []
    left: list[int] = []
    used = call.prefix_length
    for sequence in reversed(call.pending):
        length = call.lengths[sequence]
        if used + length <= room or (at_least_one and not taken):
            taken.append(sequence)
            used += length
        else:
            left.append(sequence)
    call.pending = left[::-1]
    return taken, used if taken else 0
