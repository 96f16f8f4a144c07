"""One queue, many callers: workers merge waiting calls into full packs, one worker for each model.

A call is submitted from any thread and answered through a `concurrent.futures.Future`, which
event loops can await too. Cancelling the future drops what has not been computed. A failing pack
is halved until the guilty document stands alone, so an out-of-memory error or a bad sequence
costs its own call at most.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from zelo.local.call_queue import CallQueue
from zelo.local.calls import Call
from zelo.local.packing import Part
from zelo.local.worker import Logits, Pending, Worker
from zelo.results import Stats

__all__ = ["Engine", "Logits", "Pending"]


class Engine:
    """Runs copies of a model, each in a thread of its own, and spreads packs over waiting calls.

    Args:
        models: copies of one model, on a device each.
        max_batch_tokens: most tokens of one pack.
    """

    def __init__(self, models: Sequence[Logits], max_batch_tokens: int) -> None:
        self._queue = CallQueue(len(models))
        self._workers = [
            Worker(number, model, self._queue, max_batch_tokens)
            for number, model in enumerate(models)
        ]

    def submit(
        self,
        prefix: list[int],
        suffixes: list[list[int]],
        outcome: "Future[list[float]]",
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Queue the prompts `prefix + suffix` of one query; `outcome` receives their logits.

        `on_progress` is called from an engine's thread, never from two at once, with (sequences
        done, sequences in all).

        Raises:
            ClosedError: the engine was closed.
        """
        lengths = list(map(len, suffixes))
        part = Part(prefix, suffixes)
        self._queue.add(
            Call(len(prefix), lengths, part=part, outcome=outcome, on_progress=on_progress)
        )

    def rehearse(self, packs: Sequence[Sequence[Part]]) -> "list[Future[None]]":
        """Compute packs on every model, for nobody: what is done once is then done.

        The futures end with the packs, or with an error.

        Raises:
            ClosedError: the engine was closed.
        """
        return self._queue.rehearse(packs)

    @property
    def closed(self) -> bool:
        """No call is accepted any more."""
        return self._queue.closed

    def stats(self) -> Stats:
        """Return the counters so far."""
        return self._queue.stats()

    def close(self) -> None:
        """Stop after the packs in work, fail what waits, and let go of the models."""
        self._queue.close()
        threads = [worker.thread for worker in self._workers]
        if threading.current_thread() not in threads:  # a progress callback may close, too
            for thread in threads:
                thread.join()
