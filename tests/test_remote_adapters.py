"""Both frameworks over HTTP: local scores, asynchronous, cancelled, failing, serialised."""

import asyncio
import json
import pickle
import socket
import threading

import pytest
from framework_kit import FACES, every_face, every_ranker, nodes
from llama_index.postprocessor.zelo import ZeloRerank

from zelo import InputError, RemoteError, Reranker

KEY = "sk-zelo-5ecre7"
QUERY = "how is the water of the river"
TEXTS = ["stone bridges in the old town", "the water is cold", "read a file in Python", "a river"]
GATEWAY = {"dialect": "gateway", "score_scale": "probability", "max_retries": 0}


@pytest.fixture
def server(running):
    return running.play("gateway")


@pytest.fixture(scope="module")
def dead():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@every_face
def test_scores_equal_those_in_process(local, server, face, way):
    """An adapter with base_url= gives the order and scores of one with the model in process."""
    over_http = face.adapter(model="zerank-2", base_url=server.url, **GATEWAY)
    here = face.adapter(reranker=local)
    found, expected = (face.run(way, adapter, QUERY, TEXTS) for adapter in (over_http, here))
    over_http.close()
    assert [one.index for one in found] == [one.index for one in expected]
    assert [one.score for one in found] == pytest.approx([o.score for o in expected], abs=1e-4)
    assert len(server.scoring) == 1


@every_face
def test_auto_over_an_adapter(local, running, face):
    """An adapter finds out the server's dialect as the reranker does."""
    server = running.play("vllm", "logit")
    adapter = face.adapter(model="zerank-2", base_url=server.url, score_scale="logit")
    expected = local.score(QUERY, TEXTS)
    assert face.scores(adapter, QUERY, TEXTS) == pytest.approx(expected, abs=1e-4)
    adapter.close()


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@every_face
def test_half_characters_are_never_sent(local, server, face, way):
    """With invalid_text="replace" a server gets U+FFFD, in the query too; without, nothing."""
    texts = [*TEXTS, "a half \ud800"]
    strict = face.adapter(model="zerank-2", base_url=server.url, **GATEWAY)
    with pytest.raises(InputError, match="holds a lone surrogate"):
        face.run(way, strict, QUERY, texts)
    assert not server.asked
    options = GATEWAY | {"invalid_text": "replace"}
    adapter = face.adapter(model="zerank-2", base_url=server.url, **options)
    face.run(way, adapter, QUERY + "\udfff", texts)
    (asked,) = server.scoring
    assert (asked.body["query"], asked.texts[-1]) == (QUERY + "\ufffd", "a half \ufffd")
    strict.close()
    adapter.close()


@pytest.mark.parametrize("way", ["argument", "environment"])
@every_face
def test_the_key_reaches_the_server(running, monkeypatch, face, way):
    """An adapter's key, given or of the environment, is sent as the server wants it."""
    server = running.play("gateway", key=KEY)
    if way == "environment":
        monkeypatch.setenv("ZELO_API_KEY", KEY)
    key = {"api_key": KEY} if way == "argument" else {}
    adapter = face.adapter(model="zerank-2", base_url=server.url, **key, **GATEWAY)
    assert len(face.rank(adapter, QUERY, TEXTS)) >= 3
    adapter.close()


def test_the_environments_server_serves_adapters(server, monkeypatch):
    """Without base_url= the environment's server scores for adapters too, and they say so."""
    monkeypatch.setenv("ZELO_BASE_URL", server.url)
    for face in FACES:
        adapter = face.adapter(model="zerank-2", **GATEWAY)
        assert adapter.base_url == server.url
        face.rank(adapter, QUERY, TEXTS)
        adapter.close()
    assert len(server.scoring) == 3


@every_ranker
def test_twenty_queries_at_once(local, server, face):
    """Twenty awaited queries give each its own ranking, side by side and without a thread."""
    server.pause = lambda asked: 0.1
    queries = [f"{QUERY} number {i}" for i in range(20)]
    names = set()

    async def main():
        adapter = face.adapter(model="zerank-2", base_url=server.url, **GATEWAY)
        calls = asyncio.gather(*[face.arank(adapter, query, TEXTS) for query in queries])
        while len(server.scoring) < 20:
            await asyncio.sleep(0.005)
            names.update(thread.name for thread in threading.enumerate())
        found = await calls
        adapter.close()
        return found

    for query, found in zip(queries, asyncio.run(main()), strict=True):
        expected = local.rank(query, TEXTS, top_n=3)
        assert [one.index for one in found] == [result.index for result in expected]
    assert server.most >= 2
    assert not [name for name in names if name.startswith("zelo-http")]


@every_ranker
def test_cancelling_closes_the_request(server, face):
    """A cancelled query's request is broken off; the adapter works on."""
    server.pause = lambda asked: 30.0

    async def main():
        adapter = face.adapter(model="zerank-2", base_url=server.url, **GATEWAY)
        call = asyncio.create_task(face.arank(adapter, QUERY, TEXTS))
        while not server.scoring:
            await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(server.dropped.wait, 20)
        server.pause = lambda asked: 0.0
        found = await face.arank(adapter, QUERY, TEXTS)
        adapter.close()
        return found

    assert len(asyncio.run(main())) == 3


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@every_ranker
def test_a_server_that_is_down_raises(dead, face, way):
    """By default a server that cannot be reached is an error."""
    adapter = face.adapter(model="zerank-2", base_url=dead, **GATEWAY)
    with pytest.raises(RemoteError, match="no connection"):
        face.run(way, adapter, QUERY, TEXTS)
    adapter.close()


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@every_ranker
def test_a_server_that_is_down_keeps_the_order(dead, caplog, face, way):
    """With keep_order, the first stage's order comes back, marked and logged."""
    adapter = face.adapter(model="zerank-2", base_url=dead, on_error="keep_order", **GATEWAY)
    found = face.run(way, adapter, QUERY, TEXTS)
    adapter.close()
    assert [one.index for one in found] == [0, 1, 2]
    assert {one.metadata["rerank_error"] for one in found} == {"RemoteError"}
    assert "reranking failed, and the first stage's order is kept: RemoteError" in caplog.text


@every_ranker
def test_another_servers_scores_say_so(server, dead, face):
    """After a failover, each item names who scored it."""
    adapter = face.adapter(model="zerank-2", base_url=[dead, server.url], **GATEWAY)
    found = face.rank(adapter, QUERY, TEXTS)
    adapter.close()
    assert {one.metadata["rerank_source"] for one in found} == {
        f"zerank-2 at {server.url} (gateway)"
    }


@pytest.mark.parametrize("way", ["dictionary", "JSON"])
def test_llama_index_serialises_a_remote_reranker(running, monkeypatch, way):
    """What from_dict() makes asks the same server, with the key of the environment there."""
    server = running.play("gateway", key=KEY)
    monkeypatch.setenv("ZELO_API_KEY", KEY)
    rerank = ZeloRerank(model="zerank-2", base_url=server.url, api_key=KEY, top_n=2, **GATEWAY)
    data = rerank.to_dict() if way == "dictionary" else json.loads(rerank.to_json())
    assert KEY not in repr(data)
    restored = ZeloRerank.from_dict(data)
    assert restored.to_dict() == rerank.to_dict()
    orders = [
        [found.node.node_id for found in one.postprocess_nodes(nodes(TEXTS), query_str=QUERY)]
        for one in (rerank, restored)
    ]
    assert orders[0] == orders[1]
    assert len(orders[0]) == 2
    rerank.close()
    restored.close()


@every_face
def test_a_pickled_adapter_asks_the_same_server(running, monkeypatch, face):
    """A pickle carries the server and no key; the environment's is used where it is opened."""
    server = running.play("gateway", key=KEY)
    adapter = face.adapter(model="zerank-2", base_url=server.url, api_key=KEY, **GATEWAY)
    carried = pickle.dumps(adapter)
    adapter.close()
    assert KEY.encode() not in carried
    monkeypatch.setenv("ZELO_API_KEY", KEY)
    copied = pickle.loads(carried)  # noqa: S301 - our own bytes
    assert len(face.rank(copied, QUERY, TEXTS)) >= 3
    copied.close()


@every_face
def test_adapters_share_a_remote_reranker(server, face):
    """A Reranker with a server can be given to adapters, which say where it asks."""
    with Reranker("zerank-2", base_url=server.url, **GATEWAY) as remote:
        adapter = face.adapter(reranker=remote)
        face.rank(adapter, QUERY, TEXTS)
        assert adapter.base_url == server.url
        assert remote.stats().calls == 1
