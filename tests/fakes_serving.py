"""Running a fake server on the loopback, in a thread of the test: well-behaved or broken.

`FakeServer` speaks one kind's dialect and keeps what it was asked; its `script` lets it fail on the
way, and `play` makes another kind of it, so that a module's tests can share one. `wire` is for what
no HTTP library would send: a connection's bytes are the test's own.
"""

import asyncio
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fakes import FAKES
from fakes_schema import Kind, Refused
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from zelo import Reranker
from zelo.scoring.families import sigmoid

__all__ = ["SCALES", "Asked", "FakeServer", "Wire", "http_answer", "listening", "wire"]

SCALES: dict[str, Callable[[float], float]] = {
    "probability": lambda logit: sigmoid(logit / 5),
    "logit": lambda logit: logit,
    "logit/5": lambda logit: logit / 5,
}
"""What a server may make of a zerank logit."""


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    size: int = 0

    @property
    def texts(self) -> list[str]:
        """The documents, whatever they are called."""
        found = self.body.get("documents") or self.body.get("texts") or self.body.get("text_2")
        return list(found)


@dataclass
class FakeServer:
    """A server of one kind, with the model that it scores with."""

    kind: Kind
    model: Reranker
    scale: str = "probability"
    key: str | None = None
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    script: deque[Callable[[Asked], Response | None]] = field(default_factory=deque)
    """What the next scoring requests meet instead of an answer; None answers after all."""
    pause: Callable[[Asked], float] = lambda asked: 0.0
    """How many seconds a scoring request is held."""
    most: int = 0
    """The most scoring requests that were under way at once."""
    dropped: threading.Event = field(default_factory=threading.Event)
    """Set when a caller went away while its request was held."""
    _under_way: int = 0

    def play(self, kind: str, scale: str = "probability", key: str | None = None) -> "FakeServer":
        """Become another server, which nobody has asked anything yet."""
        fresh = FakeServer(FAKES[kind], self.model, scale, key, self.url)
        vars(self).update(vars(fresh))
        return self

    @property
    def scoring(self) -> list[Asked]:
        """The requests that asked for scores at a path that there is."""
        return [one for one in self.asked if one.method == "POST" and one.path in self.kind.paths]

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(routes=[Route("/{path:path}", self._handle, methods=["GET", "POST"])])

    async def _handle(self, request: Request) -> Response:
        try:
            content = await request.body()
        except ClientDisconnect:
            return Response(status_code=499)
        body = json.loads(content) if content else None
        asked = Asked(
            request.method, request.url.path, dict(request.headers), body, size=len(content)
        )
        self.asked.append(asked)
        try:
            return await self._answer(asked, request)
        except Refused as error:
            refusal = self.kind.error(error.status, str(error))
            return JSONResponse(refusal, status_code=error.status)

    async def _answer(self, asked: Asked, request: Request) -> Response:
        if self.key is not None:
            expected = f"{self.kind.scheme} {self.key}"
            if asked.headers.get("authorization") != expected:
                raise Refused(401, "wrong key")
        if asked.method == "GET":
            if asked.path not in self.kind.tells:
                raise Refused(404, "not found")
            return JSONResponse(self.kind.tells[asked.path])
        if asked.path not in self.kind.paths:
            raise Refused(405 if asked.path in self.kind.tells else 404, "not found")
        if asked.size > self.kind.most_bytes:
            raise Refused(413, "too large")
        if self.script and (scripted := self.script.popleft()(asked)) is not None:
            return scripted
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            return await self._scored(asked, request)
        finally:
            self._under_way -= 1

    async def _scored(self, asked: Asked, request: Request) -> Response:
        endpoint = self.kind.paths[asked.path]
        query, documents = endpoint.read(asked.body)
        gone = asyncio.create_task(_gone(request))
        done, _ = await asyncio.wait({gone}, timeout=self.pause(asked))
        gone.cancel()
        if done:
            self.dropped.set()
            return Response(status_code=499)
        logits = await self.model.ascore(query, documents, scale="logit")
        values = [SCALES[self.scale](logit) for logit in logits]
        return JSONResponse(endpoint.answer(asked.body, values))

    @contextmanager
    def running(self) -> Iterator["FakeServer"]:
        """Serve, and stop in the end."""
        with listening(self.app()) as self.url:
            yield self


async def _gone(request: Request) -> None:
    """Wait until the caller has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


@contextmanager
def listening(app: Any, lifespan: str = "off") -> Iterator[str]:
    """Serve an application on a free port of the loopback, and give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan=lifespan,  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Wire:
    """A TCP server whose every connection is handled by a function of the test."""

    def __init__(self, handle: Callable[[socket.socket, bytes], None]) -> None:
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        """Stop, and break off all connections."""
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                request = _request(connection)
                if request:
                    self.requests.append(request)
                    self._handle(connection, request)
            except OSError:
                pass  # the client, or the test, has gone away


@contextmanager
def wire(handle: Callable[[socket.socket, bytes], None]) -> Iterator[Wire]:
    """Serve with a function that gets each connection with its first request."""
    server = Wire(handle)
    try:
        yield server
    finally:
        server.close()


def http_answer(content: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """Return an answer's bytes, after which the connection is closed."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def _request(connection: socket.socket) -> bytes:
    """Read one whole request."""
    found = b""
    while b"\r\n\r\n" not in found:
        more = connection.recv(65536)
        if not more:
            return b""
        found += more
    head, _, body = found.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = int(lengths[0].partition(b":")[2]) - len(body) if lengths else 0
    while left > 0:
        more = connection.recv(65536)
        left -= len(more)
        found += more
    return found
