"""The real command on a real socket: starting, stopping under load, clients that misbehave."""

import asyncio
import inspect
import json
import re
import signal
import socket
import sys

import httpx
import pytest
from served import DOCUMENTS, QUERY, ZELO, Process, body, sample
from typer.testing import CliRunner

from zelo import Reranker
from zelo.cli import app as command
from zelo.cli.serve import serve
from zelo.server import Limits

KEY = "tripwire-key"
pytestmark = pytest.mark.asyncio


def scores_in(response):
    return [r["score"] for r in sorted(response.json()["results"], key=lambda r: r["index"])]


MANY = [f"the water of bridge {i} is {'cold ' * (i % 7)}" for i in range(120)]


@pytest.fixture
def expected(tiny_model):
    """What the reranker itself says of (a few documents, many)."""
    with Reranker(tiny_model, device="cpu", dtype="float32") as reranker:
        return reranker.score(QUERY, DOCUMENTS), reranker.score(QUERY, MANY)


async def test_opening_tells_how_to_use_it(tiny_model, expected):
    """The command tells address, models and paths, and the call it shows works as it stands."""
    with Process(tiny_model, "--dtype", "float32", "--served-model-name", "ours") as process:
        address = await process.address()
        opening = "".join(process.opening)
        for said in (f"{address}/", "ours", ZELO, "/v1/models/rerank", "/score", "none wanted"):
            assert said in opening
        url, headers, data = re.search(
            r"curl (\S+) \\\s+-H '([^']+)' \\\s+-d '([^']+)'", opening
        ).groups()
        name, _, value = headers.partition(": ")
        async with httpx.AsyncClient() as client:
            shown = await client.post(url, content=data, headers={name: value})
            assert shown.status_code == 200
            assert len(shown.json()["results"]) == 2
            answer = await client.post(f"{address}{ZELO}", json=body(ZELO, model="ours"))
        assert scores_in(answer) == pytest.approx(expected[0], abs=1e-5)
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0


async def test_stop_under_load_loses_nothing_accepted(tiny_model, expected):
    """On SIGTERM every request that was accepted is answered rightly, and the process ends well."""
    options = ("--dtype", "float32", "--max-batch-tokens", 64)
    with Process(tiny_model, *options) as process:
        address = await process.address()
        outcomes = {}

        async def ask(name):
            headers = {"x-request-id": name}
            try:
                async with httpx.AsyncClient(timeout=120) as client:
                    outcomes[name] = await client.post(
                        f"{address}{ZELO}",
                        json=body(ZELO, documents=MANY, model=None),
                        headers=headers,
                    )
            except httpx.TransportError as error:
                outcomes[name] = error

        before = [asyncio.create_task(ask(f"before-{i}")) for i in range(16)]
        async with httpx.AsyncClient() as client:
            accepted = 0.0
            while accepted < len(before):
                text = (await client.get(f"{address}/metrics")).text
                accepted = sample(text, "zelo_requests_under_way")
        process.signal(signal.SIGTERM)
        after = []
        for i in range(30):
            after.append(asyncio.create_task(ask(f"after-{i}")))
            await asyncio.sleep(0.01)
        await asyncio.gather(*before, *after)
        assert await process.ended() == 0
        lines = [line for line in process.log() if "request_id" in line]
    logged = {line["request_id"]: line for line in lines}
    for name, outcome in outcomes.items():
        if isinstance(outcome, httpx.Response) and outcome.status_code == 200:
            assert scores_in(outcome) == pytest.approx(expected[1], abs=1e-5)
        else:  # it met a server that was stopping, or none
            assert name not in logged or logged[name]["reason"] == "draining"
    endings = [line.get("reason", "scores") for line in lines if line["path"] == ZELO]
    assert endings.count("scores") == len(before)
    assert endings.index("draining") < len(endings) - endings[::-1].index("scores")


async def test_client_that_hangs_up_stops_costing(tiny_model):
    """A connection closed during scoring takes its work with it; the log says 499."""
    options = ("--dtype", "float32", "--max-batch-tokens", 64)
    with Process(tiny_model, *options) as process:
        address = await process.address()
        documents = [f"cold water number {i} " * 20 for i in range(1_000)]
        async with httpx.AsyncClient(timeout=60) as client:
            impatient = asyncio.create_task(
                client.post(f"{address}{ZELO}", json=body(ZELO, documents=documents, model=None))
            )
            async with httpx.AsyncClient(timeout=60) as other:

                async def metric(name, **labels):
                    return sample((await other.get(f"{address}/metrics")).text, name, **labels)

                while await metric("zelo_model_packs_total") < 4:
                    await asyncio.sleep(0.005)
                impatient.cancel()
                while await metric("zelo_refusals_total", reason="gone") < 1:
                    await asyncio.sleep(0.005)
                assert await metric("zelo_queue_tokens") == 0
                assert await metric("zelo_model_documents_total") < 1_000
                sent = body(ZELO, model=None)
                assert (await other.post(f"{address}{ZELO}", json=sent)).status_code == 200
        process.signal(signal.SIGINT)
        assert await process.ended() == 0
        assert 499 in [line.get("status") for line in process.log()]


async def talk(address, *pieces, wait=5.0):
    """Send raw bytes on one connection and return what comes back until it falls silent."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    received = b""
    try:
        async with asyncio.timeout(wait):
            while not received.endswith(b"}") and (piece := await reader.read(65_536)):
                received += piece
    finally:
        writer.close()
    return received


async def test_hostile_sockets(tiny_model):
    """Garbage, oversized and broken-off requests cost no one else, and no traceback."""
    content = json.dumps(body(ZELO, model=None)).encode()
    head = f"POST {ZELO} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
    with Process(tiny_model, "--max-bytes", 2_000, "--dtype", "float32") as process:
        address = await process.address()
        assert b" 400 " in (await talk(address, b"\x16\x03\x01 garbage\r\n\r\n"))[:20]
        large = head + b"Content-Length: 9999999\r\n\r\n"
        assert b" 413 " in (await talk(address, large, b" " * 1_000))[:20]
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
        chunk = b"400\r\n" + b" " * 1_024 + b"\r\n"
        assert b" 413 " in (await talk(address, chunked, chunk, chunk, chunk))[:20]
        good = head + f"Content-Length: {len(content)}\r\n\r\n".encode() + content
        assert b" 200 " in (await talk(address, good))[:20]
        for _ in range(20):  # break off in the middle of a body
            _, writer = await asyncio.open_connection(*address.removeprefix("http://").split(":"))
            writer.write(head + b"Content-Length: 500\r\n\r\n{")
            await writer.drain()
            writer.transport.abort()
        async with httpx.AsyncClient() as client:
            while True:
                text = (await client.get(f"{address}/metrics")).text
                if sample(text, "zelo_refusals_total", reason="gone") == 20:
                    break
                await asyncio.sleep(0.01)
            assert sample(text, "zelo_queue_tokens") == 0
            assert sample(text, "zelo_requests_under_way") == 0
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        assert "Traceback" not in "".join(process.errors)


async def test_texts_and_keys_are_not_in_the_output(tiny_model):
    """Whatever happens, stdout and stderr hold neither texts nor keys."""
    options = ("--api-key", KEY, "--dtype", "float32")
    with Process(tiny_model, *options) as process:
        address = await process.address()
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient() as client:
            sent = body(ZELO, query="tripwire-text", model=None)
            good = await client.post(f"{address}{ZELO}", json=sent, headers=headers)
            bad = await client.post(f"{address}{ZELO}?q=tripwire-text", json=sent | {"top_n": "x"})
        assert (good.status_code, bad.status_code) == (200, 401)
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        everything = "".join(process.opening) + "".join(process.errors)
    assert "wanted: Authorization: Bearer KEY" in everything
    assert "tripwire" not in everything


async def test_missing_model_is_one_line(tmp_path):
    """A model that cannot be loaded ends the command with one readable error."""
    with Process(tmp_path) as process:
        assert await process.ended() == 1
        errors = [line for line in process.errors if line.startswith("zelo: error")]
    assert len(errors) == 1
    assert "config.json" in errors[0]
    assert "Traceback" not in "".join(process.errors)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "65535"),
        (["--timeout", "0"], "timeout"),
        (["--max-documents", "0"], "max-documents"),
        (["--api-key", "a b"], "API key"),
        (["--api-key-file", "nowhere"], "nowhere"),
        (["--served-model-name", " "], "names"),
        (["--model", "no-such-model"], "no-such-model"),
    ],
)
async def test_wrong_options(arguments, said):
    """A senseless option is told before anything is loaded or listened on."""
    result = CliRunner().invoke(command, ["serve", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code in (1, 2)
    assert said in result.stderr


async def test_server_of_the_environment(monkeypatch):
    """Where the environment sends rerankers to a server, there is nothing here to serve."""
    monkeypatch.setenv("ZELO_BASE_URL", "http://127.0.0.1:9")
    result = CliRunner().invoke(command, ["serve", "--model", "zerank-2"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "unset ZELO_BASE_URL" in result.stderr


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
async def test_missing_extra_names_the_command(package):
    """Without the packages of the extra, the command says which command installs them."""
    code = f"import sys; sys.modules[{package!r}] = None; from zelo.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "serve"), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors == b'zelo: error: serving needs more packages: pip install "zelo[server]"\n'


async def test_taken_port():
    """A port that somebody listens on is an error that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["serve", "--model", "zelo-nano", "--port", port]
        result = CliRunner().invoke(command, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert port in result.stderr
    assert "--port" in result.stderr


@pytest.mark.parametrize(("options", "warned"), [([], True), (["--api-key", "k"], False)])
async def test_warns_of_an_open_address(options, warned):
    """Before it listens beyond this machine without a key, the command warns of that."""
    nowhere = "192.0.2.1"  # an address for documentation (RFC 5737), which no machine has
    arguments = ["serve", "--host", nowhere, "--port", "0", *options]
    result = CliRunner().invoke(command, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "cannot listen" in result.stderr
    assert ("WARNING" in result.stderr) is warned


async def test_defaults_are_those_of_limits():
    """The command's defaults are those of `Limits`, which it cannot import for its help."""
    options = inspect.signature(serve).parameters
    assert Limits() == Limits(
        max_documents=options["max_documents"].default,
        max_bytes=options["max_bytes"].default,
        max_queued_tokens=options["max_queued_tokens"].default,
        timeout_s=options["timeout"].default,
    )


async def test_help_is_in_panels():
    """The help groups its options."""
    text = CliRunner().invoke(command, ["serve", "--help"], env={"COLUMNS": "120"}).stdout
    for panel in ("Model", "Address", "Access", "Limits"):
        assert f"─ {panel} ─" in text
