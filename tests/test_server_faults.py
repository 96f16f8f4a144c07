"""Faults between our client and our server, on real sockets: typed errors, nothing lost or left.

Every fault is made, none is mocked: processes are killed, connections cut, clocks set.
"""

import asyncio
import json
import logging
import math
import signal
import subprocess
import sys
import time

import httpx
import psutil
import pytest
from served import (
    DOCUMENTS,
    QUERY,
    ZELO,
    Process,
    application,
    body,
    held,
    listening,
    sample,
    until,
)

from zelo import RemoteError, Reranker, ScoringTimeoutError

pytestmark = pytest.mark.asyncio
KEY, TEXT = "tripwire-key-8d1f", "tripwire-text-52c0"
MANY = [f"cold water number {i} " * 10 for i in range(600)]
OPTIONS = ("--dtype", "float32", "--max-batch-tokens", 64, "--served-model-name", "tiny")


def remote(address, **options):
    """Our client, for a server whose dialect is known."""
    return Reranker("tiny", base_url=address, dialect="zelo", **options)


@pytest.fixture(scope="module")
def expected(tiny_model):
    with Reranker(tiny_model, device="cpu", dtype="float32") as reranker:
        return {"few": reranker.score(QUERY, DOCUMENTS), "many": reranker.score(QUERY, MANY)}


async def at_work(address):
    """Wait until a server has begun to compute a request."""
    async with httpx.AsyncClient() as client:
        while sample((await client.get(f"{address}/metrics")).text, "zelo_model_packs_total") < 4:
            await asyncio.sleep(0.005)


def asked(reranker, way):
    """Ask for many scores, in a thread or in this loop."""
    if way == "blocking":
        return asyncio.create_task(asyncio.to_thread(reranker.score, QUERY, MANY))
    return asyncio.create_task(reranker.ascore(QUERY, MANY))


@pytest.mark.parametrize("way", ["blocking", "awaiting"])
async def test_server_killed_while_it_computes(tiny_model, way):
    """A caller whose server is killed gets a RemoteError, not half a ranking."""
    with Process(tiny_model, *OPTIONS) as process:
        address = await process.address()
        with remote(address, max_retries=0) as reranker:
            waiting = asked(reranker, way)
            await at_work(address)
            process.signal(signal.SIGKILL)
            with pytest.raises(RemoteError, match="connection broke") as raised:
                await waiting
    assert raised.value.transient
    assert raised.value.status is None


@pytest.mark.parametrize("way", ["blocking", "awaiting"])
async def test_second_server_takes_over(tiny_model, expected, way):
    """When the first of two servers is killed over a request, the second answers all of it."""
    with Process(tiny_model, *OPTIONS) as first, Process(tiny_model, *OPTIONS) as second:
        addresses = [await first.address(), await second.address()]
        with remote(addresses, max_retries=1) as reranker:
            waiting = asked(reranker, way)
            await at_work(addresses[0])
            first.signal(signal.SIGKILL)
            assert await waiting == pytest.approx(expected["many"], abs=1e-5)
            ranking = await reranker.arank(QUERY, DOCUMENTS)
            sources = {result.source for result in ranking if not result.empty}
            assert sources == {f"tiny at {addresses[1]} (zelo)"}


CHILD = """
import sys
from zelo import Reranker
reranker = Reranker("tiny", base_url=sys.argv[1], dialect="zelo")
reranker.score("a query", [f"cold water number {i} " * 10 for i in range(600)])
"""


async def test_client_killed_while_it_waits(tiny_model, expected):
    """The work of a client that is killed is dropped, and the next client gets its scores."""
    app = application(tiny_model, max_batch_tokens=64)
    async with listening(app) as address:
        with held(app) as gate:
            child = subprocess.Popen([sys.executable, "-c", CHILD, address])
            await until(gate.arrived.is_set)
            child.kill()
            child.wait()
            await until(lambda: not app.state.service.under_way)
            assert app.state.service.admission.in_use == 0
            gate.go.set()
            with remote(address) as reranker:
                found = await reranker.ascore(QUERY, DOCUMENTS)
            assert gate.passes < 20  # all 600 documents would have been at least 150
    assert found == pytest.approx(expected["few"], abs=1e-5)


def request(content, length=None):
    """A whole request with this body, or with a length that it does not have."""
    size = len(content) if length is None else length
    head = f"POST {ZELO} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {size}\r\n\r\n".encode() + content


async def connect(address):
    host, port = address.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


GOOD = json.dumps(body(ZELO)).encode()
GARBAGE = {
    "cut": GOOD[: len(GOOD) // 2],
    "zeros": bytes(100),
    "not UTF-8": b'{"query": "\xff\xfe", "documents": []}',
    "deep": b"[" * 100_000,
    "NaN": b'{"query": "q", "documents": [], "top_n": NaN}',
    "half a character": b'{"query": "\\ud800", "documents": ["d"]}',
    "nothing": b"",
    "two": GOOD + GOOD,
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_told_and_costs_nobody_else(tiny_model, content):
    """A body that is no JSON object is 400 or 422, and its connection's next request is served."""
    app = application(tiny_model)
    async with listening(app) as address:
        reader, writer = await connect(address)
        for sent, statuses in ((content, (400, 422)), (GOOD, (200,))):
            writer.write(request(sent))
            head = await reader.readuntil(b"\r\n\r\n")
            assert int(head.split()[1]) in statuses
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            assert isinstance(json.loads(await reader.readexactly(length)), dict)
        writer.close()
        assert app.state.service.admission.in_use == 0


@pytest.mark.parametrize("sent", ["head", "part", "whole"])
async def test_half_closed_connections(tiny_model, expected, sent):
    """Clients that close their sending side, at any point, are dropped and leave nothing."""
    app = application(tiny_model)
    whole = request(GOOD)
    cut = {"head": 20, "part": len(whole) - 10, "whole": len(whole)}[sent]
    async with listening(app) as address, Leaks() as leaks:
        for _ in range(20):
            reader, writer = await connect(address)
            writer.write(whole[:cut])
            writer.write_eof()
            await reader.read()
            writer.close()
            await writer.wait_closed()
        await until(lambda: not app.state.service.under_way)
        assert app.state.service.admission.in_use == 0
        await leaks.gone()
        with remote(address) as reranker:
            found = await reranker.ascore(QUERY, DOCUMENTS)
        assert found == pytest.approx(expected["few"], abs=1e-5)


async def test_bodies_that_trickle(tiny_model, expected):
    """A hundred clients that never finish their bodies stop nobody, and are answered 408."""
    app = application(tiny_model, timeout_s=1.0)
    async with listening(app) as address, Leaks() as leaks:
        loris = [await connect(address) for _ in range(100)]
        for _, writer in loris:
            writer.write(request(b"{", length=1_000))
        await until(lambda: app.state.service.under_way == 100)
        with remote(address) as reranker:
            found = await reranker.ascore(QUERY, DOCUMENTS)
        heads = await asyncio.gather(*(reader.readline() for reader, _ in loris))
        for _, writer in loris:
            writer.close()
        assert {head.split()[1] for head in heads} == {b"408"}
        assert app.state.service.admission.in_use == 0
        await leaks.gone()
    assert found == pytest.approx(expected["few"], abs=1e-5)


class Leaks:
    """Counts open files and tasks of this process, where client and server both run."""

    async def __aenter__(self):
        self._before = self._count()
        return self

    async def __aexit__(self, *_):
        pass

    async def gone(self):
        """Wait until there are no more than before; a leak never ends this wait."""
        await until(lambda: all(a <= b for a, b in zip(self._count(), self._before, strict=True)))

    @staticmethod
    def _count():
        return psutil.Process().num_fds(), len(asyncio.all_tasks())


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_wall_clock_jumps(tiny_model, expected, monkeypatch, jump):
    """When the wall clock is set a day on or back over a request, no deadline moves."""
    app = application(tiny_model, timeout_s=30.0)
    true_time = time.time
    async with listening(app) as address:
        with remote(address, timeout=30.0, max_retries=0) as reranker, held(app) as gate:
            waiting = asyncio.create_task(reranker.ascore(QUERY, DOCUMENTS))
            await until(gate.arrived.is_set)
            monkeypatch.setattr(time, "time", lambda: true_time() + jump)
            await asyncio.sleep(0.05)
            gate.go.set()
            assert await waiting == pytest.approx(expected["few"], abs=1e-5)


@pytest.mark.parametrize("side", ["client", "server"])
async def test_deadlines_end_though_the_wall_clock_stands_still(tiny_model, monkeypatch, side):
    """A wall clock that was set back a day and stands does not lengthen a deadline."""
    app = application(tiny_model, timeout_s=0.2 if side == "server" else 60.0)
    timeout = 0.2 if side == "client" else 60.0
    async with listening(app) as address:
        with remote(address, timeout=timeout, max_retries=0) as reranker, held(app):
            stopped = time.time() - 86_400
            monkeypatch.setattr(time, "time", lambda: stopped)
            with pytest.raises((ScoringTimeoutError, RemoteError)) as raised:
                await reranker.ascore(QUERY, DOCUMENTS)
            assert getattr(raised.value, "status", 504) == 504
            await until(lambda: not app.state.service.under_way)


async def test_storm_of_refusals(tiny_model, expected):
    """Forty callers of a full server get 429 as an error, and retry no more than the budget."""
    calls, reserve, share = 40, 10, 0.1
    app = application(tiny_model, max_queued_tokens=100)
    service = app.state.service
    async with listening(app) as address:
        with remote(address) as first, remote(address, timeout=30.0) as reranker:
            await first.ascore(QUERY, DOCUMENTS)
            await reranker.ascore(QUERY, DOCUMENTS)
            with held(app) as gate:
                accepted = asyncio.create_task(first.ascore(QUERY, DOCUMENTS))
                await until(gate.arrived.is_set)
                storm = [reranker.ascore(QUERY, DOCUMENTS) for _ in range(calls)]
                errors = await asyncio.gather(*storm, return_exceptions=True)
                refused = sample(service.metrics.text().decode(), "zelo_refusals_total")
                gate.go.set()
                assert await accepted == pytest.approx(expected["few"], abs=1e-5)
            assert {type(error) for error in errors} == {RemoteError}
            assert {error.status for error in errors} == {429}
            assert all(error.retry_after >= 1 for error in errors)
            assert calls < refused <= calls + reserve + math.ceil(share * calls)
            found = await reranker.ascore(QUERY, DOCUMENTS)
            assert found == pytest.approx(expected["few"], abs=1e-5)


async def test_nothing_leaks(tiny_model):
    """Refusals, garbage, cancelled calls and cut connections leave no socket and no task."""
    app = application(tiny_model, keys=(KEY,), max_batch_tokens=64)

    async def cancelled(address):
        with remote(address, api_key=KEY) as reranker:
            call = asyncio.create_task(reranker.ascore(QUERY, MANY))
            await until(lambda: app.state.service.under_way)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    async def turned_away(address):
        with remote(address, api_key="wrong") as reranker, pytest.raises(RemoteError):
            await reranker.ascore(QUERY, DOCUMENTS)

    async def blocking(address):
        with remote(address, api_key=KEY) as reranker:
            await asyncio.to_thread(reranker.score, QUERY, DOCUMENTS)

    async def cut(address):
        _, writer = await connect(address)
        writer.write(request(GOOD)[:200])
        await writer.drain()
        writer.transport.abort()

    async with listening(app) as address:
        for fault in (cancelled, turned_away, blocking, cut):  # what is made once and kept
            await fault(address)
        await until(lambda: not app.state.service.under_way)
        async with Leaks() as leaks:
            for _ in range(10):
                for fault in (cancelled, turned_away, blocking, cut):
                    await fault(address)
            await until(lambda: not app.state.service.under_way)
            assert app.state.service.admission.in_use == 0
            await leaks.gone()


async def test_nothing_secret_is_said(tiny_model, caplog, capfd):
    """Through refusals, garbage and a kill, no output of either side holds a key or a text."""
    caplog.set_level(logging.DEBUG)
    documents = [f"{TEXT} {i} " * 10 for i in range(600)]
    errors = []
    with Process(tiny_model, *OPTIONS, "--api-key", KEY, "--max-documents", 700) as process:
        address = await process.address()
        with remote(address, api_key=KEY, max_retries=0) as reranker:
            await reranker.ascore(TEXT, documents[:2])
            with pytest.raises(RemoteError) as raised:
                await reranker.ascore(TEXT, documents[:2], instruction="\0" + TEXT * 100_000)
            errors.append(raised.value)
            with remote(address, api_key=KEY + "x", max_retries=0) as other:
                with pytest.raises(RemoteError) as raised:
                    await other.ascore(TEXT, documents[:2])
                errors.append(raised.value)
            headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            async with httpx.AsyncClient(headers=headers) as client:
                for content in (f'{{"query": "{TEXT}', f'{{"query": {{"{TEXT}": 1}}}}', TEXT):
                    answer = await client.post(f"{address}{ZELO}", content=content)
                    assert answer.status_code in (400, 422)
                    assert KEY not in answer.text
                    assert TEXT not in answer.text
            waiting = asyncio.create_task(reranker.ascore(TEXT, documents))
            async with httpx.AsyncClient(headers=headers) as client:
                while not sample(
                    (await client.get(f"{address}/metrics")).text, "zelo_queue_tokens"
                ):
                    await asyncio.sleep(0.002)
            process.signal(signal.SIGKILL)
            with pytest.raises(RemoteError) as raised:
                await waiting
            errors.append(raised.value)
            shown = repr(reranker)
        await process.ended()
        said = "".join([*process.opening, *process.errors, shown, *map(repr, errors)])
    captured = capfd.readouterr()
    said += caplog.text + captured.out + captured.err
    assert "answered 401" in said  # what is searched is not empty
    assert KEY not in said
    assert TEXT not in said
