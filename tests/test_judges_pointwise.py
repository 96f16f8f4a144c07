"""Judges that score documents, the oracle, and judges as people write them."""

import asyncio
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from collection import COLLECTION
from fakes_serving import http_answer, wire
from hypothesis import given
from hypothesis import strategies as st
from judging_kit import Lengths, files_in

from zelo import InputError, Reranker
from zelo.errors import RemoteAuthError
from zelo.llm import Embeddings
from zelo.retrieval import BM25, EndpointEncoder
from zelo.retrieval.vectors import Vectors
from zelo.training.judges import (
    ChatJudge,
    OracleJudge,
    Pair,
    PointwiseJudge,
    RerankerJudge,
    Side,
)
from zelo.training.judges.bm25 import BM25Judge
from zelo.training.judges.embedding import EmbeddingJudge
from zelo.training.judges.reranker import log_odds
from zelo.training.judges.specs import Making, make_judges, parse_spec
from zelo.training.lookup import CandidateFile

QUERY = COLLECTION.queries["q-dance"]
TEXTS = list(COLLECTION.documents.values())[:8]
SCORES = st.floats(allow_nan=False, allow_infinity=False) | st.just(-math.inf)
GRADES = st.none() | st.integers(-1, 3).map(float)


class Counts:
    """An encoder whose vectors are letter counts. It notes what it embeds."""

    identity = {"letters": "aei"}  # noqa: RUF012 - nobody writes to it

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Count letters."""
        rows = [[text.count(letter) + 1.0 for letter in "aei"] for text in texts]
        return np.array(rows, dtype=np.float32)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Count letters."""
        self.embedded += texts
        return self.embed_queries(texts)


def scores(judge: PointwiseJudge, query: str = QUERY, texts: Sequence[str] = TEXTS) -> list[float]:
    """What a judge gives documents."""
    return [*asyncio.run(judge.score(query, texts)).values]


@pytest.fixture(scope="module")
def nano() -> Iterator[RerankerJudge]:
    """The packaged reranker."""
    judge = RerankerJudge(Reranker("zelo-nano", device="cpu"))
    yield judge
    judge.release()


@given(SCORES, SCORES, st.floats(1e-3, 1e3))
def test_turning_a_pair_around_turns_the_preference(one: float, other: float, scale: float) -> None:
    """P(a over b) is 1 - P(b over a), in [0, 1], on the side of the higher score."""
    judge = Lengths(scale=scale)
    preference = judge.preference(one, other)
    assert 0 <= preference <= 1
    assert preference == pytest.approx(1 - judge.preference(other, one), abs=1e-12)
    assert preference >= 0.5 if one >= other else preference <= 0.5


def test_the_scale_is_the_difference_of_preference_073() -> None:
    """sigmoid(1) = 0.7311 at a difference of one scale; a blank document never wins."""
    judge = Lengths(scale=4.0)
    assert judge.preference(7.0, 3.0) == pytest.approx(0.7310585786)
    assert judge.preference(-math.inf, -1e9) == 0.0
    assert judge.preference(-math.inf, -math.inf) == 0.5


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_without_sense_is_refused(scale: float) -> None:
    """It must be a finite number above 0."""
    with pytest.raises(InputError, match="scale="):
        Lengths(scale=scale)


@given(st.floats(0, 1))
def test_log_odds_invert_the_sigmoid(probability: float) -> None:
    """They are finite even at 0 and 1, odd around a half, and rise with the probability."""
    odds = log_odds(probability)
    assert math.isfinite(odds)
    assert odds == pytest.approx(-log_odds(1 - probability), abs=1e-3 + abs(odds) * 0.2)
    if 1e-9 < probability < 1 - 1e-9:
        assert 1 / (1 + math.exp(-odds)) == pytest.approx(probability)
    assert log_odds(0.0) < log_odds(0.5) == 0 < log_odds(1.0)


def test_a_reranker_judges_by_the_odds_of_its_probabilities(nano: RerankerJudge) -> None:
    """p(1 - q) / (p(1 - q) + q(1 - p)), for every two documents."""
    found = scores(nano)
    with Reranker("zelo-nano", device="cpu") as reranker:
        p, q = reranker.score(QUERY, TEXTS[:2])
    expected = p * (1 - q) / (p * (1 - q) + q * (1 - p))
    assert nano.preference(found[0], found[1]) == pytest.approx(expected, abs=1e-5)
    took = asyncio.run(nano.score(QUERY, TEXTS))
    assert (took.input_tokens > 0, took.requests) == (True, 1)
    assert (nano.name, nano.metered, nano.concurrency) == ("zelo-nano", False, 1)


def test_an_embedding_judge_compares_cosines() -> None:
    """Each document's own, whatever the order and the companions."""
    found = scores(EmbeddingJudge(Counts(), "letters"))
    query = Counts().embed_queries([QUERY])[0]
    for text, value in zip(TEXTS, found, strict=True):
        (vector,) = Counts().embed_queries([text])
        cosine = query @ vector / np.linalg.norm(query) / np.linalg.norm(vector)
        assert value == pytest.approx(float(cosine), abs=1e-6)
    assert scores(EmbeddingJudge(Counts(), "letters"), texts=TEXTS[::-1]) == found[::-1]


def test_a_document_is_embedded_once_for_many_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as its vector is in memory, which holds only so many."""
    encoder = Counts()
    judge = EmbeddingJudge(encoder, "letters")
    first = scores(judge, texts=[*TEXTS, TEXTS[0]])
    assert first[0] == first[-1]
    assert scores(judge, texts=TEXTS[2:5]) == first[2:5]
    assert encoder.embedded == TEXTS
    monkeypatch.setattr("zelo.training.judges.embedding.KEPT_BYTES", 3 * 12)
    assert scores(judge) == first[:-1]
    assert scores(judge, texts=TEXTS[:1]) == first[:1]
    assert encoder.embedded == [*TEXTS, TEXTS[0]]


def test_tokens_of_an_embedding_server_are_told(openai: Any) -> None:
    """What each query took, and nothing where vectors were known."""
    embeddings = Embeddings("any", openai.url)
    judge = EmbeddingJudge(
        EndpointEncoder(embeddings), "there", tokens=lambda: embeddings.input_tokens
    )
    words = len(QUERY.split())
    first = asyncio.run(judge.score(QUERY, TEXTS))
    assert first.input_tokens == words + sum(len(text.split()) for text in TEXTS)
    assert asyncio.run(judge.score(QUERY, TEXTS)).input_tokens == words
    assert judge.metered
    embeddings.close()


def test_a_bm25_judge_scores_as_the_first_stage_does() -> None:
    """Scores are those of the index of all documents, 0 for no common word, equal for equals."""
    corpus = [*COLLECTION.documents.values()]
    judge = BM25Judge([*corpus, *corpus[:3]])
    found = {one.index: one.score for one in BM25(corpus).search(QUERY, len(corpus))}
    assert scores(judge, texts=corpus) == [found.get(i, 0.0) for i in range(len(corpus))]
    assert judge.identity == BM25Judge(corpus[::-1]).identity != BM25Judge(corpus[1:]).identity
    assert judge.identity != BM25Judge(corpus, language=None).identity


@pytest.mark.parametrize("make", [lambda: EmbeddingJudge(Counts(), "e"), lambda: BM25Judge(TEXTS)])
def test_real_judges_turn_with_the_pair(make: Any) -> None:
    """Of every two documents, in both orders."""
    judge = make()
    found = scores(judge)
    for one in found:
        for other in found:
            turned = judge.preference(other, one)
            assert judge.preference(one, other) == pytest.approx(1 - turned, abs=1e-12)


def vote(judge: OracleJudge, first: Side, second: Side) -> float | None:
    """An oracle's preference."""
    return asyncio.run(judge.judge(Pair(first, second))).preference


@given(GRADES, GRADES)
def test_an_oracle_prefers_the_higher_grade(one: float | None, other: float | None) -> None:
    """Unjudged is not relevant; turned around, the vote is turned around."""
    a, b = Side("1", "", "a", "", one), Side("1", "", "b", "", other)
    first, second = max(one or 0, 0), max(other or 0, 0)
    expected = 0.5 if first == second else float(first > second)
    assert vote(OracleJudge(), a, b) == expected == 1 - (vote(OracleJudge(), b, a) or 0)


@pytest.mark.parametrize(("noise", "ties"), [(0.0, 0.0), (0.2, 0.0), (0.2, 0.5), (1.0, 0.0)])
def test_noise_is_as_often_as_was_asked_for(noise: float, ties: float) -> None:
    """Over 4,000 pairs, shares are within four standard errors; the rest of the votes is right."""
    judge, count = OracleJudge(noise=noise, ties=ties, seed=3), 4_000
    votes = [
        vote(judge, Side("1", "", f"a{i}", "", 1.0), Side("1", "", "b", "", 0.0))
        for i in range(count)
    ]
    for value, share in ((0.5, ties), (0.0, noise * (1 - ties)), (1.0, (1 - noise) * (1 - ties))):
        error = 4 * math.sqrt(share * (1 - share) / count)
        assert votes.count(value) / count == pytest.approx(share, abs=error)


def test_a_noisy_vote_depends_on_its_pair_alone() -> None:
    """Neither on what was asked before nor on the process; another seed errs elsewhere."""
    sides = [Side("1", "", f"d{i}", "", float(i)) for i in range(40)]
    pairs = list(itertools.pairwise(sides))
    one, same, other = (OracleJudge(noise=0.5, seed=seed) for seed in (1, 1, 2))
    votes = [vote(one, *pair) for pair in pairs]
    assert [vote(same, *pair) for pair in reversed(pairs)] == votes[::-1]
    assert [vote(other, *pair) for pair in pairs] != votes
    renamed = [vote(one, a._replace(document="x"), b) for a, b in pairs]
    assert renamed == votes


@pytest.mark.parametrize("option", ["noise", "ties"])
@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_a_probability_out_of_range_is_refused(option: str, value: float) -> None:
    """It is named."""
    with pytest.raises(InputError, match=option):
        OracleJudge(**{option: value})  # type: ignore[arg-type]


def test_identities_tell_judges_apart_and_are_json() -> None:
    """Votes of one are never taken for those of another; the scale may change."""
    judges = [OracleJudge(), OracleJudge(noise=0.1), OracleJudge(ties=0.1), OracleJudge(seed=1)]
    judges += [BM25Judge(TEXTS), EmbeddingJudge(Counts(), "e")]
    found = [json.dumps(dict(one.identity), sort_keys=True) for one in judges]
    assert len(set(found)) == len(found) == 6
    assert BM25Judge(TEXTS, scale=9.0).identity == BM25Judge(TEXTS).identity


@pytest.mark.parametrize(
    ("text", "name", "judge"),
    [
        ("oracle", "oracle", "oracle"),
        ("bm25", "bm25", "bm25"),
        ("zelo-nano", "zelo-nano", "zelo-nano"),
        ("./models/mine/", "mine", "./models/mine/"),
        ("zerank-2@http://u:p@gpu:8000/v1", "zerank-2@gpu:8000", "zerank-2@http://u:p@gpu:8000/v1"),
        ("chat:gpt-4.1", "chat:gpt-4.1", "chat:gpt-4.1"),
        ("chat:org/big@https://x/v1", "chat:big@x", "chat:org/big@https://x/v1"),
        ("mini=chat:gpt@https://x/?a=b", "mini", "chat:gpt@https://x/?a=b"),
        ("chat:gpt@https://x/?a=b", "chat:gpt@x", "chat:gpt@https://x/?a=b"),
        ("embedding:./MiniLM/", "embedding:MiniLM", "embedding:./MiniLM/"),
    ],
)
def test_a_judge_is_read(text: str, name: str, judge: str) -> None:
    """Its name is short enough for a table, unless it was given, and holds no password."""
    assert parse_spec(text) == (name, judge)


@pytest.mark.parametrize("text", ["", "chat:", "embedding:", "chat:@http://x", "a=", "zerank-2@"])
def test_what_is_no_judge_is_refused_with_the_forms(text: str) -> None:
    """The message shows what was written, and what may be."""
    with pytest.raises(InputError, match=r"is no judge; write oracle, bm25, chat:"):
        parse_spec(text)


def test_every_kind_of_judge_is_made(tmp_path: Path) -> None:
    """With the options that concern it."""
    files = files_in(tmp_path)
    making = Making(
        CandidateFile(files.candidates), noise=0.1, concurrency=5, scales={"zelo-nano": 0.1}
    )
    url = "http://127.0.0.1:1"
    words = ["oracle", "bm25", f"chat:any@{url}", f"embedding:any@{url}", f"zerank-2@{url}"]
    made = make_judges([parse_spec(word) for word in [*words, "zelo-nano"]], making)
    kinds = [OracleJudge, BM25Judge, ChatJudge, EmbeddingJudge, RerankerJudge, RerankerJudge]
    assert [type(one) for one in made] == kinds
    assert [one.metered for one in made] == [False, False, True, True, True, False]
    assert [one.concurrency for one in made] == [1, 1, 5, 1, 5, 1]
    assert made[0].identity["oracle"]["noise"] == 0.1
    assert [one.scale for one in made if isinstance(one, PointwiseJudge)] == [1.0, 0.05, 1.0, 0.1]
    for one in made:
        one.release()


def test_a_scale_of_no_judge_that_scores_is_refused(tmp_path: Path) -> None:
    """With the names of those that do."""
    making = Making(CandidateFile(files_in(tmp_path).candidates), scales={"oracle": 2.0})
    with pytest.raises(InputError, match=r"a scale of 'oracle', .* these are: bm25"):
        make_judges([parse_spec("oracle"), parse_spec("bm25")], making)


@pytest.mark.parametrize("kind", ["chat:any", "embedding:any"])
def test_a_key_goes_to_its_judge_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openai: Any, kind: str
) -> None:
    """From the variable that is named for it; a second judge on that server has none."""
    monkeypatch.setenv("MINE_KEY", "sk-mine")
    openai.key = "sk-mine"
    openai.chat = lambda asked: "Score: 0.5"
    making = Making(CandidateFile(files_in(tmp_path).candidates), keys={"mine": "MINE_KEY"})
    specs = [parse_spec(f"{name}={kind}@{openai.url}") for name in ("mine", "other")]
    mine, other = make_judges(specs, making)
    asyncio.run(_asked(mine))
    with pytest.raises(RemoteAuthError, match="--key NAME=VARIABLE"):
        asyncio.run(_asked(other))
    assert "sk-mine" not in f"{making!r}{mine!r}{json.dumps(dict(mine.identity))}"
    mine.release()
    other.release()


def test_a_key_goes_to_a_reranker_on_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of the environment's own."""
    monkeypatch.setenv("MINE_KEY", "sk-mine")
    monkeypatch.setenv("ZELO_API_KEY", "sk-own")
    heads: list[bytes] = []

    def refuse(connection: Any, request: bytes) -> None:
        heads.append(request)
        connection.sendall(http_answer(b"{}", "401 Unauthorized"))

    making = Making(CandidateFile(files_in(tmp_path).candidates), keys={"mine": "MINE_KEY"})
    with wire(refuse) as server:
        (judge,) = make_judges([parse_spec(f"mine=zerank-2@{server.url}")], making)
        with pytest.raises(RemoteAuthError):
            asyncio.run(_asked(judge))
        judge.release()
    assert b"Bearer sk-mine" in heads[-1]
    assert not any(b"sk-own" in head for head in heads)


async def _asked(judge: Any) -> None:
    side = Side("q", QUERY, "d", TEXTS[0])
    if isinstance(judge, PointwiseJudge):
        await judge.score(QUERY, TEXTS[:2])
    else:
        await judge.judge(Pair(side, side._replace(doc_id="e", document=TEXTS[1])))


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"oracle": "MINE_KEY"}, "no judge that is on a server; these are: gpu"),
        ({"bm25": "MINE_KEY"}, "no judge that is on a server; these are: gpu"),
        ({"gpu": "NOT_SET_KEY"}, "named for the key of 'gpu' is not set"),
        ({"gpu": "EMPTY_KEY"}, "named for the key of 'gpu' is not set"),
        ({"gpu": "sk-secret"}, "the key itself is not to be written there"),
        ({"gpu=sk-secret": ""}, "the key itself is not to be written there"),
        ({"sk-secret": "MINE_KEY"}, "no judge that is on a server"),
    ],
)
def test_a_key_that_is_not_there_is_refused_and_never_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, str], problem: str
) -> None:
    """Before anything is asked; what stands where a name should may be the key itself."""
    monkeypatch.setenv("MINE_KEY", "sk-mine")
    monkeypatch.setenv("EMPTY_KEY", "")
    monkeypatch.delenv("NOT_SET_KEY", raising=False)
    making = Making(CandidateFile(files_in(tmp_path).candidates), keys=keys)
    specs = [parse_spec(text) for text in ("oracle", "bm25", "gpu=zerank-2@http://127.0.0.1:1")]
    with pytest.raises(InputError, match=problem) as caught:
        make_judges(specs, making)
    assert "sk-" not in str(caught.value)


def test_two_judges_of_one_name_are_refused(tmp_path: Path) -> None:
    """Their votes could not be told apart in the file."""
    making = Making(CandidateFile(files_in(tmp_path).candidates))
    with pytest.raises(InputError, match="two judges are named 'oracle'"):
        make_judges([parse_spec("oracle")] * 2, making)
