"""Connections that are slow, idle or dead, on a real socket in this process."""

import asyncio

import httpx
import pytest
from served import DOCUMENTS, ZELO, application, body, held, listening, until

from zelo.server import running

pytestmark = pytest.mark.asyncio


async def connect(address):
    host, port = address.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


GOOD = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("before", [b"", GOOD], ids=["first", "second"])
async def test_head_that_never_ends_is_cut_off(tiny_model, monkeypatch, before):
    """Who sends a request's head byte by byte loses the connection, also after a good request."""
    monkeypatch.setattr(running, "HEAD_S", 0.2)
    async with listening(application(tiny_model)) as address:
        reader, writer = await connect(address)
        if before:
            writer.write(before)
            await reader.readuntil(b"}")
        ended = asyncio.create_task(reader.read())
        while not ended.done():
            writer.write(b"G")
            await asyncio.sleep(0.02)
        assert await ended == b""
        writer.close()


async def test_slow_scores_are_not_cut_off(tiny_model, monkeypatch):
    """The clock for heads leaves alone who waits for scores."""
    monkeypatch.setattr(running, "HEAD_S", 0.1)
    app = application(tiny_model)
    async with listening(app) as address, httpx.AsyncClient(base_url=address) as client:
        with held(app) as gate:
            waiting = asyncio.create_task(client.post(ZELO, json=body(ZELO)))
            await until(gate.arrived.is_set)
            await asyncio.sleep(0.3)
            gate.go.set()
            assert (await waiting).status_code == 200


async def test_idle_connections_are_kept(tiny_model, monkeypatch):
    """The clock for heads runs only while one is arriving: an answered connection stays open."""
    monkeypatch.setattr(running, "HEAD_S", 0.1)
    async with listening(application(tiny_model)) as address:
        reader, writer = await connect(address)
        for _ in range(3):
            writer.write(GOOD)
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.3)
        writer.close()


async def test_nothing_is_left_of_dead_connections(tiny_model):
    """Connections closed in every state leave no task, no claim and no connection behind."""
    app = application(tiny_model, max_batch_tokens=64)
    async with listening(app) as address:
        tasks = len(asyncio.all_tasks())
        content = body(ZELO, documents=DOCUMENTS * 200)
        whole = httpx.Request("POST", address + ZELO, json=content)
        head = "".join(f"{name}: {value}\r\n" for name, value in whole.headers.items())
        request = f"POST {ZELO} HTTP/1.1\r\n{head}\r\n".encode() + whole.read()
        for cut in (0, 1, 40, len(request) // 2, len(request)):
            _, writer = await connect(address)
            writer.write(request[:cut])
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.transport.abort()
        service = app.state.service
        await until(lambda: not service.under_way and not service.admission.in_use)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)


@pytest.mark.parametrize("size", [300_000, 3_000_000])
async def test_refusal_reaches_a_client_that_is_still_sending(tiny_model, size):
    """A client whose large body is refused unread gets the refusal, not a broken connection."""
    async with listening(application(tiny_model, max_bytes=1_000)) as address:
        async with httpx.AsyncClient(base_url=address) as client:
            for _ in range(3):
                headers = {"content-type": "application/json"}
                response = await client.post(ZELO, content=b" " * size, headers=headers)
                assert response.status_code == 413
            assert (await client.get("/health")).status_code == 200
