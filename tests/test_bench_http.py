"""The load test of a server: it judges every answer, counts what it judged, and tells it right.

Nothing here asserts a time, or how large a ratio is.
"""

import asyncio
import io
import json
import math
import socket
import time
from dataclasses import replace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from served import DOCUMENTS, QUERY, application, held, listening, until
from typer.testing import CliRunner

from zelo import InputError, RemoteError, Reranker, ScoringError
from zelo.bench import LogNormal
from zelo.bench.http_bench import HttpSettings, run_http_bench
from zelo.bench.http_load import Client, Work, keep_busy, overrun, score_alone
from zelo.bench.http_report import rendered
from zelo.bench.http_results import Exchange, HttpReport, Latency, Load, Overload, Throughput
from zelo.bench.http_server import capacity_of, connections, started
from zelo.bench.results import Machine
from zelo.cli import app as command

KEY = "a-key-of-the-load-test"
LAW = LogNormal(median=8, sigma=0.3)


def scored(*logits):
    """An answer of zelo's dialect with these logits, in this order of indices."""
    results = [
        {"index": i, "score": 0.5, "logit": logit, "truncated": False}
        for i, logit in enumerate(logits)
    ]
    usage = {"tokens": 9, "inference_s": 0.1}
    return {"object": "zelo.rerank", "id": "1", "model": "m", "results": results, "usage": usage}


WORK = Work("q", ("a", "b"), (1.0, -2.0))
RIGHT = scored(1.0, -2.0)


async def judged(answer):
    """Return what a client says of this answer."""
    transport = httpx.MockTransport(lambda _: answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://zelo") as http:
        return await Client(http, [WORK], None, 1e-3).send(0, time.perf_counter())


def changed(**members):
    """The right answer, with these members of its first result changed."""
    first, second = RIGHT["results"]
    return RIGHT | {"results": [first | members, second]}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [RIGHT, scored(1.0005, -2.0005), RIGHT | {"results": RIGHT["results"][::-1]}],
    ids=["exact", "within the tolerance", "in another order"],
)
async def test_expected_scores_are_right(answer):
    """An answer with every document's logit is right, in whatever order it comes."""
    assert (await judged(httpx.Response(200, json=answer)))[::2] == ("right", "200")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [
        scored(-2.0, 1.0),
        scored(1.01, -2.0),
        scored(1.0),
        scored(1.0, -2.0, 0.0),
        changed(index=1),
        changed(index=7),
        changed(logit=None),
        {"results": RIGHT["results"]},
        [],
    ],
    ids=["swapped", "off", "missing", "added", "doubled", "unknown", "null", "cut", "another"],
)
async def test_other_scores_are_wrong(answer):
    """An answer with any other score, or without one, is wrong."""
    assert (await judged(httpx.Response(200, json=answer))).verdict == "wrong"


@pytest.mark.asyncio
async def test_answer_that_is_no_json_is_wrong():
    """Text where scores should be is wrong, not an error of the load test."""
    assert (await judged(httpx.Response(200, text="<html>"))).verdict == "wrong"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "verdict"), [(429, "refused"), (503, "lost"), (500, "lost"), (404, "lost")]
)
async def test_statuses(status, verdict):
    """Only 429 is a refusal; any other status but 200 has lost the request."""
    assert (await judged(httpx.Response(status)))[::2] == (verdict, str(status))


@pytest.mark.asyncio
async def test_broken_connection_is_lost():
    """A request that nobody answers is lost, and what broke is named."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with connections(address, None) as http:
        exchange = await Client(http, [WORK], None, 1e-3).send(0, time.perf_counter())
    assert exchange[::2] == ("lost", "ConnectError")


@pytest.mark.asyncio
async def test_faulty_server_is_found_out(tiny_model):
    """A real server whose model has gone wrong answers 200, and is told to be wrong."""
    app = application(tiny_model)
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        documents = tuple(filter(None, DOCUMENTS))
        logits = tuple(await reranker.ascore(QUERY, documents, scale="logit"))
    work = [Work(QUERY, documents, logits)]
    async with listening(app) as address, connections(address, None) as http:
        client = Client(http, work, "tiny", 1e-3)
        assert (await client.send(0, time.perf_counter())).verdict == "right"
        with held(app, closed=False) as gate:
            gate.answer = logits[0]
            assert (await client.send(0, time.perf_counter())).verdict == "wrong"


async def recorded(answer, measure):
    """Let a measurement send to a server that is told what to answer; return both's accounts."""
    seen = []

    async def handle(request):
        seen.append(json.loads(request.content))
        return await answer(len(seen))

    transport = httpx.MockTransport(handle)
    async with httpx.AsyncClient(transport=transport, base_url="http://zelo") as http:
        work = [replace(WORK, query=f"q{i}") for i in range(3)]
        return await measure(Client(http, work, "m", 1e-3)), seen


@pytest.mark.asyncio
async def test_every_request_is_counted_once():
    """What clients send is what is counted, each by its own verdict and status."""

    async def answer(number):
        await asyncio.sleep(0)
        status = {1: 429, 2: 500}.get(number, 200)
        return httpx.Response(status, json=RIGHT if number != 3 else scored(0.0, 0.0))

    load, seen = await recorded(answer, lambda client: keep_busy(client, 3, 0.05, 2))
    assert len(load.exchanges) == len(seen) >= 6
    assert [load.count(verdict) for verdict in ("refused", "lost", "wrong")] == [1, 1, 1]
    assert load.statuses == {"200": len(seen) - 2, "429": 1, "500": 1}
    assert load.throughput.documents == 2 * (len(seen) - 3)


@pytest.mark.asyncio
async def test_clients_send_their_own_requests():
    """At any moment all that is under way differs: no client sends another's texts."""
    under_way = []

    async def answer(number):
        under_way.append(number)
        await asyncio.sleep(0)
        return httpx.Response(200, json=RIGHT)

    _, seen = await recorded(answer, lambda client: keep_busy(client, 3, 0.01, 2))
    assert {body["query"] for body in seen[:3]} == {"q0", "q1", "q2"}
    assert all(body["model"] == "m" and body["documents"] == ["a", "b"] for body in seen)


@pytest.mark.asyncio
async def test_every_client_sends_at_least_once():
    """However short the time, each client's first request is sent and counted."""

    async def answer(_):
        return httpx.Response(200, json=RIGHT)

    load, seen = await recorded(answer, lambda client: keep_busy(client, 5, 1e-9, 2))
    assert len(seen) == len(load.exchanges) == 5


@pytest.mark.asyncio
async def test_overload_waits_for_nobody():
    """In the overload, requests are sent though none before was answered."""
    go = asyncio.Event()

    async def answer(number):
        if number == 10:
            go.set()
        await go.wait()
        return httpx.Response(200 if number % 2 else 429, json=RIGHT)

    overload, seen = await recorded(answer, lambda client: overrun(client, 200.0, 0.05, 2, 1.5))
    assert len(seen) == 10
    assert (overload.count("right"), overload.count("refused")) == (5, 5)
    assert overload.refused_share == 0.5
    assert overload.full_queue_seconds == 1.5


@pytest.mark.asyncio
async def test_overload_times_from_when_a_request_was_due():
    """A load generator that falls behind does not hide it: time counts from the due moment."""

    async def answer(_):
        return httpx.Response(200, json=RIGHT)

    async def late(client):
        return await client.send(0, time.perf_counter() - 100)

    exchange, _ = await recorded(answer, late)
    assert exchange.seconds >= 100


@pytest.mark.asyncio
async def test_in_process_scorer_is_counted(tiny_model):
    """The scorer's documents are those of the calls that it finished."""
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        before = reranker.stats().calls
        found = await score_alone(reranker, [Work("q", ("cold", "water"), (0.0, 0.0))], 3, 0.01)
        assert found.documents == 2 * (reranker.stats().calls - before)
    assert found.documents_per_second == found.documents / found.seconds


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_percentiles(seconds):
    """A percentile is the smallest value that this share of all does not exceed."""
    found = Latency.of(seconds)
    for share, value in zip((0.5, 0.95, 0.99), found, strict=True):
        at_most = sum(one <= value for one in seconds)
        below = sum(one < value for one in seconds)
        assert at_most >= share * len(seconds) > below


def test_percentiles_of_nothing():
    """Where nothing was answered there is no time to tell."""
    assert Latency.of([]) is None


def exchanges(**counts):
    """So many exchanges of each verdict; a refusal takes 0.1 s, anything else 2 s."""
    return tuple(
        Exchange(
            verdict, 0.1 if verdict == "refused" else 2.0, "429" if verdict == "refused" else "200"
        )
        for verdict, count in counts.items()
        for _ in range(count)
    )


def made(load=None, overload=None, in_process=(1000, 1000)):
    """A report of a test that was not run."""
    turns = tuple(Throughput(documents, 10.0) for documents in in_process)
    return HttpReport(
        model="m",
        server="here",
        machine=Machine("cpu", 2, 2, 0.1, {"zelo": "0"}),
        clients=4,
        document_tokens_mean=200.0,
        in_process=turns,
        load=load or Load(exchanges(right=18), 10.0, 50),
        overload=overload,
    )


def over(**counts):
    return Overload(exchanges(**counts), 10.0, 50, 6.0, 3.0)


def test_ratio_is_over_both_turns_of_the_scorer():
    """The share of the in-process speed is that of its documents in all its time."""
    report = made(in_process=(800, 1200))  # 100 a second; the server, 90
    assert report.ratio == pytest.approx(0.9)
    assert report.misses == []


def test_missed_targets_are_told():
    """Too slow a server, and too slow a refusal, are told with their numbers."""
    slow = tuple(
        e._replace(seconds=0.3) if e.verdict == "refused" else e
        for e in over(right=2, refused=4).exchanges
    )
    overload = replace(over(right=1), exchanges=slow)
    first, second = made(Load(exchanges(right=16), 10.0, 50), overload).misses
    assert "80%" in first
    assert "85%" in first
    assert "15%" in second
    assert "10%" in second


def test_refusals_at_a_tenth_are_no_miss():
    """A refusal that takes a twentieth of an accepted request is as it should be."""
    report = made(overload=over(right=2, refused=4))
    assert report.overload.refusal_ratio == pytest.approx(0.05)
    assert report.misses == []


@pytest.mark.parametrize(
    ("load", "overload", "sound"),
    [
        ({"right": 5}, {"right": 2, "refused": 4}, True),
        ({"right": 5, "wrong": 1}, {"right": 2}, False),
        ({"right": 5, "lost": 1}, {"right": 2}, False),
        ({"right": 5, "refused": 1}, {"right": 2}, False),
        ({"right": 5}, {"right": 2, "wrong": 1}, False),
        ({"right": 5}, {"right": 2, "lost": 1}, False),
    ],
)
def test_soundness(load, overload, sound):
    """Nothing may be lost or wrong at any time, nor refused while all fits."""
    report = made(Load(exchanges(**load), 10.0, 50), over(**overload))
    assert report.sound is sound
    assert report.as_json()["sound"] is sound


@pytest.mark.parametrize("overload", [None, over(right=2, refused=4), over(right=2)])
def test_json_holds_every_number(overload):
    """The JSON object survives strict JSON, and counts what the report counts."""
    report = made(overload=overload)
    content = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert content["load"]["right"] == content["load"]["requests"] == 18
    assert content["load"]["documents_per_second"] == 90
    assert content["load"]["accepted_seconds"] == {"p50": 2.0, "p95": 2.0, "p99": 2.0}
    assert content["ratio"] == pytest.approx(0.9)
    assert (content["overload"] is None) is (overload is None)
    if overload is not None:
        assert content["overload"]["refused"] == overload.count("refused")


def text_of(report):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(rendered(report))
    return console.export_text()


@pytest.mark.parametrize("overload", [None, over(right=2, refused=4), over(refused=4)])
def test_tables(overload):
    """The tables fit a terminal and show speed, ratio and times."""
    text = text_of(made(overload=overload))
    assert max(map(len, text.splitlines())) <= 80
    for shown in ("90.0", "100.0", "90.0%", "2.000", "4 clients"):
        assert shown in text
    assert ("6.0 a second" in text) is (overload is not None)
    assert ("the server refused" in text) is (overload is not None)


def test_tables_tell_what_refusals_cost():
    """The share that was refused, and a refusal's time beside an answer's, are in a sentence."""
    text = " ".join(text_of(made(overload=over(right=2, refused=4))).split())
    assert "the server refused 67%" in text
    assert "takes it 3.0 s" in text
    assert "median refusal / accepted = 5.00%" in text


def test_tables_tell_what_went_wrong():
    """A busy machine, lost requests and missed targets are notes below the tables."""
    report = made(Load(exchanges(right=1, lost=1), 10.0, 50))
    busy = replace(report, machine=Machine("cpu", 2, 2, 1.5, {}))
    text = " ".join(text_of(busy).split())
    assert "machine was busy (load 1.5" in text
    assert "Not every request got its scores" in text
    assert "Missed: 5% of the in-process speed" in text
    assert "busy" not in text_of(report)


@pytest.mark.asyncio
async def test_whole_test_of_a_running_server(tiny_model):
    """Against a server with a key and a name of its own, all steps are taken and all is right."""
    app = application(tiny_model, keys=(KEY,), max_queued_tokens=400)
    steps = []
    async with listening(app) as address:
        settings = HttpSettings(
            model=str(tiny_model),
            base_url=address,
            api_key=KEY,
            served_name="rerank-v3.5",
            clients=2,
            seconds=0.2,
            documents=3,
            law=LAW,
        )
        report = await run_http_bench(settings, steps.append)
        await until(lambda: not app.state.service.under_way)
    assert report.sound
    assert report.load.count("right") == len(report.load.exchanges) >= 2
    assert report.overload.count("right") + report.overload.count("refused") == len(
        report.overload.exchanges
    )
    assert all(turn.documents >= 6 for turn in report.in_process)
    assert [step.split(",")[0] for step in steps[-4:]] == [
        "in-process scorer",
        "server",
        "in-process scorer",
        "server",
    ]
    assert KEY not in json.dumps(report.as_json()) + repr(report)


@pytest.mark.asyncio
async def test_server_of_its_own_admits_its_clients(tiny_model):
    """The server that is started takes what it is told to, and is gone afterwards."""
    async with started(str(tiny_model), "float32", 1_234) as address:
        async with connections(address, None) as http:
            assert await capacity_of(http) == 1_234
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health")


@pytest.mark.asyncio
async def test_server_of_its_own_wants_no_key(tiny_model, monkeypatch):
    """Keys that the environment holds for other servers do not lock the load test out."""
    monkeypatch.setenv("ZELO_API_KEYS", KEY)
    async with started(str(tiny_model), "float32", 1_234) as address:
        async with connections(address, None) as http:
            assert await capacity_of(http) == 1_234


@pytest.mark.asyncio
async def test_server_that_cannot_start(tmp_path):
    """A server that ends at once is an error with its last word."""
    with pytest.raises(ScoringError, match=r"the server ended: .*config\.json"):
        async with started(str(tmp_path), "float32", 100):
            pass


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["wrong-key", None])
async def test_server_that_wants_another_key(tiny_model, key):
    """A server that does not let us in is an error that says so, without the key."""
    async with listening(application(tiny_model, keys=(KEY,))) as address:
        async with connections(address, key) as http:
            with pytest.raises(RemoteError, match="API key right") as raised:
                await capacity_of(http)
    assert raised.value.status == 401
    assert "wrong-key" not in str(raised.value)


@pytest.mark.asyncio
async def test_server_that_is_not_there():
    """An address where nobody listens is an error that names it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with connections(address, None) as http:
        with pytest.raises(RemoteError, match=address):
            await capacity_of(http)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clients": 0}, "clients"),
        ({"seconds": -1.0}, "seconds"),
        ({"seconds": math.nan}, "seconds"),
        ({"documents": 0}, "documents"),
        ({"dtype": "int8"}, "dtype"),
        ({"model": "zerank-2"}, "hub"),
    ],
)
async def test_senseless_settings(change, said):
    """A setting without a meaning is an error that names it."""
    with pytest.raises(InputError, match=said):
        await run_http_bench(replace(HttpSettings(), **change))


def test_command(tiny_model):
    """`zelo bench http` starts its server, runs, and writes one JSON object."""
    options = ["--clients", "1", "--seconds", "0.1", "--documents", "2", "--json"]
    result = CliRunner().invoke(command, ["bench", "http", "--model", str(tiny_model), *options])
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert content["sound"]
    assert content["server"] == "started for this test"
    assert content["load"]["requests"] == content["load"]["right"] >= 1


def test_command_fails_where_requests_do(tiny_model):
    """A server that cannot be reached ends the command with one line."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    options = ["--model", str(tiny_model), "--clients", "1", "--documents", "1"]
    result = CliRunner().invoke(command, ["bench", "http", "--base-url", address, *options])
    assert result.exit_code == 1
    assert result.stderr.startswith("zelo: error: ")
    assert address in result.stderr


def test_bench_itself_is_still_a_command():
    """`zelo bench` alone is the comparison it was, and its help names `http`."""
    text = CliRunner().invoke(command, ["bench", "--help"], env={"COLUMNS": "120"}).stdout
    assert "--peer-batch-sizes" in text
    assert "http" in text
    result = CliRunner().invoke(command, ["bench", "--documents", "x"])
    assert result.exit_code == 2
    assert "whole numbers" in " ".join(result.stderr.split())
