"""One model, many callers: a worker thread merges waiting calls into full packs.

A call is submitted from any thread and answered through a `concurrent.futures.Future`, which
event loops can await too. Cancelling the future drops what has not been computed. A failing pack
is halved until the guilty document stands alone, so an out-of-memory error or a bad sequence
costs its own call at most.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch

from zelo.errors import ClosedError, ModelFailedError, ScoringError
from zelo.local.packing import Pack, Part, build_pack
from zelo.local.schedule import Share, Waiting, next_pack
from zelo.results import Stats

__all__ = ["Engine", "Logits"]

log = logging.getLogger("zelo")


class Logits(Protocol):
    """A model as the engine sees it."""

    @property
    def device(self) -> torch.device:
        """Where a pack's tensors must be."""
        ...

    def logits(self, pack: Pack) -> list[float]:
        """Return one raw logit per prompt of the pack."""
        ...


@dataclass(eq=False)
class Call(Waiting):
    """One submitted call: its sequences, what came of them, and who waits."""

    part: Part = field(kw_only=True)
    outcome: "Future[list[float]]" = field(kw_only=True)
    on_progress: Callable[[int, int], None] | None = field(kw_only=True, default=None)
    logits: list[float | None] = field(init=False)
    merged: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.logits = [None] * len(self.lengths)

    def fail(self, error: BaseException) -> None:
        """Answer with an error; what is pending is dropped."""
        self.pending.clear()
        try:
            self.outcome.set_exception(error)
        except InvalidStateError:
            log.debug("a cancelled call failed", exc_info=error)

    def finish(self) -> None:
        """Answer with the logits, which must all be there."""
        try:
            self.outcome.set_result([logit for logit in self.logits if logit is not None])
        except InvalidStateError:
            log.debug("a call was cancelled while its last pack was computed")


class Engine:
    """Runs a model in a thread of its own and spreads its packs over the waiting calls."""

    def __init__(self, model: Logits, max_batch_tokens: int) -> None:
        self._model: Logits | None = model
        self._budget = max_batch_tokens
        self._changed = threading.Condition()
        self._calls: list[Call] = []
        self._stats = Stats()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="zelo-engine", daemon=True)
        self._thread.start()

    def submit(
        self,
        prefix: list[int],
        suffixes: list[list[int]],
        outcome: "Future[list[float]]",
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Queue the prompts `prefix + suffix` of one query; `outcome` receives their logits.

        `on_progress` is called from the engine's thread with (sequences done, sequences in all).

        Raises:
            ClosedError: the engine was closed.
        """
        part = Part(prefix, suffixes)
        lengths = list(map(len, suffixes))
        call = Call(len(prefix), lengths, part=part, outcome=outcome, on_progress=on_progress)
        with self._changed:
            if self._closing:
                raise ClosedError("the model was closed before the call could be scored")
            self._calls.append(call)
            self._changed.notify()

    @property
    def closed(self) -> bool:
        """No call is accepted any more."""
        return self._closing

    def stats(self) -> Stats:
        """Return the counters so far."""
        with self._changed:
            return self._stats

    def close(self) -> None:
        """Stop after the pack in work, fail what waits, and let go of the model."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._model = None

    def _run(self) -> None:
        error: Exception = ClosedError("the model was closed while the call waited")
        try:
            while (shares := self._next()) is not None:
                self._score(shares)
                self._settle([share.call for share in shares])
                del shares  # an idle engine must not keep the last texts alive
        except Exception as fault:  # nobody may wait for ever, whatever went wrong here
            log.exception("the engine stopped")
            error = ScoringError(f"the engine stopped: {type(fault).__name__}: {fault}")
        with self._changed:
            self._closing = True
            for call in self._calls:
                call.fail(error)
            self._calls.clear()

    def _next(self) -> list[Share[Call]] | None:
        """Wait for work and take the next pack, or return None when closing."""
        with self._changed:
            while not self._closing:
                self._calls = [call for call in self._calls if not call.outcome.done()]
                if self._calls:
                    return next_pack(self._calls, self._budget)
                self._changed.wait()
            return None

    def _score(self, shares: list[Share[Call]]) -> None:
        """Score the shares in one pack, in halves where that fails."""
        shares = [share for share in shares if not share.call.outcome.done()]
        if not shares or self._model is None:
            return
        parts = [_part(share) for share in shares]
        try:
            logits = self._model.logits(build_pack(parts, self._model.device))
        except Exception as error:
            halves = _halves(shares)
            if halves is None:
                shares[0].call.fail(_explained(error))
                return
            log.warning("a pack failed (%s) and is tried again in halves", type(error).__name__)
            for half in halves:
                self._score(half)
            return
        self._count(shares, parts)
        found = iter(logits)
        for share in shares:
            for sequence in share.sequences:
                share.call.logits[sequence] = next(found)

    def _count(self, shares: list[Share[Call]], parts: list[Part]) -> None:
        sequences = sum(len(share.sequences) for share in shares)
        tokens = sum(len(part.prefix) + sum(map(len, part.suffixes)) for part in parts)
        saved = sum(len(part.prefix) * (len(part.suffixes) - 1) for part in parts)
        for share in shares:
            share.call.merged |= len(shares) > 1
        with self._changed:
            self._stats = replace(
                self._stats,
                packs=self._stats.packs + 1,
                documents=self._stats.documents + sequences,
                tokens=self._stats.tokens + tokens,
                prefix_tokens_saved=self._stats.prefix_tokens_saved + saved,
            )

    def _settle(self, calls: list[Call]) -> None:
        """Report progress, and answer the calls that are complete."""
        for call in calls:
            done = len(call.logits) - call.logits.count(None)
            if call.on_progress is not None and not call.outcome.done():
                try:
                    call.on_progress(done, len(call.logits))
                except Exception as error:
                    call.fail(error)
            if done == len(call.logits) and not call.outcome.done():
                with self._changed:
                    self._stats = replace(
                        self._stats,
                        calls=self._stats.calls + 1,
                        merged_callers=self._stats.merged_callers + call.merged,
                    )
                call.finish()


def _part(share: Share[Call]) -> Part:
    return Part(share.call.part.prefix, [share.call.part.suffixes[i] for i in share.sequences])


def _halves(shares: list[Share[Call]]) -> tuple[list[Share[Call]], list[Share[Call]]] | None:
    """Split by callers, then by documents; None when a single document is left."""
    if len(shares) > 1:
        return shares[: len(shares) // 2], shares[len(shares) // 2 :]
    call, sequences = shares[0].call, shares[0].sequences
    if len(sequences) == 1:
        return None
    half = len(sequences) // 2
    return [Share(call, sequences[:half])], [Share(call, sequences[half:])]


def _explained(error: Exception) -> ModelFailedError:
    message = (
        f"the model failed on a single document: {type(error).__name__}: {error}. If memory ran "
        "out, lower max_document_tokens or use long_documents='chunk'."
    )
    explained = ModelFailedError(message)
    explained.__cause__ = error
    return explained
