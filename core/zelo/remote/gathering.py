"""What comes back of a call's parts, put together."""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from zelo.remote.asking import Part
from zelo.scoring import Progress, Scored, ScoreRequest

__all__ = ["Answers", "all_of"]


class Answers:
    """The scores of a call, as its parts come in."""

    def __init__(self, requests: Sequence[ScoreRequest], progress: Progress | None) -> None:
        self.found: list[list[Scored | None]] = [[None] * len(r.documents) for r in requests]
        self.dropped = False
        """The call has failed, and nobody waits for what is still to come."""
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    def add(self, part: Part, scored: list[Scored]) -> None:
        """Put a part's scores to their places, and tell how far the call is."""
        with self._lock:
            self.found[part.request][part.places.start : part.places.stop] = scored
            self._done += len(scored)
            if self._progress is not None:
                self._progress(self._done, sum(map(len, self.found)))

    def whole(self) -> list[list[Scored]]:
        """Return all scores; every part has come in."""
        return [[s for s in scored if s is not None] for scored in self.found]


async def all_of(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Await all; when one fails, cancel the others, wait for their end, and raise."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
