"""One model at work in a thread of its own: packs taken, computed, halved where that fails.

A model that works while its caller goes on, as a card does, is given its next pack before the last
one is done: what the host does then costs no time. Another thread waits for the card meanwhile, so
that a call which comes late is not kept waiting by the pack under way. A model that computes in the
caller's thread gets one pack at a time, and answers each before it takes the next.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import torch

from zelo.errors import ClosedError, ModelFailedError, ScoringError
from zelo.local.budget import Budget
from zelo.local.call_queue import CallQueue, Rehearsal
from zelo.local.calls import Call, halves, part_of, tokens_of
from zelo.local.out_of_memory import free_cached, is_out_of_memory, without_tensors
from zelo.local.packing import Pack, Part, build_pack
from zelo.local.schedule import Share
from zelo.results import Stats

__all__ = ["Logits", "Pending", "Worker"]

log = logging.getLogger("zelo")

RETIRED_AFTER = 3
"""Sequences in a row on which a model fails, alone, before it is used no more: after a fault of a
card every call on it fails, at once, and it would take the work from the cards that are whole."""


class Pending(Protocol):
    """A pack under way."""

    def result(self) -> list[float]:
        """Wait, and return one raw logit per prompt of the pack."""
        ...


class Logits(Protocol):
    """A model as a worker sees it."""

    @property
    def device(self) -> torch.device:
        """Where a pack's tensors must be."""
        ...

    @property
    def asynchronous(self) -> bool:
        """`start` returns before the pack is computed."""
        ...

    def start(self, pack: Pack) -> Pending:
        """Begin to compute a pack."""
        ...


@dataclass(frozen=True, slots=True)
class Failed:
    """A pack that could not even be started."""

    error: Exception

    def result(self) -> list[float]:
        """Raise why."""
        raise self.error


@dataclass(frozen=True, slots=True)
class Started:
    """A pack under way, and whose sequences are in it."""

    shares: list[Share[Call]]
    room: int
    """Tokens that it might have had."""
    pending: "Pending | Future[list[float]]"

    @property
    def ready(self) -> bool:
        """Nobody would have to wait for its result, as far as that is known."""
        return not isinstance(self.pending, Future) or self.pending.done()

    @property
    def failed(self) -> bool:
        """It is known to have failed: the next one should not be like it."""
        if isinstance(self.pending, Future):
            return self.pending.done() and self.pending.exception() is not None
        return isinstance(self.pending, Failed)

    @property
    def counted(self) -> Stats:
        """What it adds to the counters."""
        tokens = tokens_of(self.shares)
        return Stats(
            packs=1,
            documents=sum(len(share.sequences) for share in self.shares),
            tokens=tokens,
            room=max(self.room, tokens),
            prefix_tokens_saved=sum(
                share.call.prefix_length * (len(share.sequences) - 1) for share in self.shares
            ),
        )


class Worker:
    """Computes what waits in a queue, until that is closed.

    Args:
        number: the worker's in the queue.
        model: what it computes with, and lets go of when it stops.
        queue: what it takes from, and brings logits to.
        max_batch_tokens: most tokens of a pack.
    """

    def __init__(self, number: int, model: Logits, queue: CallQueue, max_batch_tokens: int) -> None:
        self.model: Logits | None = model
        self._number = number
        self._queue = queue
        self._device = model.device
        self._ahead = 1 if model.asynchronous else 0
        name = f"zelo-wait-{number}"
        self._waiting = ThreadPoolExecutor(1, name) if model.asynchronous else None
        self._budget = Budget(max_batch_tokens)
        self._under_way: deque[Started] = deque()
        self._failed_in_a_row = 0
        self.thread = threading.Thread(target=self._run, name=f"zelo-engine-{number}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            if self._device.index:  # every thread begins with the first card
                torch.accelerator.set_device_index(self._device)
            self._work()
        except Exception as fault:  # nobody may wait for ever, whatever went wrong here
            log.exception("the engine stopped")
            error = ScoringError(f"the engine stopped: {type(fault).__name__}: {fault}")
            for started in self._under_way:
                for share in started.shares:
                    share.call.fail(error)
            self._queue.leave(self._number, error)
        finally:
            self._under_way.clear()
            self.model = None
            if self._waiting is not None:
                self._waiting.shutdown(wait=False)

    def _work(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        """Start a pack or finish one; tell whether there may be more to do."""
        full = len(self._under_way) > self._ahead or any(one.failed for one in self._under_way)
        work = [] if full else self._queue.take(self._number, self._budget, self._is_one_ready)
        if isinstance(work, Rehearsal):
            self._rehearse(work)
        elif work:
            self._under_way.append(self._start(work))
        elif self._under_way:
            self._finish(self._under_way[0])
            self._under_way.popleft()
        else:
            return False
        return True

    def _is_one_ready(self) -> bool:
        return bool(self._under_way) and self._under_way[0].ready

    def _start(self, shares: list[Share[Call]]) -> Started:
        """Start a pack; a failure is found when it is finished, as those of a card are."""
        room = self._budget.tokens
        try:
            pending = self._begin([part_of(share) for share in shares])
        except Exception as error:
            return Started(shares, room, Failed(without_tensors(error)))
        if self._waiting is None:
            return Started(shares, room, pending)
        waited = self._waiting.submit(pending.result)
        waited.add_done_callback(lambda _: self._queue.wake())
        return Started(shares, room, waited)

    def _begin(self, parts: Sequence[Part]) -> Pending:
        if self.model is None:
            raise ClosedError("the model was closed")
        return self.model.start(build_pack(parts, self.model.device))

    def _finish(self, started: Started) -> None:
        """Wait for a pack, and hand out its logits; where it failed, compute its halves."""
        try:
            logits = started.pending.result()
        except Exception as error:
            failure = without_tensors(error)
        else:
            self._hand_out(started, logits)
            return
        tokens = tokens_of(started.shares)
        log.warning("a pack of %d tokens failed: %s", tokens, type(failure).__name__)
        if is_out_of_memory(failure):
            self._budget.did_not_fit(tokens)
            self._queue.count(Stats(out_of_memory=1))
            free_cached(self._device)
        shares = [share for share in started.shares if not share.call.outcome.done()]
        if shares:
            self._again(shares, failure)

    def _hand_out(self, started: Started, logits: list[float]) -> None:
        self._budget.fitted()
        self._failed_in_a_row = 0
        counted = started.counted
        if len(logits) != counted.documents:
            message = f"the model gave {len(logits)} logits for {counted.documents} prompts"
            raise ValueError(message)
        rest = iter(logits)
        found = [(share, list(islice(rest, len(share.sequences)))) for share in started.shares]
        self._queue.scored(found, counted)

    def _again(self, shares: list[Share[Call]], failure: Exception) -> None:
        """Compute the halves of a pack that failed; a sequence alone is refused."""
        parts = halves(shares)
        if parts is None:
            self._refuse(shares[0], failure)
            return
        for half in parts:
            wanted = [share for share in half if not share.call.outcome.done()]
            here = [share for share in wanted if self._number not in share.call.refused_by]
            for share in wanted:
                if share not in here:  # what is left of a refused call is for others as well
                    self._queue.refuse(self._number, share, _explained(failure))
            if here and halves(here) and tokens_of(here) > self._budget.limit:
                self._again(here, failure)  # trying it would be in vain
            elif here:
                self._finish(self._start(here))

    def _refuse(self, share: Share[Call], failure: Exception) -> None:
        self._queue.refuse(self._number, share, _explained(failure))
        self._failed_in_a_row += not is_out_of_memory(failure)
        if self._failed_in_a_row != RETIRED_AFTER:
            return
        error = ModelFailedError(f"the model on {self._device} fails again and again")
        if self._queue.leave(self._number, error, unless_last=True):
            log.error(
                "the model on %s failed on %d documents in a row and is used no more: %s",
                self._device,
                RETIRED_AFTER,
                type(failure).__name__,
            )

    def _rehearse(self, rehearsal: Rehearsal) -> None:
        """Compute a pack for nobody."""
        try:
            self._begin(rehearsal.parts).result()
        except Exception as error:
            message = f"the model failed as it was warmed up: {type(error).__name__}: {error}"
            failure = ModelFailedError(message)
            failure.__cause__ = without_tensors(error)
            rehearsal.outcome.set_exception(failure)
        else:
            rehearsal.outcome.set_result(None)


def _explained(error: Exception) -> ModelFailedError:
    message = (
        f"the model failed on a single document: {type(error).__name__}: {error}. If memory ran "
        "out, lower max_document_tokens or use long_documents='chunk'."
    )
    explained = ModelFailedError(message)
    explained.__cause__ = error
    return explained
