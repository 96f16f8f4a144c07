"""What the server's tests share: an application in process, a way to hold its model, a process.

`asking` runs an application without a socket; `held` stops the model at its outermost edge, the
forward pass, so that a test decides what is under way; `Process` is the real command.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from zelo import Reranker
from zelo.server import ApiKeys, Limits, ServedModel, create_app
from zelo.server.running import Server, listen

QUERY = "how is the water of the river"
DOCUMENTS = ["the water is cold", "stone bridges in the old town", "", "the river runs to the sea"]
ZELO = "/v1/zelo/rerank"
NAMES = ("tiny", "rerank-v3.5")

# per path: a request's body for (query, documents), without its model
BODIES = {
    ZELO: lambda query, documents: {"query": query, "documents": documents},
    "/v1/models/rerank": lambda query, documents: {"query": query, "documents": documents},
    "/v1/rerank": lambda query, documents: {"query": query, "documents": documents},
    "/v2/rerank": lambda query, documents: {"query": query, "documents": documents},
    "/rerank": lambda query, documents: {"query": query, "documents": documents},
    "/rerank (texts)": lambda query, documents: {"query": query, "texts": documents},
    "/score": lambda query, documents: {"queries": query, "documents": documents},
    "/v1/score": lambda query, documents: {"text_1": query, "text_2": documents},
}


def body(place: str, query: str = QUERY, documents: Any = DOCUMENTS, **more: Any) -> dict[str, Any]:
    """Return a request's body; TEI's has no model."""
    made = BODIES[place](query, documents) | more
    return made if "texts" in made else {"model": "tiny"} | made


def path(place: str) -> str:
    """Return the path of a place, two of which share one."""
    return place.partition(" ")[0]


def error_message(place: str, answer: Any) -> str:
    """Return what an error says, from the one place where its dialect's clients look."""
    told: dict[str, Any] = {
        ZELO: lambda: answer["error"]["message"],
        "/v1/models/rerank": lambda: answer["detail"],
        "/v1/rerank": lambda: answer["message"],
        "/v2/rerank": lambda: answer["message"],
        "/rerank": lambda: answer["error"]["message"],
        "/rerank (texts)": lambda: (answer["error_type"], answer["error"])[1],
        "/score": lambda: answer["error"]["message"],
        "/v1/score": lambda: answer["error"]["message"],
    }
    message = told[place]()
    assert isinstance(message, str)
    return message


def application(
    folder: Path,
    *,
    keys: tuple[str, ...] = (),
    cors: tuple[str, ...] = (),
    max_batch_tokens: int | None = None,
    **limits: Any,
) -> FastAPI:
    """Return an application that serves a folder under two names, not yet started."""
    reranker = Reranker(folder, dtype="float32", device="cpu", max_batch_tokens=max_batch_tokens)
    served = ServedModel(reranker, NAMES)
    return create_app([served], Limits(**limits), ApiKeys(keys), cors_origins=cors)


@asynccontextmanager
async def asking(app: FastAPI, ready: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """Start an application, wait until its model is loaded, and give a client for it."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://zelo", timeout=60)
    async with app.router.lifespan_context(app), client:
        while ready and app.state.service.state == "loading":
            await asyncio.sleep(0.005)
        yield client


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """Run an application on a socket of the loopback, in this event loop, and give its address."""
    sock = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{sock.getsockname()[1]}"
    server = Server(app, app.state.service)
    task = asyncio.create_task(server.serve([sock]))
    await until(lambda: task.done() or app.state.service.state != "loading")
    try:
        yield address
    finally:
        app.state.service.drain()
        await task


class Gate:
    """Stands before the model: forward passes wait until it is opened, or fail as they are told."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.device, self.asynchronous = model.device, model.asynchronous
        self.arrived = threading.Event()
        self.go = threading.Event()
        self.passes = 0
        self.error: Exception | None = None
        self.answer: float | None = None

    def start(self, pack: Any) -> "Future[list[float]]":
        """Compute the pack, once allowed."""
        self.arrived.set()
        self.go.wait(60)
        self.passes += 1
        if self.error is not None:
            raise self.error
        found = self._model.logits(pack)
        computed: Future[list[float]] = Future()
        computed.set_result([self.answer] * len(found) if self.answer is not None else found)
        return computed


@contextmanager
def held(app: FastAPI, closed: bool = True) -> Iterator[Gate]:
    """Put a gate before an application's model; it is taken away in the end."""
    (worker,) = app.state.service.models[0]._reranker._scorer._instance.engine._workers
    model, gate = worker.model, Gate(worker.model)
    if not closed:
        gate.go.set()
    worker.model = gate
    try:
        yield gate
    finally:
        gate.error, gate.answer = None, None
        gate.go.set()
        worker.model = model


async def until(condition: Any) -> None:
    """Wait until a condition holds; a test's own time limit ends a wait in vain."""
    while not condition():
        await asyncio.sleep(0.002)


def sample(app_or_text: Any, name: str, **labels: str) -> float:
    """Return a metric's value, 0 where it has none yet."""
    text = app_or_text if isinstance(app_or_text, str) else metrics_of(app_or_text)
    for line in text.splitlines():
        found = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            return float(found[2])
    return 0.0


def metrics_of(app: FastAPI) -> str:
    """Return an application's metrics."""
    return str(app.state.service.metrics.text(), "utf-8")


class Process:
    """`zelo serve` as a process of its own, on a free port of the loopback."""

    def __init__(self, model: Path | str, *arguments: object) -> None:
        command = [sys.executable, "-m", "zelo", "serve", "--port", "0", "--model", str(model)]
        self._process = subprocess.Popen(
            [*command, "--device", "cpu", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self.opening: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=streams, daemon=True)
            for streams in (
                (self._process.stdout, self.opening),
                (self._process.stderr, self.errors),
            )
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    @staticmethod
    def _read(stream: Any, lines: list[str]) -> None:
        lines.extend(iter(stream.readline, ""))

    async def address(self) -> str:
        """Return the server's address once its model is loaded."""
        pattern = re.compile(r"http://127\.0\.0\.1:\d+")
        await until(lambda: self._process.poll() is not None or len(self.opening) > 2)
        found = pattern.search("".join(self.opening))
        assert found, "".join(self.errors)
        async with httpx.AsyncClient() as client:
            while True:
                assert self._process.poll() is None, "".join(self.errors)
                try:
                    answer = await client.get(f"{found[0]}/ready")
                except httpx.ConnectError:
                    answer = None
                if answer is not None and answer.status_code == 200:
                    return found[0]
                await asyncio.sleep(0.05)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end and return its exit code; all it wrote has been read then."""
        await until(lambda: self._process.poll() is not None)
        for reader in self._readers:
            await asyncio.to_thread(reader.join)
        return int(self._process.returncode)

    def log(self) -> list[dict[str, Any]]:
        """Return the log's objects so far."""
        return [json.loads(line) for line in self.errors if line.startswith("{")]
