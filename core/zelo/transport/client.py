"""Sending and receiving: one pool for threads, one for all event loops, nothing followed.

The only module that sends anything. Answers are read up to a bound; redirects are not followed,
since a rerank endpoint has no use for one and httpx would carry `x-api-key` to a stranger.
"""

import asyncio
import contextlib
import functools
import ssl
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import httpx

from zelo._common.fork import in_each_process, leave_to_parent
from zelo.errors import ClosedError, RemoteError
from zelo.transport.address import Address
from zelo.transport.failures import unreachable
from zelo.transport.messages import HttpRequest, HttpResponse, where

__all__ = ["Http"]

Client = TypeVar("Client", httpx.Client, httpx.AsyncClient)

CONNECT_S = 5.0
DAY_S = 86_400.0
LARGEST_ANSWER = 64 * 2**20
"""Bytes; vLLM sends each document back, so an answer may be larger than its request."""


class Http:
    """Connections to one server."""

    def __init__(
        self,
        address: Address,
        http2: bool = False,
        http_client: httpx.Client | None = None,
        async_http_client: httpx.AsyncClient | None = None,
    ) -> None:
        self.address = address
        self._http2 = http2
        self._given, self._given_async = http_client, async_http_client
        self._closed = False
        # for those who forget to close
        self._ends: list[weakref.finalize[Any, Any]] = []
        in_each_process(self._begin)

    def _begin(self) -> None:
        """Hold no connection yet."""
        while self._ends:
            leave_to_parent(self._ends.pop())
        self._lock = threading.Lock()
        self._borrowers = 0
        self._client: httpx.Client | None = None
        self._pool: _Pool | None = None

    def send(
        self, ask: HttpRequest, headers: Mapping[str, str], seconds: float | None
    ) -> HttpResponse:
        """Send a request and read its answer, whatever its status.

        Raises:
            RemoteError: nothing, or too much, came back.
            ScoringTimeoutError: no whole answer came in time.
            ClosedError: this was closed meanwhile, or the client that was given is.
        """
        end = None if seconds is None else time.monotonic() + seconds
        try:
            with (
                self._lent() as client,
                client.stream(**self._request(ask, headers, seconds)) as got,
            ):
                content = bytearray()
                for chunk in got.iter_bytes():
                    content += chunk
                    self._check_size(ask, content)
                    if end is not None and time.monotonic() > end:  # httpx bounds each read alone
                        raise httpx.ReadTimeout("the answer trickles")
                return HttpResponse(ask, got.status_code, got.headers, bytes(content))
        except (httpx.HTTPError, OSError) as error:
            raise unreachable(where(self.address, ask), error) from None

    async def asend(
        self, ask: HttpRequest, headers: Mapping[str, str], seconds: float | None
    ) -> HttpResponse:
        """`send` for event loops."""

        async def exchange(client: httpx.AsyncClient) -> HttpResponse:
            async with client.stream(**self._request(ask, headers, seconds)) as got:
                content = bytearray()
                async for chunk in got.aiter_bytes():
                    content += chunk
                    self._check_size(ask, content)
                return HttpResponse(ask, got.status_code, got.headers, bytes(content))

        self._check_open()
        try:
            if self._given_async is not None:
                return await exchange(_usable(self._given_async))
            return await asyncio.wrap_future(self._submit(exchange))
        except (httpx.HTTPError, OSError) as error:
            raise unreachable(where(self.address, ask), error) from None

    def close(self) -> None:
        """Close the connections that are ours, each when nobody has it any more."""
        with self._lock:
            self._closed = True
            client = self._client if self._borrowers == 0 else None  # or the last one closes it
            pool, self._pool = self._pool, None
        if client is not None:
            client.close()
        if pool is not None:
            pool.close()

    def _request(
        self, ask: HttpRequest, headers: Mapping[str, str], seconds: float | None
    ) -> dict[str, Any]:
        if seconds is not None:  # poll(2) takes a C int of milliseconds, and Python cuts it off
            seconds = min(seconds, DAY_S)
        return {
            "method": ask.method,
            "url": self.address.root + ask.path,
            "json": ask.body,
            "headers": {"Accept": "application/json", **headers},
            "timeout": httpx.Timeout(seconds, connect=min(CONNECT_S, seconds or CONNECT_S)),
            "follow_redirects": False,
        }

    @contextlib.contextmanager
    def _lent(self) -> Iterator[httpx.Client]:
        """Lend the client of the threads; a closed one is closed when nobody has it any more."""
        self._check_open()
        if self._given is not None:
            yield _usable(self._given)
            return
        with self._lock:
            self._check_open()
            if self._client is None:
                self._client = httpx.Client(http2=self._http2, verify=_trust())
                self._ends.append(weakref.finalize(self, self._client.close))
            client = self._client
            self._borrowers += 1
        try:
            yield client
        finally:
            with self._lock:
                self._borrowers -= 1
                last = self._closed and self._borrowers == 0
            if last:
                client.close()

    def _submit(
        self, exchange: "Callable[[httpx.AsyncClient], Awaitable[HttpResponse]]"
    ) -> "Future[HttpResponse]":
        with self._lock:
            self._check_open()
            if self._pool is None:
                self._pool = _Pool(self._http2)
                self._ends.append(weakref.finalize(self, self._pool.close))
            return self._pool.submit(exchange)

    def _check_open(self) -> None:
        """Open no connections for a request that outlived `close`, such as another attempt."""
        if self._closed:
            raise ClosedError("this reranker was closed; make a new Reranker to score again")

    def _check_size(self, ask: HttpRequest, content: bytearray) -> None:
        if len(content) > LARGEST_ANSWER:
            message = (
                f"{where(self.address, ask)} answered more than {LARGEST_ANSWER:,} bytes; "
                "no rerank server does"
            )
            raise RemoteError(message)


class _Pool:
    """A client for all event loops, in one of its own, which runs in a thread until it is closed.

    A socket is closed in the loop that opened it, and a caller's loop may end without a word to
    what it opened: LlamaIndex's blocking calls make a loop each and close it. None of them shuts
    down its generators, and none of ours may be left to the garbage collector.
    """

    def __init__(self, http2: bool) -> None:
        self._http2 = http2
        self._client: httpx.AsyncClient | None = None
        self._closing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="zelo-pool", daemon=True).start()

    def submit(
        self, exchange: Callable[[httpx.AsyncClient], Awaitable[HttpResponse]]
    ) -> "Future[HttpResponse]":
        """Begin an exchange; cancelling the future breaks it off. Not after `close`."""

        async def run() -> HttpResponse:
            if self._client is None:  # made here, as it reads files: a tenth of a second
                self._client = httpx.AsyncClient(http2=self._http2, verify=_trust())
            return await exchange(self._client)

        return asyncio.run_coroutine_threadsafe(run(), self._loop)

    def close(self) -> None:
        """Close everything as soon as nothing is under way; calling it twice is harmless."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._closing.set)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        await self._closing.wait()
        while under_way := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(under_way)
        if self._client is not None:
            await self._client.aclose()


def _usable(client: Client) -> Client:
    """Return a caller's own client, if it is open."""
    if client.is_closed:
        raise ClosedError("the HTTP client that was given is closed; make a new Reranker with one")
    return client


@functools.cache
def _trust() -> ssl.SSLContext:
    """Return httpx's own way of checking certificates, made once."""
    return httpx.create_ssl_context()
