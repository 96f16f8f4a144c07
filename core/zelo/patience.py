"""How long a call is waited for, and how often a failure that may pass is tried again.

The one place that decides this, whichever scorer does the work. Pauses between attempts grow from
half a second to eight with full jitter, so callers that failed together do not return together
(M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from zelo.errors import ScoringError, ScoringTimeoutError

__all__ = ["Patience"]

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0

log = logging.getLogger("zelo")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Patience:
    """What a caller is willing to wait: applied to a call as a whole, attempts and pauses."""

    timeout: float | None = None
    """Seconds until the call fails with ScoringTimeoutError; None waits as long as it takes."""
    max_retries: int = 2
    """Further attempts after a ScoringError that says it is `transient`."""

    def call(self, attempt: Callable[[float | None], Answer]) -> Answer:
        """Return what `attempt` returns, given the seconds it has left (None for no limit).

        An attempt that finds its seconds used up raises `expired()`.
        """
        end, number = self._end(), 0
        while True:
            try:
                return attempt(self._left(end))
            except ScoringError as error:
                pause = self._pause(error, number, end)
            number += 1
            time.sleep(pause)

    async def acall(self, attempt: Callable[[float | None], Awaitable[Answer]]) -> Answer:
        """`call` for event loops."""
        end, number = self._end(), 0
        while True:
            try:
                return await attempt(self._left(end))
            except ScoringError as error:
                pause = self._pause(error, number, end)
            number += 1
            await asyncio.sleep(pause)

    def expired(self) -> ScoringTimeoutError:
        """Return the error of a call that has used up its time."""
        message = (
            f"no scores within {self.timeout} s; what was not computed by then was dropped. Send "
            "fewer or shorter documents, or allow more time (the model's loading does not count)"
        )
        return ScoringTimeoutError(message)

    def _end(self) -> float | None:
        return None if self.timeout is None else time.monotonic() + self.timeout

    def _left(self, end: float | None) -> float | None:
        return None if end is None else max(0.0, end - time.monotonic())

    def _pause(self, error: ScoringError, number: int, end: float | None) -> float:
        """Return the seconds until the next attempt, or raise the error if there is none."""
        if not error.transient or number >= self.max_retries:
            raise error
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**number)
        pause = random.uniform(0, longest)  # noqa: S311 - no secret depends on it
        if end is not None and time.monotonic() + pause >= end:
            raise error
        log.warning("scoring failed and is tried again in %.1f s: %s", pause, error)
        return pause
