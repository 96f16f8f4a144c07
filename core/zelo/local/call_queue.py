"""The calls that wait for a model, and the workers that take from them. Knows no model.

All state stands behind one lock, under which nothing is computed and no code of a caller's runs.
Every sequence is handed out to one worker at a time, and either its logit comes back, or an error,
or the sequence itself for another worker to try.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, fields

from zelo.errors import ClosedError, ScoringError
from zelo.local.budget import Budget
from zelo.local.calls import Call
from zelo.local.packing import Part
from zelo.local.schedule import Share, next_pack
from zelo.results import Stats

__all__ = ["CallQueue", "Rehearsal"]

TRIED_ON = 2
"""Models on which a call is tried before it fails: the first one may be broken, but a sequence that
breaks models must not reach all of them."""


@dataclass(eq=False)
class Rehearsal:
    """A pack that one worker computes for no caller, so that a later one like it is fast."""

    parts: Sequence[Part]
    outcome: "Future[None]" = field(default_factory=Future)


class CallQueue:
    """What waits, shared by the workers numbered from 0."""

    def __init__(self, workers: int) -> None:
        self._changed = threading.Condition()
        self._alive = set(range(workers))
        self._calls: list[Call] = []
        self._rehearsals: list[deque[Rehearsal]] = [deque() for _ in range(workers)]
        self._arrivals = 0
        self._stats = Stats()
        self._closed = False

    @property
    def closed(self) -> bool:
        """No call is accepted any more."""
        return self._closed

    def stats(self) -> Stats:
        """Return the counters so far."""
        with self._changed:
            return self._stats

    def add(self, call: Call) -> None:
        """Let a call wait.

        Raises:
            ClosedError: the queue was closed.
        """
        with self._changed:
            if self._closed:
                raise ClosedError("the model was closed before the call could be scored")
            call.arrival = self._arrivals = self._arrivals + 1
            self._calls.append(call)
            self._changed.notify_all()

    def rehearse(self, packs: Sequence[Sequence[Part]]) -> "list[Future[None]]":
        """Let every worker compute packs before all else; each future ends one of them.

        Raises:
            ClosedError: the queue was closed.
        """
        with self._changed:
            if self._closed:
                raise ClosedError("the model was closed before it was warm")
            found = {worker: [Rehearsal(parts) for parts in packs] for worker in self._alive}
            for worker, rehearsals in found.items():
                self._rehearsals[worker].extend(rehearsals)
            self._changed.notify_all()
        return [one.outcome for rehearsals in found.values() for one in rehearsals]

    def take(
        self, worker: int, budget: Budget, until: Callable[[], bool]
    ) -> "list[Share[Call]] | Rehearsal | None":
        """Wait for work, and take the next pack for a worker.

        An empty list is returned when there is none and `until()` holds, which is looked at when
        `wake` is called. None means that this worker is to stop.
        """
        with self._changed:
            while not self._closed and worker in self._alive:
                if self._rehearsals[worker]:
                    return self._rehearsals[worker].popleft()
                if shares := self._next_pack(worker, budget):
                    return shares
                if until():
                    return []
                self._changed.wait()
            return None

    def wake(self) -> None:
        """Let those who wait in `take` look again."""
        with self._changed:
            self._changed.notify_all()

    def scored(self, shares: Iterable[tuple[Share[Call], Sequence[float]]], counted: Stats) -> None:
        """Take in a pack's logits, share by share, and answer the calls that are complete.

        `counted` is added to the counters.
        """
        calls = []
        with self._changed:
            self._count(counted)
            for share, logits in shares:
                share.call.take_in(share.sequences, logits)
                calls.append(share.call)
            for call in calls:
                call.merged |= len(calls) > 1
        for call in calls:
            self._settle(call)

    def refuse(self, worker: int, share: Share[Call], error: ScoringError) -> None:
        """Take in that a worker's model failed on a sequence that stood alone.

        Another worker will try it, if there is one; otherwise its call fails with the error.
        """
        call = share.call
        with self._changed:
            call.refused_by.add(worker)
            call.refusal = error
            elsewhere = len(call.refused_by) < TRIED_ON and self._alive - call.refused_by
            if elsewhere and not self._closed:
                call.hand_back(share.sequences)
                if call not in self._calls:
                    self._calls.append(call)
                    self._calls.sort(key=lambda call: call.arrival)
                self._changed.notify_all()
                return
        call.fail(error)

    def leave(self, worker: int, error: ScoringError, *, unless_last: bool = False) -> bool:
        """Take in that a worker stops, and tell whether it may: with `unless_last`, one must stay.

        What nobody else will do gets the error; calls that were refused get why.
        """
        with self._changed:
            if unless_last and self._alive <= {worker}:
                return False
            self._alive.discard(worker)
            self._closed |= not self._alive
            left = [call for call in self._calls if not self._alive - call.refused_by]
            self._calls = [call for call in self._calls if call not in left]
            rehearsals = list(self._rehearsals[worker])
            self._rehearsals[worker].clear()
            self._changed.notify_all()
        for call in left:
            call.fail(call.refusal or error)
        for rehearsal in rehearsals:
            rehearsal.outcome.set_exception(error)
        return True

    def close(self) -> None:
        """Accept nothing more, and fail what waits; packs in work are finished."""
        with self._changed:
            self._closed = True
            left, self._calls = self._calls, []
            rehearsals = [one for of_worker in self._rehearsals for one in of_worker]
            self._rehearsals = [deque() for _ in self._rehearsals]
            self._changed.notify_all()
        error = ClosedError("the model was closed while the call waited")
        for call in left:
            call.fail(error)
        for rehearsal in rehearsals:
            rehearsal.outcome.set_exception(error)

    def count(self, counted: Stats) -> None:
        """Add to the counters."""
        with self._changed:
            self._count(counted)

    def _count(self, counted: Stats) -> None:
        names = [field.name for field in fields(Stats)]
        old, more = self._stats, counted
        self._stats = Stats(**{name: getattr(old, name) + getattr(more, name) for name in names})

    def _next_pack(self, worker: int, budget: Budget) -> list[Share[Call]]:
        waiting = [call for call in self._calls if not call.outcome.done()]
        mine = [call for call in waiting if worker not in call.refused_by]
        shares = next_pack(mine, budget.usual, budget.limit) if mine else []
        self._calls = [call for call in waiting if call.pending]
        return shares

    def _settle(self, call: Call) -> None:
        """Report progress, and answer a call that is complete; one thread at a time."""
        with self._changed:
            if call.settling:
                return  # whoever is at it sees what has come since
            call.settling = True
        while True:
            with self._changed:
                done = call.done
                if done == call.reported or call.outcome.done():
                    call.settling = False
                    return
                call.reported = done
            call.report(done)
            if done == len(call.logits) and not call.outcome.done():
                self.count(Stats(calls=1, merged_callers=call.merged))
                call.finish()
