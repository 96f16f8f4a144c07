"""Several scorers in order of preference: where one fails, the next one answers."""

import logging
import time
from collections.abc import Iterator, Sequence

from zelo._common.fork import Lock
from zelo.errors import (
    DialectError,
    ModelError,
    RemoteAuthError,
    ScoringError,
)
from zelo.results import Stats
from zelo.scoring import Progress, Scored, Scorer, ScoreRequest

__all__ = ["FailoverScorer"]

log = logging.getLogger("zelo")

REST_S = 30.0
"""Seconds for which a scorer that has failed is asked last."""
FINAL = (RemoteAuthError, DialectError)
"""Errors of how the reranker was set up, which another server must not hide."""


class FailoverScorer:
    """Asks the first scorer that works; every score of another one says whose it is."""

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        self._scorers: list[Scorer] = []
        for scorer in scorers:  # of an inner one, each scorer is asked in its turn here
            inner = scorer._scorers if isinstance(scorer, FailoverScorer) else [scorer]
            self._scorers.extend(inner)
        self._lock = Lock()
        self._rests_until = [0.0] * len(self._scorers)

    def score(
        self, requests: Sequence[ScoreRequest], progress: Progress | None = None
    ) -> list[list[Scored]]:
        """Score with the first that works.

        Raises:
            ScoringError, ModelError: what the last one raised, when none works.
        """
        failed: Exception | None = None
        for number in self._order():
            try:
                return self._signed(number, self._scorers[number].score(requests, progress))
            except (ScoringError, ModelError) as error:
                self._rest(number, error)
                failed = error
        raise _last(failed)

    async def ascore(
        self, requests: Sequence[ScoreRequest], progress: Progress | None = None
    ) -> list[list[Scored]]:
        """`score` for event loops."""
        failed: Exception | None = None
        for number in self._order():
            try:
                found = await self._scorers[number].ascore(requests, progress)
                return self._signed(number, found)
            except (ScoringError, ModelError) as error:
                self._rest(number, error)
                failed = error
        raise _last(failed)

    def warmup(self) -> None:
        """Warm all up, so that a failure finds the next one ready."""
        for scorer in self._scorers:
            try:
                scorer.warmup()
            except (ScoringError, ModelError) as error:
                log.warning("%r cannot be warmed up: %s", scorer, error)

    @property
    def commit(self) -> str | None:
        """The first scorer's."""
        return getattr(self._scorers[0], "commit", None)

    def stats(self) -> Stats:
        """Return the first scorer's counters."""
        return self._scorers[0].stats()

    def close(self) -> None:
        """Close all."""
        for scorer in self._scorers:
            scorer.close()

    def __reduce__(self) -> tuple[type["FailoverScorer"], tuple[list[Scorer]]]:
        return type(self), (self._scorers,)

    def __repr__(self) -> str:
        return ", else ".join(map(repr, self._scorers))

    def _order(self) -> Iterator[int]:
        """Yield the scorers' numbers: those at rest last, each group in order of preference."""
        now = time.monotonic()
        with self._lock:
            resting = [until > now for until in self._rests_until]
        yield from sorted(range(len(resting)), key=lambda number: (resting[number], number))

    def _rest(self, number: int, error: Exception) -> None:
        if isinstance(error, FINAL):
            raise error
        with self._lock:
            self._rests_until[number] = time.monotonic() + REST_S
        log.warning("%r failed: %s", self._scorers[number], error)

    def _signed(self, number: int, found: list[list[Scored]]) -> list[list[Scored]]:
        """Say whose the scores are, where they are not those of the first choice."""
        if number == 0:
            return found
        name = repr(self._scorers[number])
        log.warning("scores come from %s", name)
        return [[scored._replace(source=name) for scored in of] for of in found]


def _last(error: Exception | None) -> Exception:
    return ScoringError("there is no scorer") if error is None else error
