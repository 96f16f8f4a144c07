"""Large calls in several requests: within limits, side by side, put together by place."""

import asyncio
import json

import pytest
from fakes import FAKES
from fakes_serving import FakeServer
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from zelo import RemoteError, Reranker
from zelo.remote.scorer import CONCURRENCY
from zelo.remote.splitting import split
from zelo.scoring import retrying as patience_module
from zelo.wire import DIALECTS, RerankCall

QUERY = "how is the water of the river"
WORDS = ["river", "water", "bridge", "stone", "file", "spring", "town", "cold"]
WAYS = ["waiting", "awaiting"]
TEI = {"dialect": "tei", "score_scale": "probability"}


@pytest.fixture(scope="module")
def running(local):
    with FakeServer(FAKES["tei"], local).running() as server:
        yield server


@pytest.fixture
def no_pauses(monkeypatch):
    """Retries come at once."""
    monkeypatch.setattr(patience_module.random, "uniform", lambda low, high: low)


def texts(count):
    """Return different documents."""
    return [f"{WORDS[i % 8]} {WORDS[i // 8 % 8]} {i}" for i in range(count)]


def score(way, reranker, documents, **options):
    """Score, blocking or awaiting."""
    if way == "waiting":
        return reranker.score(QUERY, documents, **options)
    return asyncio.run(reranker.ascore(QUERY, documents, **options))


def sent(server):
    """Return all texts that a server was asked to score."""
    return [text for asked in server.scoring for text in asked.texts]


@pytest.mark.parametrize("way", WAYS)
def test_more_documents_than_a_request_may_have(local, running, way):
    """A call of 70 documents to a server that takes 32 gives each document its own score."""
    documents, server = texts(70), running.play("tei")
    with Reranker("zerank-2", base_url=server.url, **TEI) as remote:
        found = score(way, remote, documents)
    assert found == pytest.approx(local.score(QUERY, documents), abs=1e-4)
    assert sorted(len(asked.texts) for asked in server.scoring) == [6, 32, 32]
    assert sorted(sent(server)) == sorted(documents)


@pytest.mark.parametrize("way", WAYS)
def test_more_bytes_than_a_request_may_have(running, way):
    """Documents that are too large together go in several bodies, each within the limit."""
    server = running.play("tei")
    server.script.extend(
        [lambda asked: Response(json.dumps([{"index": i, "score": 0.5} for i in range(3)]))] * 3
    )
    documents = [letter * 600_000 for letter in "abcdefghi"]
    with Reranker("zerank-2", base_url=server.url, **TEI) as remote:
        assert score(way, remote, documents) == [0.5] * 9
    assert [len(asked.texts) for asked in server.scoring] == [3, 3, 3]
    assert max(asked.size for asked in server.scoring) <= 2_000_000


def test_a_document_that_is_too_large_alone_is_the_servers_to_judge(running):
    """A document larger than a body may be is sent alone, and the refusal is told."""
    server = running.play("tei")
    with Reranker("zerank-2", base_url=server.url, **TEI) as remote:
        with pytest.raises(RemoteError, match="413: the request was too large") as caught:
            remote.score(QUERY, ["a" * 2_100_000])
    assert caught.value.status == 413


SIZED = st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=30)


@given(SIZED, st.integers(1, 12), st.integers(4_200, 5_000), st.sampled_from(sorted(DIALECTS)))
def test_parts_are_within_both_limits(documents, most, size, dialect):
    """Parts cover all documents in order, and no body breaks a limit that it could keep."""
    parts = split(QUERY, documents, most, size)
    assert [i for part in parts for i in part] == list(range(len(documents)))
    for part in parts:
        assert 1 <= len(part) <= most
        call = RerankCall(query=QUERY, documents=tuple(documents[part.start : part.stop]))
        body = json.dumps(DIALECTS[dialect].body(call)).encode()
        assert len(part) == 1 or len(body) <= size


@given(st.integers(1, 60), st.integers(1, 12))
def test_no_more_parts_than_needed(count, most):
    """Small documents are cut by number alone, into as few requests as that takes."""
    assert len(split(QUERY, ["a"] * count, most, 1_000_000)) == -(-count // most)


@pytest.mark.parametrize("way", WAYS)
def test_concurrency_is_bounded(running, way):
    """Requests of one call run side by side, but never more than the bound."""
    server = running.play("tei")
    server.pause = lambda asked: 0.05
    with Reranker("zerank-2", base_url=server.url, **TEI) as remote:
        score(way, remote, texts(32 * 12))
    assert len(server.scoring) == 12
    assert 2 <= server.most <= CONCURRENCY


@pytest.mark.parametrize("way", WAYS)
def test_answers_that_come_late_are_in_their_places(local, running, way):
    """The first request is answered last, and its scores still belong to the first documents."""
    documents, server = texts(96), running.play("tei")
    server.pause = lambda asked: 0.3 if asked.texts[0] == documents[0] else 0.0
    with Reranker("zerank-2", base_url=server.url, **TEI) as remote:
        found = score(way, remote, documents)
    assert found == pytest.approx(local.score(QUERY, documents), abs=1e-4)


def test_many_queries(local, running):
    """Several queries with many documents each come back each with its own."""
    queries = [(f"{word} in spring", texts(40)) for word in WORDS[:4]]
    server = running.play("tei")
    with Reranker("zerank-2", base_url=server.url, **TEI) as remote:
        found = remote.rank_many(queries, top_n=5)
        calls = remote.stats()
    for ranking, (query, documents) in zip(found, queries, strict=True):
        expected = local.rank(query, documents, top_n=5)
        assert [r.index for r in ranking] == [r.index for r in expected]
    assert (calls.calls, calls.documents) == (4, 160)


def test_pairs(local, running):
    """Pairs of different queries keep their order."""
    pairs = [(f"{WORDS[i % 3]}?", text) for i, text in enumerate(texts(50))]
    server = running.play("tei")
    with Reranker("zerank-2", base_url=server.url, **TEI) as remote:
        assert remote.predict(pairs) == pytest.approx(local.predict(pairs), abs=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_progress_reaches_the_end(running, way):
    """The callback hears of every request's documents, up to all of them."""
    server, heard = running.play("tei"), []
    with Reranker("zerank-2", base_url=server.url, **TEI) as remote:
        score(way, remote, texts(70), progress=lambda *done: heard.append(done))
    assert [total for _, total in heard] == [70] * 3
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert heard[-1] == (70, 70)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [429, 503])
def test_only_what_failed_is_sent_again(local, running, no_pauses, way, status):
    """After a partial failure the retry completes the call, and nothing that succeeded goes twice.

    The second request fails once.
    """
    documents, server = texts(96), running.play("tei")
    server.script.extend([lambda asked: None, lambda asked: Response(status_code=status)])
    with Reranker("zerank-2", base_url=server.url, **TEI) as remote:
        found = score(way, remote, documents)
    assert found == pytest.approx(local.score(QUERY, documents), abs=1e-4)
    counts = sorted(sent(server).count(text) for text in documents)
    assert counts == [1] * 64 + [2] * 32


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_ends_the_call(running, way):
    """When one request is refused for good, the call fails and the rest is not sent any more."""
    server = running.play("tei")
    with Reranker("zerank-2", base_url=server.url, **TEI) as remote:
        remote.score(QUERY, texts(1))
        server.pause = lambda asked: 0.2
        server.script.append(lambda asked: Response(status_code=400))
        with pytest.raises(RemoteError, match="answered 400"):
            score(way, remote, texts(32 * 40))
    assert len(server.scoring) <= 2 * CONCURRENCY
