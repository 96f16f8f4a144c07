"""A submitted call: what came of its sequences, and who waits for it.

Knows nothing of models or threads. Whoever changes a call holds the lock of the queue that it is
in, except for `report` and `finish`, which run code of the caller's.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from zelo.errors import ScoringError
from zelo.local.packing import Part
from zelo.local.schedule import Share, Waiting

__all__ = ["Call", "halves", "part_of", "tokens_of"]

log = logging.getLogger("zelo")


@dataclass(eq=False)
class Call(Waiting):
    """One query's sequences, and the future that receives their logits."""

    part: Part = field(kw_only=True)
    outcome: "Future[list[float]]" = field(kw_only=True)
    on_progress: Callable[[int, int], None] | None = field(kw_only=True, default=None)
    arrival: int = field(kw_only=True, default=0)
    """Calls that were submitted before."""
    logits: list[float | None] = field(init=False)
    done: int = field(init=False, default=0)
    """How many of them are there."""
    reported: int = field(init=False, default=0)
    """How many of them the caller heard of."""
    settling: bool = field(init=False, default=False)
    """A thread is telling the caller; another one must not at the same time."""
    merged: bool = field(init=False, default=False)
    """It shared a pack with another call."""
    refused_by: set[int] = field(init=False, default_factory=set)
    """Workers whose model failed on one of its sequences alone."""
    refusal: ScoringError | None = field(init=False, default=None)
    """Why the last of them did."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.logits = [None] * len(self.lengths)

    def take_in(self, sequences: Sequence[int], logits: Sequence[float]) -> None:
        """Keep the logits of some of its sequences."""
        for sequence, logit in zip(sequences, logits, strict=True):
            self.done += self.logits[sequence] is None
            self.logits[sequence] = logit

    def report(self, done: int) -> None:
        """Tell the caller how many sequences are done; an error of the caller's is its own."""
        if self.on_progress is None:
            return
        try:
            self.on_progress(done, len(self.logits))
        except Exception as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        try:
            self.outcome.set_exception(error)
        except InvalidStateError:
            log.debug("a call failed that was cancelled or had failed", exc_info=error)

    def finish(self) -> None:
        """Answer with the logits, which must all be there."""
        try:
            self.outcome.set_result([logit for logit in self.logits if logit is not None])
        except InvalidStateError:
            log.debug("a call was cancelled while its last pack was computed")


def part_of(share: Share[Call]) -> Part:
    """Return the prompts of a share."""
    return Part(share.call.part.prefix, [share.call.part.suffixes[i] for i in share.sequences])


def tokens_of(shares: Sequence[Share[Call]]) -> int:
    """Return how many tokens a pack of these shares has."""
    return sum(
        share.call.prefix_length + sum(share.call.lengths[i] for i in share.sequences)
        for share in shares
    )


def halves(shares: list[Share[Call]]) -> tuple[list[Share[Call]], list[Share[Call]]] | None:
    """Split by callers, then by documents; None when a single document is left."""
    if len(shares) > 1:
        return shares[: len(shares) // 2], shares[len(shares) // 2 :]
    call, sequences = shares[0].call, shares[0].sequences
    if len(sequences) == 1:
        return None
    half = len(sequences) // 2
    return [Share(call, sequences[:half])], [Share(call, sequences[half:])]
