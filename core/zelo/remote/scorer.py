"""The remote `Scorer`: requests to a server's limits, bounded concurrency, scores by place."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from zelo._common.fork import in_each_process
from zelo.errors import (
    ClosedError,
    RemoteAnswerError,
    RemoteAuthError,
    RemoteError,
    ScoringError,
    ScoringTimeoutError,
)
from zelo.remote.answers import read_scores
from zelo.remote.asking import Asking, Part
from zelo.remote.detection import (
    Conversation,
    Spoken,
    identify,
    other_dialect,
    speaks_too,
    spoken,
)
from zelo.remote.gathering import Answers, all_of
from zelo.remote.single import Once
from zelo.results import Stats
from zelo.scoring import Progress, Scored, ScoreRequest
from zelo.scoring.retrying import Patience, Retries
from zelo.transport.client import Http
from zelo.transport.failures import refused
from zelo.transport.keys import Secret
from zelo.transport.messages import HttpRequest, HttpResponse, where
from zelo.wire import Dialect, Scale

__all__ = ["RemoteScorer"]

log = logging.getLogger("zelo")
T = TypeVar("T")

CONCURRENCY = 8
"""Requests of one call under way at once; the server merges them into its own batches."""
MISUNDERSTOOD = frozenset({400, 404, 405, 415, 422})
"""Statuses that may come of a dialect said wrong."""


class RemoteScorer:
    """Scores on a server; safe to call from many threads and event loops at once."""

    def __init__(
        self,
        http: Http,
        key: Secret | None,
        asking: Asking,
        dialect: Dialect | None,
        scale: Scale | None,
        patience: Patience,
        again: "Callable[[], RemoteScorer] | None" = None,
    ) -> None:
        """`again` makes an equal scorer, for copies; None if nothing can."""
        self._again = again
        self._http = http
        self._key = key
        self._asking = asking
        self._said = dialect
        self._scale = scale
        self._patience = patience
        self._retries = Retries(http.address.root)
        self._spoken = None if dialect is None else spoken(dialect, scale)
        if dialect is not None:
            asking.check(dialect)
        self._stats = Stats()
        self._once: Once[Spoken] = Once()
        self._understood = False
        self._closed = False
        in_each_process(self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None

    def score(
        self, requests: Sequence[ScoreRequest], progress: Progress | None = None
    ) -> list[list[Scored]]:
        """Score and wait. A failed call drops what was not yet sent."""
        since = time.monotonic()
        # in threads, even one request alone: a server that trickles cannot hold the caller
        known = self._spoken or self._in_time([self._submit(self._learn, since)], since)
        answers = Answers(requests, progress)
        parts = self._parts(requests, known)
        send = partial(self._submit, self._send)
        try:
            self._in_time([send(part, known, answers, since) for part in parts], since)
        except BaseException:
            answers.dropped = True
            raise
        return self._counted(answers)

    async def ascore(
        self, requests: Sequence[ScoreRequest], progress: Progress | None = None
    ) -> list[list[Scored]]:
        """Score without blocking the event loop; cancelling drops what is under way."""
        self._check_open()
        since = time.monotonic()
        clock = asyncio.timeout(self._patience.timeout)
        try:
            async with clock:
                known = self._spoken or await self._alearn(since)
                answers = Answers(requests, progress)
                parts = self._parts(requests, known)
                slots = asyncio.Semaphore(CONCURRENCY)
                await all_of(self._asend(part, known, answers, since, slots) for part in parts)
        except TimeoutError:
            if clock.expired():
                raise self._patience.expired() from None
            raise
        return self._counted(answers)

    def warmup(self) -> None:
        """Find out what the server speaks, and have it score one pair."""
        self.score([ScoreRequest("warm-up", ("warm-up",))])

    def stats(self) -> Stats:
        """Return the calls and documents so far; forward passes are the server's to count."""
        with self._lock:
            return self._stats

    def close(self) -> None:
        """Close the connections; calling it twice is harmless."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)  # what has not begun meets closed connections
        self._http.close()
        self._retries.sum_up()

    def __reduce__(self) -> "tuple[Callable[[], RemoteScorer], tuple[()]]":
        """Carry settings through pickle and copy, neither connections nor the key."""
        if self._again is None:
            message = "a reranker with an HTTP client of yours can be neither pickled nor copied"
            raise TypeError(message)
        return self._again, ()

    def __repr__(self) -> str:
        known = self._spoken.dialect.name if self._spoken else "dialect not known yet"
        return f"{self._asking.model} at {self._http.address.root} ({known})"

    def _parts(self, requests: Sequence[ScoreRequest], known: Spoken) -> list[Part]:
        parts = self._asking.parts(requests, known.dialect, known.max_documents, known.max_bytes)
        return list(parts)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this reranker was closed; make a new Reranker to score again")

    def _submit(self, work: Callable[..., T], *arguments: Any) -> "Future[T]":
        with self._lock:
            self._check_open()  # in the lock, or a closed pool may be handed work
            if self._threads is None:
                self._threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="zelo-http")
            return self._threads.submit(work, *arguments)

    def _in_time(self, futures: "Sequence[Future[T]]", since: float) -> T:
        """Wait for all, within the timeout; return what the last one gave."""
        try:
            left = self._patience.left(since)
            done, waiting = wait(futures, left, return_when=FIRST_EXCEPTION)
            found = [future.result() for future in futures if future in done]
            if waiting:  # and none failed, or its result() had raised
                raise self._patience.expired()
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        return found[-1]

    def _send(self, part: Part, known: Spoken, answers: Answers, since: float) -> None:
        def attempt(seconds: float | None) -> list[Scored]:
            if answers.dropped:
                raise ScoringError("the call has failed; this part of it is not sent again")
            ask = self._post(known, part)
            return self._read(part, known, self._ask(ask, seconds))

        try:
            answers.add(part, self._patience.call(attempt, since, self._retries))
        except RemoteError as error:
            if not self._doubtful(error):
                raise
            try:
                found = self._identify(since)
            except RemoteError:
                raise error from None
            raise self._said_wrong(error, found) from None
        self._understood = True

    async def _asend(
        self,
        part: Part,
        known: Spoken,
        answers: Answers,
        since: float,
        slots: asyncio.Semaphore,
    ) -> None:
        async def attempt(seconds: float | None) -> list[Scored]:
            ask = self._post(known, part)
            return self._read(part, known, await self._aask(ask, seconds))

        async with slots:
            try:
                answers.add(part, await self._patience.acall(attempt, since, self._retries))
            except RemoteError as error:
                if not self._doubtful(error):
                    raise
                try:
                    found = await self._aidentify(since)
                except RemoteError:
                    raise error from None
                raise self._said_wrong(error, found) from None
        self._understood = True

    def _learn(self, since: float) -> Spoken:
        """Find out what the server speaks; of several callers, one asks."""
        left = self._patience.left(since)
        try:
            self._spoken = self._once.find(lambda: self._identify(since), left)
        except ScoringTimeoutError:
            raise
        except TimeoutError:  # another caller is still asking
            raise self._patience.expired() from None
        return self._spoken

    async def _alearn(self, since: float) -> Spoken:
        self._spoken = await self._once.afind(lambda: self._aidentify(since))
        return self._spoken

    def _identify(self, since: float) -> Spoken:
        conversation = self._conversation()
        ask = next(conversation)
        while True:
            got = self._patience.call(partial(self._ask, ask), since, self._retries)
            try:
                ask = conversation.send(got)
            except StopIteration as end:
                return self._told(end.value)

    async def _aidentify(self, since: float) -> Spoken:
        conversation = self._conversation()
        ask = next(conversation)
        while True:
            got = await self._patience.acall(partial(self._aask, ask), since, self._retries)
            try:
                ask = conversation.send(got)
            except StopIteration as end:
                return self._told(end.value)

    def _conversation(self) -> Conversation:
        # where a dialect was said, only the right one's name is wanted, whatever its scale
        scale = self._scale if self._said is None else "probability"
        return identify(self._http.address, self._asking.model, scale)

    def _told(self, found: Spoken) -> Spoken:
        log.info("%s is %s", self._http.address.root, found.dialect.title)
        return found

    def _post(self, known: Spoken, part: Part) -> HttpRequest:
        return HttpRequest("POST", known.path, known.dialect.body(part.call))

    def _ask(self, ask: HttpRequest, seconds: float | None) -> HttpResponse:
        return self._checked(self._http.send(ask, self._headers(), seconds))

    async def _aask(self, ask: HttpRequest, seconds: float | None) -> HttpResponse:
        got = await self._http.asend(ask, self._headers(), seconds)
        return self._checked(got)

    def _headers(self) -> dict[str, str]:
        if self._key is None:
            return {}
        dialect = self._said or (self._spoken.dialect if self._spoken else None)
        key = self._key.reveal()
        return {"Authorization": f"Bearer {key}"} if dialect is None else dialect.headers(key)

    def _checked(self, got: HttpResponse) -> HttpResponse:
        """Raise what is worth another attempt; what is not, the reader of the answer judges."""
        if got.status == 200 or got.ask.method == "GET":  # what cannot be read tells nothing
            return got
        error = refused(where(self._http.address, got.ask), got)
        if error.transient or isinstance(error, RemoteAuthError):
            raise error
        return got

    def _read(self, part: Part, known: Spoken, got: HttpResponse) -> list[Scored]:
        if got.status != 200:
            raise refused(where(self._http.address, got.ask), got)
        at, family = where(self._http.address, got.ask), self._asking.family
        return read_scores(at, known.dialect, got.json(), len(part.places), known.scale, family)

    def _doubtful(self, error: RemoteError) -> bool:
        """Whether an error may come of a dialect that was said wrong."""
        first = self._said is not None and not self._understood
        return first and (isinstance(error, RemoteAnswerError) or error.status in MISUNDERSTOOD)

    def _said_wrong(self, error: RemoteError, found: Spoken) -> RemoteError:
        """Return the error that names the right dialect, if the one said is not it."""
        if self._said is None or speaks_too(found.dialect, self._said):
            return error
        return other_dialect(self._http.address, self._said, found)

    def _counted(self, answers: Answers) -> list[list[Scored]]:
        with self._lock:
            self._stats = replace(
                self._stats,
                calls=self._stats.calls + len(answers.found),
                documents=self._stats.documents + sum(map(len, answers.found)),
            )
        return answers.whole()
