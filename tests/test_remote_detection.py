"""Finding out what a server speaks, and saying so where it was said wrong."""

import asyncio
import dataclasses
import logging
import threading

import pytest
from starlette.responses import JSONResponse

from zelo import DialectError, RemoteAnswerError, RemoteError, Reranker
from zelo.wire import DIALECTS

QUERY = "how is the water of the river"
DOCUMENTS = ["the water is cold", "stone bridges in the old town", "read a file in Python"]
# what finds which kind: "asked" without a scoring request, "canary" with one
FOUND = {
    "zeroentropy": ("zeroentropy", "canary"),
    "cohere-v1": ("cohere-v1", "canary"),
    "jina": ("jina", "canary"),
    "voyage": ("voyage", "canary"),
    "vllm": ("vllm", "asked"),
    "tei": ("tei", "asked"),
    "infinity": ("infinity", "canary"),
    "llama.cpp": ("llama.cpp", "asked"),
    "sglang": ("sglang", "asked"),
    "litellm": ("litellm", "canary"),
    "gateway": ("gateway", "canary"),
}
every_way = pytest.mark.parametrize("way", ["waiting", "awaiting"])


def score(way, reranker, documents=DOCUMENTS):
    """Score, blocking or awaiting."""
    if way == "waiting":
        return reranker.score(QUERY, documents)
    return asyncio.run(reranker.ascore(QUERY, documents))


def answering(server, answer):
    """Let a server answer every scoring request with some JSON."""
    server.script.extend([lambda asked: JSONResponse(answer)] * 9)
    return server


@every_way
@pytest.mark.parametrize("kind", FOUND)
def test_a_server_is_found_out(local, running, kind, way):
    """`auto` finds each dialect with at most one scoring request, and reads the scores rightly."""
    name, how = FOUND[kind]
    server = running.play(kind)
    with Reranker("zerank-2", base_url=server.url, score_scale="probability") as remote:
        found = score(way, remote)
        assert f"({name})" in repr(remote)
    assert found == pytest.approx(local.score(QUERY, DOCUMENTS), abs=1e-4)
    assert len(server.scoring) == (1 if how == "asked" else 2)


@every_way
@pytest.mark.parametrize("kind", FOUND)
def test_what_was_found_is_remembered(running, kind, way):
    """After the first call, each call is one request."""
    server = running.play(kind)
    with Reranker("zerank-2", base_url=server.url, score_scale="probability") as remote:
        score("waiting", remote)
        before = len(server.asked)
        score(way, remote)
        score(way, remote)
        assert len(server.asked) == before + 2


def test_callers_who_come_together_share_one_canary(running):
    """Threads that all make the first call ask the server once what it is."""
    server = running.play("jina")
    start = threading.Barrier(6)
    with Reranker("zerank-2", base_url=server.url, score_scale="probability") as remote:

        def call():
            start.wait()
            remote.score(QUERY, DOCUMENTS)

        threads = [threading.Thread(target=call) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.scoring) == 7


def test_tasks_that_come_together_share_one_canary(running):
    """Calls of one event loop that are all the first ask the server once what it is."""
    server = running.play("jina")

    async def main():
        with Reranker("zerank-2", base_url=server.url, score_scale="probability") as remote:
            await asyncio.gather(*[remote.ascore(QUERY, DOCUMENTS) for _ in range(6)])

    asyncio.run(main())
    assert len(server.scoring) == 7


def test_a_cancelled_first_caller_leaves_the_question_to_the_next(local, running):
    """Whoever waits for another's detection takes it over when that one is cancelled."""
    server = running.play("jina")
    server.pause = lambda asked: 0.2

    async def main():
        with Reranker("zerank-2", base_url=server.url, score_scale="probability") as remote:
            first, second = [asyncio.create_task(remote.ascore(QUERY, DOCUMENTS)) for _ in range(2)]
            while not server.scoring:
                await asyncio.sleep(0.005)
            first.cancel()
            return await second

    assert asyncio.run(main()) == pytest.approx(local.score(QUERY, DOCUMENTS), abs=1e-4)


def test_what_a_server_is_stands_in_the_log(running, caplog):
    """Whoever reads the log sees which server was found."""
    server = running.play("llama.cpp")
    with Reranker("zerank-2", base_url=server.url, score_scale="probability") as remote:
        with caplog.at_level(logging.INFO, "zelo"):
            score("waiting", remote)
    assert f"{server.url} is llama.cpp's server" in caplog.text


@every_way
@pytest.mark.parametrize(
    ("answer", "fitting"),
    [
        (
            {
                "results": [{"index": i, "relevance_score": 0.5} for i in range(2)],
                "meta": {"api_version": {}},
            },
            ["'cohere-v1' (Cohere's API v1)", "'cohere-v2' (Cohere's API v2)"],
        ),
    ],
)
def test_an_ambiguous_answer_is_an_error(running, answer, fitting, way):
    """An answer that several dialects give is not guessed at; the error lists them."""
    server = answering(running.play("gateway"), answer)
    with Reranker("zerank-2", base_url=server.url, score_scale="probability") as remote:
        with pytest.raises(DialectError, match=r"in what may be .*: say which as dialect=") as told:
            score(way, remote)
    named = str(told.value).partition("may be ")[2].partition(": say")[0]
    assert named.split(", ") == fitting
    assert len(server.scoring) == 1


@every_way
@pytest.mark.parametrize("answer", [{"hello": "world"}, [], [[]], {}, None, "ok", 3, {"data": []}])
def test_an_answer_in_no_dialect_is_an_error(running, answer, way):
    """An answer that nobody would give is an error that lists the dialects."""
    server = answering(running.play("gateway"), answer)
    with Reranker("zerank-2", base_url=server.url, score_scale="probability") as remote:
        with pytest.raises(DialectError, match="answered in no dialect known") as told:
            score(way, remote)
    assert all(repr(name) in str(told.value) for name in DIALECTS)
    assert len(server.scoring) == 1


@every_way
def test_a_server_without_a_rerank_path_is_an_error(running, way):
    """Where nothing reranks, the error asks whether base_url is right."""
    server = running.play("baseten")
    with Reranker("zerank-2", base_url=server.url, score_scale="probability") as remote:
        with pytest.raises(RemoteError, match=r"404: .* base_url, dialect= .* right") as told:
            score(way, remote)
    assert told.value.status == 404
    assert server.scoring == []


@every_way
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        *[("tei", "vllm"), ("vllm", "tei"), ("voyage", "jina"), ("jina", "voyage")],
        *[("zeroentropy", "vllm"), ("zelo", "llama.cpp"), ("vllm-score", "infinity")],
        *[("sglang", "cohere-v1"), ("cohere-v2", "gateway"), ("baseten", "sglang")],
        *[("vllm", "zeroentropy"), ("infinity", "voyage")],
    ],
)
def test_a_dialect_said_wrong_names_the_right_one(running, said, kind, way):
    """A server of another kind than was said gives an error that names both."""
    server = running.play(kind)
    scale = None if said in ("zeroentropy", "zelo") else "probability"
    with Reranker("zerank-2", base_url=server.url, dialect=said, score_scale=scale) as remote:
        with pytest.raises(DialectError) as told:
            score(way, remote)
    assert f"dialect={said!r} was said" in str(told.value)
    assert f"say dialect={FOUND[kind][0]!r}" in str(told.value)


def test_a_dialect_said_right_is_not_asked_for(running):
    """Where the dialect is said, the server gets the scoring request and nothing else."""
    server = running.play("vllm")
    with Reranker("m", base_url=server.url, dialect="vllm", score_scale="probability") as remote:
        remote.score(QUERY, DOCUMENTS)
    assert [(asked.method, asked.path) for asked in server.asked] == [("POST", "/rerank")]


def test_a_failure_of_a_dialect_said_right_is_told_as_it_is(running):
    """A refusal by the very server that was said is no doubt of the dialect."""
    server = running.play("vllm")
    server.script.append(lambda asked: JSONResponse({}, 422))
    with Reranker("m", base_url=server.url, dialect="vllm", score_scale="probability") as remote:
        with pytest.raises(RemoteError, match="answered 422") as told:
            remote.score(QUERY, DOCUMENTS)
    assert not isinstance(told.value, DialectError)


def test_a_server_behind_other_paths_is_asked_where_it_answered(local, running):
    """A proxy that lets one path of vLLM's through gets its requests there."""
    server = running.play("vllm")
    paths = {"/v1/rerank": server.kind.paths["/v1/rerank"]}
    server.kind = dataclasses.replace(server.kind, paths=paths, tells={})
    with Reranker("zerank-2", base_url=server.url, score_scale="probability") as remote:
        assert score("waiting", remote) == pytest.approx(local.score(QUERY, DOCUMENTS), abs=1e-4)
    assert [asked.path for asked in server.scoring] == ["/v1/rerank"] * 2


@pytest.mark.parametrize("said", ["vllm", "vllm-score"])
def test_another_dialect_of_the_same_server_is_not_advised(running, said):
    """A server of the right kind that answers nonsense is no server of another kind."""
    server = answering(running.play(said), {"hello": "world"})
    with Reranker("m", base_url=server.url, dialect=said, score_scale="probability") as remote:
        with pytest.raises(RemoteAnswerError, match="is not one of vLLM"):
            remote.score(QUERY, DOCUMENTS)


@every_way
@pytest.mark.parametrize("kind", sorted(FOUND.keys() - {"zeroentropy"}))
def test_an_unknown_scale_is_an_error(running, kind, way):
    """Where a dialect leaves open what its scores are, nothing is assumed."""
    server = running.play(kind)
    with Reranker("zerank-2", base_url=server.url) as remote:
        with pytest.raises(DialectError, match="Say which as score_scale=") as told:
            score(way, remote)
    assert DIALECTS[FOUND[kind][0]].title in str(told.value)


@pytest.mark.parametrize("name", sorted(DIALECTS.keys() - {"zelo", "zeroentropy"}))
def test_an_unknown_scale_of_a_said_dialect_is_an_error_at_once(name):
    """A dialect that promises no scale is refused without one when the reranker is made."""
    with pytest.raises(DialectError, match="Say which as score_scale="):
        Reranker("zerank-2", base_url="http://127.0.0.1:9", dialect=name)


def test_a_promised_scale_can_be_overruled(local, running):
    """A server with the vendor's contract, but raw scores, is read as its caller says."""
    server = running.play("zeroentropy", "logit/5")
    with Reranker("zerank-2", base_url=server.url, score_scale="logit/5") as remote:
        assert score("waiting", remote) == pytest.approx(local.score(QUERY, DOCUMENTS), abs=1e-4)


def test_limits_that_a_server_tells_are_kept(running, monkeypatch):
    """TEI says how many documents it takes in one request, and gets no more."""
    server = running.play("tei")
    tells = server.kind.tells["/info"] | {"max_client_batch_size": 2}
    monkeypatch.setitem(server.kind.tells, "/info", tells)
    with Reranker("zerank-2", base_url=server.url, score_scale="probability") as remote:
        remote.score(QUERY, DOCUMENTS)
    assert sorted(len(asked.texts) for asked in server.scoring) == [1, 2]
