"""The seam between the face and what computes scores: texts in, one `Scored` per document out.

A scorer knows nothing of rankings, cutoffs or frameworks. `zelo.local` implements it in this
process; a remote one speaks HTTP.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from zelo.results import Stats

__all__ = ["Progress", "ScoreRequest", "Scored", "Scorer"]

Progress = Callable[[int, int], None]
"""Called with (documents done, documents in all), from whatever thread does the scoring."""


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """One query with its candidates. Every document is a non-blank string."""

    query: str
    documents: tuple[str, ...]
    instruction: str | None = None


class Scored(NamedTuple):
    """What a scorer says about one document."""

    logit: float
    """Raw model output. One that is not finite is an error, which the face raises."""
    probability: float
    """The family's map of the logit to [0, 1]."""
    truncated: bool = False
    """The end of the document was not read."""
    tokens: int = 0
    """Length of the prompts read for it; 0 from a scorer that does not count."""
    source: str | None = None
    """Who scored, where it was not the scorer of first choice."""


class Scorer(Protocol):
    """Scores batches of requests; safe to call from many threads and event loops at once."""

    def score(
        self, requests: Sequence[ScoreRequest], progress: Progress | None = None
    ) -> list[list[Scored]]:
        """Return, per request and in input order, one `Scored` per document."""
        ...

    async def ascore(
        self, requests: Sequence[ScoreRequest], progress: Progress | None = None
    ) -> list[list[Scored]]:
        """The same without blocking the event loop; cancelling drops what is not yet computed."""
        ...

    def warmup(self) -> None:
        """Do now what the first call would otherwise wait for."""
        ...

    def stats(self) -> Stats:
        """Return the counters of the work done so far."""
        ...

    def close(self) -> None:
        """Free what is held; calling it twice is harmless."""
        ...
