"""Sending and receiving: one pool for threads, one for each event loop, nothing followed.

The only module that sends anything. Answers are read up to a bound; redirects are not followed,
since a rerank endpoint has no use for one and httpx would carry `x-api-key` to a stranger.
"""

import asyncio
import functools
import json
import ssl
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from zelo.errors import ClosedError, RemoteError
from zelo.remote.address import Address
from zelo.remote.failures import unreachable

__all__ = ["Ask", "Http", "Received", "where"]

Client = TypeVar("Client", httpx.Client, httpx.AsyncClient)

CONNECT_S = 5.0
DAY_S = 86_400.0
LARGEST_ANSWER = 64 * 2**20
"""Bytes; vLLM sends each document back, so an answer may be larger than its request."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, before it is addressed."""

    method: str
    path: str
    body: Any = None


@dataclass(frozen=True, slots=True)
class Received:
    """A whole answer, with what was asked."""

    ask: Ask
    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """Return the body's JSON, or None where it is not JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


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
        self._lock = threading.Lock()
        self._closed = False
        self._borrowers = 0
        self._client: httpx.Client | None = None
        self._held: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Held] = (
            weakref.WeakKeyDictionary()
        )

    def send(self, ask: Ask, headers: Mapping[str, str], seconds: float | None) -> Received:
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
                return Received(ask, got.status_code, got.headers, bytes(content))
        except httpx.HTTPError as error:
            raise unreachable(where(self.address, ask), error) from None

    async def asend(self, ask: Ask, headers: Mapping[str, str], seconds: float | None) -> Received:
        """`send` for event loops."""
        client = await self._async()
        try:
            async with client.stream(**self._request(ask, headers, seconds)) as got:
                content = bytearray()
                async for chunk in got.aiter_bytes():
                    content += chunk
                    self._check_size(ask, content)
                return Received(ask, got.status_code, got.headers, bytes(content))
        except httpx.HTTPError as error:
            raise unreachable(where(self.address, ask), error) from None

    def close(self) -> None:
        """Close the connections that are ours; those of a running loop close in that loop."""
        with self._lock:
            self._closed = True
            client = self._client if self._borrowers == 0 else None  # or the last one closes it
            held, self._held = dict(self._held), weakref.WeakKeyDictionary()
        if client is not None:
            client.close()
        for loop, client_of_loop in held.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_close_in, loop, client_of_loop)

    def forget(self) -> None:
        """Drop the connections without closing them: in a forked child they are the parent's."""
        self._client, self._held = None, weakref.WeakKeyDictionary()
        self._borrowers = 0

    def _request(
        self, ask: Ask, headers: Mapping[str, str], seconds: float | None
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

    @contextmanager
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
                weakref.finalize(self, self._client.close)  # for those who forget to close
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

    async def _async(self) -> httpx.AsyncClient:
        self._check_open()
        if self._given_async is not None:
            return _usable(self._given_async)
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            trust = await asyncio.to_thread(_trust)  # reads files: a tenth of a second
            new = _Held(httpx.AsyncClient(http2=self._http2, verify=trust))
            with self._lock:
                self._check_open()
                held = self._held.setdefault(loop, new)
            if held is new:
                await held.open()
        return held.client

    def _check_open(self) -> None:
        """Open no connections for a request that outlived `close`, such as another attempt."""
        if self._closed:
            raise ClosedError("this reranker was closed; make a new Reranker to score again")

    def _check_size(self, ask: Ask, content: bytearray) -> None:
        if len(content) > LARGEST_ANSWER:
            message = (
                f"{where(self.address, ask)} answered more than {LARGEST_ANSWER:,} bytes; "
                "no rerank server does"
            )
            raise RemoteError(message)


class _Held:
    """A client that closes with its event loop.

    The loop closes the asynchronous generators that were started in it when it shuts down, so
    `asyncio.run` leaves no socket behind.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self._generator = self._hold()

    async def open(self) -> None:
        await anext(self._generator)

    async def close(self) -> None:
        await self._generator.aclose()

    async def _hold(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.client.aclose()


def _close_in(loop: asyncio.AbstractEventLoop, held: _Held) -> None:
    """Begin to close a client in its loop; made here, since a loop that is over never gets here."""
    task = loop.create_task(held.close())
    task.add_done_callback(_closing.discard)
    _closing.add(task)


_closing: set[asyncio.Task[None]] = set()
"""Tasks under way; their loops alone would not keep them alive."""


def _usable(client: Client) -> Client:
    """Return a caller's own client, if it is open."""
    if client.is_closed:
        raise ClosedError("the HTTP client that was given is closed; make a new Reranker with one")
    return client


@functools.cache
def _trust() -> ssl.SSLContext:
    """Return httpx's own way of checking certificates, made once."""
    return httpx.create_ssl_context()


def where(address: Address, ask: Ask) -> str:
    """Name a request in messages."""
    return f"{ask.method} {address.host}{ask.path}"
