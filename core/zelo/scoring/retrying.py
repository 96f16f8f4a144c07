"""How long a call is waited for, and how often a failure that may pass is tried again.

The one place that decides this, whichever scorer does the work. Pauses between attempts grow from
half a second to eight with full jitter, so callers that failed together do not return together
(M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

import asyncio
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from zelo._common.fork import Lock
from zelo.errors import RemoteError, ScoringError, ScoringTimeoutError

__all__ = ["Patience", "Retries"]

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
TOLD_AGAIN_S = 600.0

log = logging.getLogger("zelo")
Answer = TypeVar("Answer")


class Retries:
    """The retries of one server: how many it is asked to bear, and how they are told.

    They are bounded to about a tenth of all calls, so that they hardly add to a failing server's
    load: each call earns a tenth of a retry, up to ten retries in reserve, with which it starts.

    The first of each kind is logged, the others are counted, and their number is logged in the end;
    and while there are more of a kind, every ten minutes, for programs that run for months.

    Args:
        server: what the log calls it; no secret.
        share: of a retry, that each call earns.
        reserve: the most that is kept.
    """

    def __init__(self, server: str, share: float = 0.1, reserve: float = 10.0) -> None:
        self._server = server
        self._share, self._reserve, self._saved = share, reserve, reserve
        self._told: dict[str, float] = {}
        self._untold: Counter[str] = Counter()
        self._lock = Lock()

    def earn(self) -> None:
        """Count one call."""
        with self._lock:
            self._saved = min(self._reserve, self._saved + self._share)

    def spend(self) -> bool:
        """Whether one more retry is within the bound, which it then uses up."""
        with self._lock:
            if self._saved < 1.0:
                return False
            self._saved -= 1.0
            return True

    def tell(self, error: ScoringError, pause: float) -> None:
        """Log that a call is tried again, or count it, if its kind was logged lately."""
        kind, now = _kind(error), time.monotonic()
        with self._lock:
            if now - self._told.get(kind, -math.inf) < TOLD_AGAIN_S:
                self._untold[kind] += 1
                return
            self._told[kind] = now
            more = self._untold.pop(kind, 0)
        since = f"; so were {more:,} others since the last such line" if more else ""
        log.warning("tried again in %.1f s%s: %s", pause, since, error)

    def sum_up(self) -> None:
        """Log how many there were that were not logged; calling it twice is harmless."""
        with self._lock:
            counts, self._untold = self._untold, Counter()
        if counts:
            kinds = ", ".join(f"{kind}: {count:,}" for kind, count in counts.most_common())
            log.warning("%s: further retries: %s (%s)", self._server, counts.total(), kinds)


@dataclass(frozen=True, slots=True)
class Patience:
    """What a caller is willing to wait: applied to a call as a whole, attempts and pauses."""

    timeout: float | None = None
    """Seconds until the call fails with ScoringTimeoutError; None waits as long as it takes."""
    max_retries: int = 2
    """Further attempts after a ScoringError that says it is `transient`."""

    def call(
        self,
        attempt: Callable[[float | None], Answer],
        since: float | None = None,
        retries: Retries | None = None,
    ) -> Answer:
        """Return what `attempt` returns, given the seconds it has left (None for no limit).

        `since` is the `time.monotonic()` from which the timeout counts; default, now. An attempt
        that finds its seconds used up raises `expired()`.
        """
        course = _Course(self, since, retries)
        while True:
            try:
                return attempt(course.left())
            except ScoringError as error:
                pause = course.pause(error)
            time.sleep(pause)

    async def acall(
        self,
        attempt: Callable[[float | None], Awaitable[Answer]],
        since: float | None = None,
        retries: Retries | None = None,
    ) -> Answer:
        """`call` for event loops."""
        course = _Course(self, since, retries)
        while True:
            try:
                return await attempt(course.left())
            except ScoringError as error:
                pause = course.pause(error)
            await asyncio.sleep(pause)

    def left(self, since: float) -> float | None:
        """Return the seconds that remain of the timeout; None for no limit."""
        return None if self.timeout is None else max(0.0, since + self.timeout - time.monotonic())

    def expired(self) -> ScoringTimeoutError:
        """Return the error of a call that has used up its time."""
        message = (
            f"no scores within {self.timeout:g} s; what was not computed by then was dropped. Send "
            "fewer or shorter documents, or allow more time (the model's loading does not count)"
        )
        return ScoringTimeoutError(message)


class _Course:
    """One call's way through its attempts."""

    def __init__(self, patience: Patience, since: float | None, retries: Retries | None) -> None:
        self._patience = patience
        self._since = time.monotonic() if since is None else since
        self._of_server = retries
        self._retries = 0
        if retries is not None:
            retries.earn()

    def left(self) -> float | None:
        return self._patience.left(self._since)

    def pause(self, error: ScoringError) -> float:
        """Return the seconds until the next attempt, or raise the error if there is none."""
        if not error.transient or self._retries >= self._patience.max_retries:
            raise error
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**self._retries)
        asked = error.retry_after
        pause = random.uniform(0, longest) if asked is None else asked  # noqa: S311 - no secret
        left = self.left()
        if left is not None and pause >= left:
            raise error
        if self._of_server is not None and not self._of_server.spend():
            raise error
        self._retries += 1
        if self._of_server is not None:
            self._of_server.tell(error, pause)
        else:
            log.warning("tried again in %.1f s: %s", pause, error)
        return pause


def _kind(error: ScoringError) -> str:
    status = error.status if isinstance(error, RemoteError) else None
    return "no whole answer" if status is None else f"answered {status}"
