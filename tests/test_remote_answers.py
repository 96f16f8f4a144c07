"""A server's answers are checked: a valid ranking comes of them, or a typed error."""

import asyncio
import json
import math
from collections import deque

import pytest
from fakes import FAKES
from fakes_serving import FakeServer
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import Response

from zelo import RemoteAnswerError, RemoteError, Reranker, ScoringError
from zelo.transport import client as http
from zelo.wire import DIALECTS

QUERY = "how is the water of the river"
DOCUMENTS = ["the canary water is cold", "stone bridges", "read a file in Python"]
COUNT = len(DOCUMENTS)


@pytest.fixture(scope="module")
def server():
    with FakeServer(FAKES["gateway"], model=None).running() as server:
        yield server


@pytest.fixture(scope="module")
def clients(server):
    """Gives a client for each dialect, which asks without retries."""
    made = {}

    def client(dialect, scale="probability"):
        if (dialect, scale) not in made:
            options = {"dialect": dialect, "score_scale": scale, "max_retries": 0}
            made[dialect, scale] = Reranker("zerank-2", base_url=server.url, **options)
        return made[dialect, scale]

    yield client
    for reranker in made.values():
        reranker.close()


class Answering:
    """A script without end: every request is answered with the same bytes."""

    def __init__(self, content, status=200, headers=None):
        self._answer = content, status, headers

    def popleft(self):
        content, status, headers = self._answer
        return lambda asked: Response(content, status, headers)


def rank(way, reranker):
    """Rank, blocking or awaiting."""
    if way == "waiting":
        return reranker.rank(QUERY, DOCUMENTS)
    return asyncio.run(reranker.arank(QUERY, DOCUMENTS))


def answer(server, dialect, content, **more):
    """Let the server answer every request in a dialect with some bytes."""
    server.play(dialect if dialect in FAKES else "gateway")
    server.script = Answering(content, **more)


def shaped(dialect, results):
    """Return a whole answer of a dialect around (index, score) results."""
    if dialect == "baseten":
        return [[{"label": "Yes", "score": score}] for _, score in results]
    if dialect == "tei":
        return [{"index": index, "score": score} for index, score in results]
    if dialect == "sglang":
        return [{"index": i, "score": score, "meta_info": {}} for i, score in results]
    if dialect in ("voyage", "vllm-score"):
        name = "score" if dialect == "vllm-score" else "relevance_score"
        data = [{"index": i, name: score, "object": "score"} for i, score in results]
        whole = {"object": "list", "id": "1", "created": 1, "model": "m", "data": data}
        return whole | {"usage": {"prompt_tokens": 1, "total_tokens": 1}}
    found = [{"index": index, "relevance_score": score} for index, score in results]
    return {
        "id": "1",
        "model": "m",
        "results": found,
        "object": "rerank",
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
        "actual_latency_mode": "fast",
    }


GOOD = [(0, 0.5), (1, 0.25), (2, 0.75)]
WRONG = {
    "missing": GOOD[:2],
    "none": [],
    "doubled": [*GOOD[:2], (1, 0.75)],
    "one too many": [*GOOD, (2, 0.75)],
    "out of range": [*GOOD[:2], (3, 0.75)],
    "far out of range": [*GOOD[:2], (10**30, 0.75)],
    "negative": [*GOOD[:2], (-1, 0.75)],
    "index as text": [*GOOD[:2], ("2", 0.75)],
    "index as a fraction": [*GOOD[:2], (2.5, 0.75)],
    "index as a float": [*GOOD[:2], (2.0, 0.75)],
    "index as a truth value": [(0, 0.5), (True, 0.25), (2, 0.75)],
    "no index": [*GOOD[:2], (None, 0.75)],
    "score as text": [*GOOD[:2], (2, "0.75")],
    "score as a truth value": [*GOOD[:2], (2, True)],
    "no score": [*GOOD[:2], (2, None)],
    "score as a list": [*GOOD[:2], (2, [0.75])],
    "NaN": [*GOOD[:2], (2, math.nan)],
    "infinity": [*GOOD[:2], (2, math.inf)],
    "minus infinity": [*GOOD[:2], (2, -math.inf)],
    "no probability": [*GOOD[:2], (2, 1.5)],
    "a negative probability": [*GOOD[:2], (2, -0.01)],
}
OF_INDICES = {name for name in WRONG if "index" in name or "range" in name} | {
    *("doubled", "negative"),
}
CASES = [
    (dialect, name)
    for dialect in FAKES
    for name in WRONG
    if not (dialect == "baseten" and name in OF_INDICES)  # its answers have none
]


@pytest.mark.parametrize("dialect", FAKES)
def test_a_good_answer_is_taken(server, clients, dialect):
    """What the wrong answers below differ from is read as it is meant."""
    answer(server, dialect, json.dumps(shaped(dialect, GOOD)))
    assert clients(dialect).score(QUERY, DOCUMENTS) == [0.5, 0.25, 0.75]


@pytest.mark.parametrize(("dialect", "name"), CASES)
def test_a_wrong_answer_is_an_error(server, clients, dialect, name):
    """An answer that is not one finite score for each document never becomes a ranking."""
    answer(server, dialect, json.dumps(shaped(dialect, WRONG[name])))
    with pytest.raises(RemoteAnswerError, match="POST 127") as caught:
        clients(dialect).rank(QUERY, DOCUMENTS)
    assert "canary" not in str(caught.value)
    assert len(server.scoring) == 1


@pytest.mark.parametrize("dialect", FAKES)
def test_a_number_beyond_all_floats_is_an_error(server, clients, dialect):
    """1e999 is JSON, and would be read as infinity."""
    text = json.dumps(shaped(dialect, GOOD)).replace("0.75", "1e999")
    answer(server, dialect, text)
    with pytest.raises(RemoteAnswerError):
        clients(dialect, "logit").rank(QUERY, DOCUMENTS)


@pytest.mark.parametrize("scale", ["logit", "logit/5"])
def test_a_logit_that_overflows_is_an_error(server, clients, scale):
    """A finite number whose logit or probability is none is no score either."""
    answer(server, "gateway", json.dumps(shaped("gateway", [*GOOD[:2], (2, 1.7e308)])))
    reranker = clients("gateway", scale)
    if scale == "logit":
        assert reranker.score(QUERY, DOCUMENTS)[2] == 1.0
    else:
        with pytest.raises(ScoringError, match="infinity"):
            reranker.rank(QUERY, DOCUMENTS)


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@pytest.mark.parametrize(
    "content",
    [
        b"<html><body>Welcome to the canary</body></html>",
        b"",
        b"null",
        b"true",
        b'"results"',
        b"[1, 2, 3]",
        json.dumps(shaped("gateway", GOOD)).encode()[:-9],
        b'{"results": [{"index": 0, "relevance_score": 0.5}, 3, null]}',
        b'{"results": {"0": 0.5, "1": 0.25, "2": 0.75}}',
        b"\xff\xfe\x00\x80canary\x9d",
        b"[" * 100_000,
        b'{"results": ' + b"9" * 5_000 + b"}",
        b'{"results": [{"index": 0, "relevance_score": ' + b"9" * 5_000 + b"}]}",
    ],
    ids=lambda content: repr(content[:24]),
)
def test_what_is_no_answer_is_an_error(server, clients, content, way):
    """Pages, broken JSON, other shapes and bytes without sense give a typed error."""
    answer(server, "gateway", content)
    with pytest.raises(RemoteAnswerError, match="is not one of a gateway") as caught:
        rank(way, clients("gateway"))
    assert "canary" not in str(caught.value)


def test_garbage_that_claims_to_be_compressed_is_an_error(server, clients):
    """A body that is not what its Content-Encoding says gives a typed error."""
    answer(server, "gateway", b"no gzip", headers={"content-encoding": "gzip"})
    with pytest.raises(RemoteError, match="the connection broke"):
        clients("gateway").rank(QUERY, DOCUMENTS)


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
def test_a_huge_answer_is_an_error(server, clients, monkeypatch, way):
    """An answer larger than any server's is not read to its end."""
    monkeypatch.setattr(http, "LARGEST_ANSWER", 10_000)
    whole = json.dumps(shaped("gateway", GOOD)) + " " * 10_000
    answer(server, "gateway", whole)
    with pytest.raises(RemoteError, match="answered more than 10,000 bytes"):
        rank(way, clients("gateway"))


NUMBERS = st.one_of(st.integers(-2, 5), st.floats(), st.booleans(), st.none(), st.text(max_size=3))
RESULTS = st.one_of(
    st.permutations(range(COUNT)).flatmap(
        lambda order: st.tuples(*[st.tuples(st.just(i), st.floats(0, 1)) for i in order])
    ),
    st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5),
)
ANYTHING = st.recursive(
    st.one_of(NUMBERS, st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["results", "data", "index", "score", "relevance_score", "object"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def check(server, reranker, dialect, content):
    """Rank, and see that it gives the ranking that was sent or a typed error."""
    answer(server, dialect, content)
    try:
        found = reranker.rank(QUERY, DOCUMENTS)
    except RemoteAnswerError:
        return
    assert sorted(result.index for result in found) == list(range(COUNT))
    assert all(0.0 <= result.score <= 1.0 for result in found)
    assert [result.logit for result in found] == sorted((r.logit for r in found), reverse=True)
    sent = {score.index: score.value for score in DIALECTS[dialect].scores(json.loads(content))}
    assert {result.index: result.score for result in found} == sent


@given(dialect=st.sampled_from(sorted(FAKES)), results=RESULTS)
@example(dialect="tei", results=GOOD)
@example(dialect="gateway", results=[(2, 0.0), (0, 1.0), (1, 5e-324)])
def test_any_results_give_a_ranking_or_an_error(server, clients, dialect, results):
    """Whatever stands in the results, it is a whole ranking or a typed error."""
    content = json.dumps(shaped(dialect, results))
    check(server, clients(dialect), dialect, content)


@given(answer=ANYTHING)
def test_any_json_gives_a_ranking_or_an_error(server, clients, answer):
    """Whatever JSON comes back, it is a whole ranking or a typed error."""
    check(server, clients("gateway"), "gateway", json.dumps(answer))


@given(content=st.binary(max_size=64))
def test_any_bytes_give_an_error(server, clients, content):
    """Bytes of no meaning are a typed error."""
    check(server, clients("gateway"), "gateway", content)


def test_after_an_error_the_next_call_works(server, clients):
    """A wrong answer leaves nothing behind."""
    server.play("gateway")
    good, bad = (json.dumps(shaped("gateway", results)) for results in (GOOD, GOOD[:2]))
    server.script = deque(lambda asked, text=text: Response(text) for text in (bad, good))
    with pytest.raises(RemoteAnswerError):
        clients("gateway").score(QUERY, DOCUMENTS)
    assert clients("gateway").score(QUERY, DOCUMENTS) == [0.5, 0.25, 0.75]
