"""The local `Scorer`: texts to logits with a model in this process, loaded at its first use.

Each call goes through two threads: one encodes, the engine's own scores, so a call's tokenisation
overlaps with another's forward pass. Blocking and awaiting callers share this one path.
"""

import asyncio
import contextlib
import math
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, InvalidStateError, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zelo._common.fork import in_each_process, leave_to_parent
from zelo.errors import ClosedError, InputError, MissingExtraError
from zelo.results import Stats
from zelo.scoring import Progress, Scored, ScoreRequest
from zelo.scoring.catalog import COMMIT
from zelo.scoring.options import InstanceKey, Limits, ReadingOptions
from zelo.scoring.retrying import Patience

if TYPE_CHECKING:  # these import torch, which is loaded with the model
    from zelo.local.instances import Instance
    from zelo.local.prompt import EncodedRequest

__all__ = ["LocalScorer"]

DEFAULT_MAX_TOKENS = 32_768
"""The length that the zerank model cards state; shorter where the model's folder says so."""


class LocalScorer:
    """Scores with a model of this process, shared with every scorer that has the same key.

    A forked child loads its own at its next call.
    """

    def __init__(
        self, key: InstanceKey, options: ReadingOptions, patience: Patience | None = None
    ) -> None:
        self._key = key
        self._options = options
        self._patience = patience or Patience()
        self._closed = False
        self._release: weakref.finalize[..., Any] | None = None
        in_each_process(self._begin)

    def _begin(self) -> None:
        leave_to_parent(self._release)
        self._lock = threading.Lock()
        self._instance: Instance | None = None
        self._release = None

    def score(
        self, requests: Sequence[ScoreRequest], progress: Progress | None = None
    ) -> list[list[Scored]]:
        """Score and wait. An interrupted or failed call drops what was not yet computed."""
        self._acquire()  # loading does not count as waiting for scores
        return self._patience.call(lambda seconds: self._attempt(requests, progress, seconds))

    async def ascore(
        self, requests: Sequence[ScoreRequest], progress: Progress | None = None
    ) -> list[list[Scored]]:
        """Score without blocking the event loop, not even while the model loads."""
        if self._instance is None:
            await asyncio.to_thread(self._acquire)
        return await self._patience.acall(
            lambda seconds: self._aattempt(requests, progress, seconds)
        )

    def warmup(self) -> None:
        """Load the model, run what is slow the first time, and send one pair through it."""
        self._acquire().warm_up()
        self.score([ScoreRequest("warm-up", ("warm-up",))])

    def stats(self) -> Stats:
        """Return the loaded model's counters; all zero before its first use."""
        instance = self._instance
        return instance.engine.stats() if instance else Stats()

    def close(self) -> None:
        """Give the model back; its memory is freed when no other scorer uses it."""
        with self._lock:
            self._closed = True
            self._instance = None
        if self._release is not None:
            self._release()

    @property
    def commit(self) -> str | None:
        """The commit of the loaded model; before it is loaded, the one it is pinned to, if any."""
        instance, revision = self._instance, self._key.source.revision
        if instance is not None:
            return instance.commit
        return revision if revision and COMMIT.fullmatch(revision) else None

    def __reduce__(
        self,
    ) -> tuple[type["LocalScorer"], tuple[InstanceKey, ReadingOptions, Patience]]:
        """Carry settings, not weights, through pickle and copy."""
        return type(self), (self._key, self._options, self._patience)

    def __repr__(self) -> str:
        if self._instance is not None:
            return self._instance.description
        revision = f" @ {self._key.source.revision}" if self._key.source.revision else ""
        state = "closed" if self._closed else "not loaded"
        return f"{self._key.source.repo_id or self._key.source.name}{revision} ({state})"

    def _acquire(self) -> "Instance":
        with self._lock:
            if self._closed:
                message = "this reranker was closed; make a new Reranker to score again"
                raise ClosedError(message)
            if self._instance is None:
                self._instance = _acquire_instance(self._key)
                self._release = weakref.finalize(self, self._instance.release)
            return self._instance

    def _attempt(
        self, requests: Sequence[ScoreRequest], progress: Progress | None, seconds: float | None
    ) -> list[list[Scored]]:
        work = self._submit(requests, progress)
        try:
            done, unfinished = wait(work.futures, seconds, return_when=FIRST_EXCEPTION)
            found = [future.result() for future in work.futures if future in done]
            if unfinished:  # and none failed, or its result() had raised
                raise self._patience.expired()
        except BaseException:
            work.cancel()
            raise
        return [work.scored(i, logits) for i, logits in enumerate(found)]

    async def _aattempt(
        self, requests: Sequence[ScoreRequest], progress: Progress | None, seconds: float | None
    ) -> list[list[Scored]]:
        work = self._submit(requests, progress)
        clock = asyncio.timeout(seconds)
        try:
            async with clock:
                found = [await asyncio.wrap_future(future) for future in work.futures]
        except BaseException:
            work.cancel()
            if clock.expired():
                raise self._patience.expired() from None
            raise
        return [work.scored(i, logits) for i, logits in enumerate(found)]

    def _submit(self, requests: Sequence[ScoreRequest], progress: Progress | None) -> "_Work":
        instance = self._acquire()
        work = _Work(instance, self._limits(instance), self._options.strip, list(requests))
        report = _progress(requests, progress)
        try:
            for i in range(len(requests)):
                instance.tokenizing.submit(work.encode, i, report and report(i))
        except RuntimeError as error:  # the pool was shut down by a close() at this moment
            raise ClosedError("the model was closed while the call was made") from error
        return work

    def _limits(self, instance: "Instance") -> Limits:
        wanted = self._options.max_tokens
        if wanted is not None and wanted > instance.max_tokens:
            message = f"max_tokens={wanted}, but the model reads {instance.max_tokens} at most"
            raise InputError(message)
        return Limits(
            wanted or min(DEFAULT_MAX_TOKENS, instance.usual_tokens),
            self._options.max_document_tokens,
            self._options.long_documents,
        )


@dataclass
class _Work:
    """The requests of one call on their way through encoding and scoring."""

    instance: "Instance"
    limits: Limits
    strip: bool
    requests: list[ScoreRequest]
    futures: list["Future[list[float]]"] = field(init=False)
    encoded: "list[EncodedRequest | None]" = field(init=False)

    def __post_init__(self) -> None:
        self.futures = [Future() for _ in self.requests]
        self.encoded = [None] * len(self.requests)

    def encode(self, i: int, report: Callable[[int, int], None] | None) -> None:
        """Encode request i and hand it to the engine; errors reach its future."""
        future, request = self.futures[i], self.requests[i]
        if future.cancelled():
            return
        try:
            if self.instance.engine.closed:
                raise ClosedError("the model was closed before the call could be scored")
            query, documents = request.query, request.documents
            if self.strip:
                query, documents = query.strip(), tuple(text.strip() for text in documents)
            encoder, engine = self.instance.encoder, self.instance.engine
            encoded = encoder.encode(query, documents, request.instruction, self.limits)
            self.encoded[i] = encoded
            engine.submit(encoded.prefix, encoded.suffixes, future, report)
        except Exception as error:
            with contextlib.suppress(InvalidStateError):  # cancelled in the meantime
                future.set_exception(error)

    def cancel(self) -> None:
        """Drop what is not yet computed."""
        for future in self.futures:
            future.cancel()

    def scored(self, i: int, logits: list[float]) -> list[Scored]:
        """Give each document of request i the logit of its best sequence."""
        encoded, family = self.encoded[i], self.instance.encoder.family
        slots = encoded.slots if encoded else []
        prefix = len(encoded.prefix) if encoded else 0
        lengths = [prefix + len(suffix) for suffix in encoded.suffixes] if encoded else []
        best = [_best([logits[k] for k in slot.suffixes]) for slot in slots]
        return [
            Scored(
                logit,
                family.probability(logit),
                slot.truncated,
                tokens=sum(lengths[k] for k in slot.suffixes),
            )
            for logit, slot in zip(best, slots, strict=True)
        ]


def _acquire_instance(key: InstanceKey) -> "Instance":
    try:
        from zelo.local.instances import acquire
    except ImportError as error:
        raise MissingExtraError("scoring in this process", "local") from error
    return acquire(key)


def _best(logits: list[float]) -> float:
    """Return the largest, or NaN where one is not finite: max() would hide it."""
    return max(logits) if all(map(math.isfinite, logits)) else math.nan


def _progress(
    requests: Sequence[ScoreRequest], progress: Progress | None
) -> Callable[[int], Callable[[int, int], None]] | None:
    """Turn sequences done per request into documents done over all requests."""
    if progress is None:
        return None
    sizes = [len(request.documents) for request in requests]
    done = [0] * len(sizes)

    def of_request(i: int) -> Callable[[int, int], None]:
        def report(sequences_done: int, sequences: int) -> None:
            done[i] = sizes[i] * sequences_done // sequences
            progress(sum(done), sum(sizes))

        return report

    return of_request
