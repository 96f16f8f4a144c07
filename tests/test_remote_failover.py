"""Several servers, and a model here in the end: who answers, and how that shows."""

import asyncio
import logging
import pickle
import socket

import pytest
from fakes import FAKES
from fakes_serving import FakeServer
from starlette.responses import Response

from zelo import DialectError, ModelError, RemoteAuthError, RemoteError, Reranker
from zelo.remote import failover

QUERY = "how is the water of the river"
DOCUMENTS = ["the water is cold", "stone bridges in the old town", "read a file in Python"]
GATEWAY = {"dialect": "gateway", "score_scale": "probability", "max_retries": 0}

every_way = pytest.mark.parametrize("way", ["waiting", "awaiting"])


@pytest.fixture
def here(tiny_model):
    """A model in this process for one test, which closing its reranker closes."""
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture(scope="module")
def expected(local):
    return pytest.approx(local.score(QUERY, DOCUMENTS), abs=1e-4)


@pytest.fixture(scope="module")
def two(local):
    first, second = (FakeServer(FAKES["gateway"], local) for _ in range(2))
    with first.running(), second.running():
        yield first, second


@pytest.fixture
def servers(two):
    return [server.play("gateway") for server in two]


@pytest.fixture(scope="module")
def dead():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}"


class Clock:
    """Time that a test moves on."""

    def __init__(self):
        self.now = 1_000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(failover, "time", clock)
    return clock


def rank(way, reranker):
    """Rank, blocking or awaiting."""
    if way == "waiting":
        return reranker.rank(QUERY, DOCUMENTS)
    return asyncio.run(reranker.arank(QUERY, DOCUMENTS))


def failing(server, status, times=99):
    """Let a server fail."""
    server.script.extend([lambda asked: Response(status_code=status)] * times)


@every_way
def test_the_first_answers_while_it_works(servers, way):
    """The first server does all the work, and its scores carry no source."""
    first, second = servers
    with Reranker("zerank-2", base_url=[first.url, second.url], **GATEWAY) as remote:
        assert {result.source for result in rank(way, remote)} == {None}
    assert (len(first.asked), len(second.asked)) == (1, 0)


@every_way
@pytest.mark.parametrize("status", [429, 500, 503, 404])
def test_another_server_answers_visibly(local, servers, caplog, way, status):
    """Where the first fails, the second's scores come, and results and log say whose they are."""
    first, second = servers
    failing(first, status)
    with Reranker("zerank-2", base_url=[first.url, second.url], **GATEWAY) as remote:
        found = rank(way, remote)
    assert [result.index for result in found] == [r.index for r in local.rank(QUERY, DOCUMENTS)]
    assert {result.source for result in found} == {f"zerank-2 at {second.url} (gateway)"}
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any(first.url in text and f"answered {status}" in text for text in warnings)
    assert any(f"scores come from zerank-2 at {second.url}" in text for text in warnings)


@every_way
def test_a_model_here_answers_visibly(here, dead, caplog, way):
    """Where no server answers, the fallback does, and results and log say so."""
    with Reranker("zerank-2", base_url=dead, fallback=here, **GATEWAY) as remote:
        found = rank(way, remote)
        sources = {result.source for result in found}
        assert sources == {repr(here).removeprefix("Reranker(").removesuffix(")")}
        assert [r.score for r in found] == [r.score for r in here.rank(QUERY, DOCUMENTS)]
    assert "scores come from" in caplog.text


def test_the_fallback_is_asked_last(here, servers, dead):
    """Servers come before the fallback, in the order given."""
    first, second = servers
    failing(first, 503)
    with Reranker("m", base_url=[dead, first.url, second.url], fallback=here, **GATEWAY) as remote:
        assert {r.source for r in remote.rank(QUERY, DOCUMENTS)} == {f"m at {second.url} (gateway)"}
    assert len(first.asked) == 1


@every_way
def test_when_all_fail_the_last_failure_is_raised(servers, dead, way):
    """Without anybody who answers, the call fails with the last one's error."""
    first, _ = servers
    failing(first, 503)
    with Reranker("zerank-2", base_url=[dead, first.url], **GATEWAY) as remote:
        with pytest.raises(RemoteError, match="answered 503"):
            rank(way, remote)


@every_way
def test_a_failed_server_rests(servers, clock, way):
    """A server that failed is asked last until its rest is over, and then first again."""
    first, second = servers
    failing(first, 503, times=1)
    with Reranker("zerank-2", base_url=[first.url, second.url], **GATEWAY) as remote:
        rank(way, remote)
        clock.now += failover.REST_S - 1
        assert {result.source for result in rank(way, remote)} != {None}
        assert (len(first.asked), len(second.asked)) == (1, 2)
        clock.now += 2
        assert {result.source for result in rank(way, remote)} == {None}
        assert (len(first.asked), len(second.asked)) == (2, 2)


@every_way
def test_a_resting_server_is_better_than_none(servers, clock, way):
    """When the others fail, a server at rest is asked after all."""
    first, second = servers
    failing(first, 503, times=1)
    with Reranker("zerank-2", base_url=[first.url, second.url], **GATEWAY) as remote:
        rank(way, remote)
        failing(second, 503)
        assert {result.source for result in rank(way, remote)} == {None}


@every_way
def test_a_wrong_key_is_not_hidden(here, two, way):
    """A refused key is the caller's to mend; no other server or fallback covers it."""
    first, second = two[0].play("gateway", key="sk-right"), two[1].play("gateway")
    urls = [first.url, second.url]
    with Reranker("m", base_url=urls, api_key="sk-x", fallback=here, **GATEWAY) as remote:
        with pytest.raises(RemoteAuthError):
            rank(way, remote)
    assert second.asked == []


@every_way
def test_a_wrong_dialect_is_not_hidden(here, two, way):
    """A dialect said wrong is told, although another server or the fallback could answer."""
    first, second = two[0].play("tei"), two[1].play("gateway")
    urls = [first.url, second.url]
    with Reranker("zerank-2", base_url=urls, fallback=here, **GATEWAY) as remote:
        with pytest.raises(DialectError, match="say dialect='tei'"):
            rank(way, remote)
    assert second.asked == []


def test_an_unknown_scale_is_not_hidden(here, servers):
    """What the scores mean must be said, whoever else could answer."""
    with Reranker("zerank-2", base_url=servers[0].url, fallback=here) as remote:
        with pytest.raises(DialectError, match="score_scale="):
            rank("waiting", remote)


def test_wrong_input_is_no_failure_of_a_server(servers):
    """A call that no server could answer is not tried at the next."""
    first, second = servers
    options = {"dialect": "gateway", "score_scale": "probability"}
    with Reranker("my/m", base_url=[first.url, second.url], **options) as remote:
        with pytest.raises(ValueError, match="instruction= needs"):
            remote.score(QUERY, DOCUMENTS, instruction="Be strict.")
    assert first.asked == second.asked == []


def test_cancelling_is_no_failure_of_a_server(servers):
    """A cancelled call goes to no other server."""
    first, second = servers
    first.pause = lambda asked: 30.0

    async def main():
        with Reranker("zerank-2", base_url=[first.url, second.url], **GATEWAY) as remote:
            call = asyncio.create_task(remote.arank(QUERY, DOCUMENTS))
            while not first.scoring:
                await asyncio.sleep(0.005)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(main())
    assert second.asked == []


def test_each_server_is_found_out_by_itself(two, expected):
    """With `auto`, servers of different makers stand in for one another."""
    first, second = two[0].play("gateway"), two[1].play("llama.cpp")
    failing(first, 503)
    options = {"score_scale": "probability", "max_retries": 0}
    with Reranker("zerank-2", base_url=[first.url, second.url], **options) as remote:
        assert remote.score(QUERY, DOCUMENTS) == expected


def test_a_copy_fails_over_too(servers, dead, expected):
    """What comes out of a pickle has the same servers in the same order."""
    with Reranker("zerank-2", base_url=[dead, servers[1].url], **GATEWAY) as remote:
        with pickle.loads(pickle.dumps(remote)) as copied:  # noqa: S301 - our own bytes
            assert copied.score(QUERY, DOCUMENTS) == expected


def test_warming_up_needs_one_that_works(servers, dead, caplog):
    """A server that cannot be warmed up is logged, and the others are."""
    with Reranker("zerank-2", base_url=[dead, servers[1].url], **GATEWAY) as remote:
        remote.warmup()
    assert f"zerank-2 at {dead} (gateway) cannot be warmed up" in caplog.text
    assert len(servers[1].scoring) == 1


def test_a_fallback_that_cannot_be_loaded_is_told(dead, tmp_path):
    """A fallback without a model gives the error of its model."""
    with Reranker("m", base_url=dead, fallback=Reranker(tmp_path), **GATEWAY) as remote:
        with pytest.raises(ModelError, match=r"config\.json"):
            remote.score(QUERY, DOCUMENTS)
