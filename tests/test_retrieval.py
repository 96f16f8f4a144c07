"""The rules that hold for every first stage, fusion, and rankings that were made elsewhere."""

import dataclasses
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest
from collection import COLLECTION, ITSELF
from hypothesis import given
from hypothesis import strategies as st

import zelo.retrieval
from zelo.corpora import Collection
from zelo.errors import InputError
from zelo.retrieval import (
    BM25Stage,
    Cache,
    DenseStage,
    FirstStage,
    FunctionStage,
    GivenStage,
    HybridStage,
    Retrieved,
    RunStage,
)
from zelo.retrieval.fusion import fuse
from zelo.retrieval.vectors import Vectors

BLANKS = {"blank-first": "", "blank-last": " \n\t"}
DOCUMENTS = {
    "blank-first": BLANKS["blank-first"],
    **COLLECTION.documents,
    "blank-last": BLANKS["blank-last"],
}
"""The collection's documents, with blank ones around them."""
EVERY = Collection(
    "small",
    DOCUMENTS,
    COLLECTION.queries,
    COLLECTION.qrels,
    given=dict.fromkeys(COLLECTION.queries, tuple(DOCUMENTS)),
)
ALL_QUERIES = list(COLLECTION.queries)


class Letters:
    """Embeds a text as the counts of its letters: no model, but one that tells texts apart."""

    identity: Mapping[str, str] = {"kind": "letters"}

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per query."""
        counts = [[text.lower().count(chr(c)) for c in range(97, 123)] for text in texts]
        return np.array(counts, dtype=np.float32)

    embed_documents = embed_queries


def plain(names: Sequence[str]) -> list[str]:
    """Return the names without a space, which alone can stand in a run file."""
    return [name for name in names if " " not in name]


def write_trec(path: Path, doc_ids: Sequence[str], query_ids: Sequence[str] = ALL_QUERIES) -> Path:
    """Write a run that ranks the same documents, in this order, for every query.

    Ids with spaces are left out: a run file divides its columns by them.
    """
    lines = [
        f"{query_id} Q0 {doc_id} {rank} {-rank} test\n"
        for query_id in plain(query_ids)
        for rank, doc_id in enumerate(plain(doc_ids), start=1)
    ]
    path.write_text("".join(lines), encoding="utf-8")
    return path


STAGES: dict[str, Callable[[Path], FirstStage]] = {
    "bm25": lambda folder: BM25Stage(cache=Cache(folder)),
    "dense": lambda folder: DenseStage(Letters(), cache=Cache(folder)),
    "hybrid": lambda folder: HybridStage(
        [GivenStage(), DenseStage(Letters(), cache=Cache(folder))], depth_factor=100
    ),
    "given": lambda folder: GivenStage(),
    "run": lambda folder: RunStage(write_trec(folder / "run.trec", list(DOCUMENTS)), name="run"),
    "function": lambda folder: FunctionStage("function", lambda query: list(DOCUMENTS)),
}


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> FirstStage:
    """Every first stage in turn."""
    return STAGES[request.param](tmp_path)


def test_a_stage_has_its_name(stage: FirstStage, request: pytest.FixtureRequest) -> None:
    """It is what tables call the stage."""
    assert stage.name == request.node.callspec.params["stage"]


def test_a_query_and_blank_documents_are_never_candidates(stage: FirstStage) -> None:
    """A query that is a document of its own collection is not found, nor is one without text."""
    run = stage.retrieve(EVERY, [ITSELF], 100)
    found = [candidate.doc_id for candidate in run[ITSELF]]
    assert found
    assert not {ITSELF, *BLANKS} & set(found)
    assert len(found) == len(set(found))
    asked = next(query_id for query_id in plain(ALL_QUERIES) if query_id != ITSELF)
    elsewhere = stage.retrieve(EVERY, [asked], 100)[asked]
    if stage.name != "bm25":  # which needs a word in common
        assert ITSELF in [candidate.doc_id for candidate in elsewhere]


def test_what_is_left_out_gives_its_place_to_the_next(stage: FirstStage) -> None:
    """At every depth a run is the beginning of the longest one, and full."""
    every = stage.retrieve(EVERY, [ITSELF], 100)[ITSELF]
    for depth in (1, 2, 5, len(every)):
        found = stage.retrieve(EVERY, [ITSELF], depth)[ITSELF]
        assert len(found) == depth
        assert found == every[:depth]


def test_runs_go_best_first_for_each_query_asked(stage: FirstStage) -> None:
    """Scores do not rise along a ranking, and no other query is answered."""
    asked = plain(ALL_QUERIES)[3:6]
    run = stage.retrieve(EVERY, asked, 7)
    assert list(run) == asked
    for ranking in run.values():
        assert 0 < len(ranking) <= 7
        assert all(isinstance(found, Retrieved) for found in ranking)
        scores = [found.score for found in ranking]
        assert scores == sorted(scores, reverse=True)


def test_queries_may_come_from_an_iterator(stage: FirstStage) -> None:
    """A stage that looks at its queries more than once lists them first."""
    asked = plain(ALL_QUERIES)[3:6]
    assert stage.retrieve(EVERY, iter(asked), 7) == stage.retrieve(EVERY, asked, 7)


def test_no_queries_and_no_depth(stage: FirstStage) -> None:
    """No query gives an empty run; no depth is the caller's mistake."""
    assert stage.retrieve(EVERY, [], 5) == {}
    for depth in (0, -2):
        with pytest.raises(InputError, match=f"depth={depth};"):
            stage.retrieve(EVERY, [ITSELF], depth)


@pytest.mark.parametrize("name", ["bm25", "dense"])
def test_a_collection_without_text_cannot_be_searched(name: str, tmp_path: Path) -> None:
    """There is nothing to index or embed, which the error says."""
    blank = dataclasses.replace(EVERY, documents=BLANKS)
    with pytest.raises(InputError, match="small has no document with any text"):
        STAGES[name](tmp_path).retrieve(blank, [ITSELF], 5)


def test_importing_the_package_is_light() -> None:
    """Neither the package nor the stages that search nothing bring numpy, bm25s or a model."""
    code = (
        "import json, sys, zelo.retrieval\n"
        "from zelo.retrieval import FunctionStage, GivenStage, HybridStage, RunStage\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    heavy = {"numpy", "bm25s", "Stemmer", "torch", "sentence_transformers", "httpx", "scipy"}
    assert not heavy & set(json.loads(done.stdout))


def test_every_name_of_the_package_is_there() -> None:
    """What `__all__` promises can be imported, and nothing else is made up."""
    for name in zelo.retrieval.__all__:
        assert getattr(zelo.retrieval, name).__name__ in (name, "dict")  # Run names a dict
    with pytest.raises(AttributeError, match="has no attribute 'BM26'"):
        _ = zelo.retrieval.BM26  # type: ignore[attr-defined]


IDS = st.sampled_from([f"d{number}" for number in range(12)])
RANKINGS = st.lists(st.lists(IDS, unique=True, max_size=12), min_size=2, max_size=4)
ORDER = {f"d{number}": number for number in range(12)}


@given(RANKINGS, st.sampled_from([0, 1, 60]))
def test_fused_scores_are_sums_of_reciprocal_ranks(rankings: list[list[str]], k: int) -> None:
    """Each document of any ranking stands once, with the sum of 1 / (k + rank), ranks from 1."""
    expected: dict[str, Fraction] = {}
    for ranking in rankings:
        for rank, doc_id in enumerate(ranking, start=1):
            expected[doc_id] = expected.get(doc_id, Fraction(0)) + Fraction(1, k + rank)
    fused = fuse(rankings, ORDER, k)
    assert {found.doc_id: found.score for found in fused} == pytest.approx(
        {doc_id: float(score) for doc_id, score in expected.items()}, rel=1e-15
    )
    assert len(fused) == len(expected)
    assert fused == sorted(fused, key=lambda found: (-found.score, ORDER[found.doc_id]))


@given(RANKINGS, st.sampled_from([0, 60]), st.randoms(use_true_random=False))
def test_the_order_of_the_stages_does_not_matter(
    rankings: list[list[str]], k: int, random: Random
) -> None:
    """Fusing them in another order gives the same documents with the same bits."""
    shuffled = random.sample(rankings, len(rankings))
    assert fuse(shuffled, ORDER, k) == fuse(rankings, ORDER, k)


@given(RANKINGS, st.sampled_from([0, 60]))
def test_who_is_higher_everywhere_is_higher(rankings: list[list[str]], k: int) -> None:
    """A document that every ranking puts above another is above it after fusion."""
    place = {found.doc_id: rank for rank, found in enumerate(fuse(rankings, ORDER, k))}
    ranks = [{doc_id: rank for rank, doc_id in enumerate(ranking)} for ranking in rankings]
    for higher in place:
        for lower in place:
            if all(each.get(higher, 99) < each.get(lower, 100) for each in ranks):
                assert place[higher] < place[lower]


def test_fusion_by_hand() -> None:
    """a has ranks 1 and 3, b has 2 and 1: 1/61 + 1/63 < 1/62 + 1/61; 1 + 1/3 < 1/2 + 1."""
    rankings = [["a", "b", "c"], ["b", "c", "a"]]
    order = {"c": 0, "b": 1, "a": 2}
    assert fuse(rankings, order, 60) == [
        ("b", pytest.approx(1 / 62 + 1 / 61)),
        ("a", pytest.approx(1 / 61 + 1 / 63)),
        ("c", pytest.approx(1 / 63 + 1 / 62)),
    ]
    assert [found.score for found in fuse(rankings, order, 0)] == pytest.approx([1.5, 4 / 3, 5 / 6])
    assert [found.doc_id for found in fuse([["a"], ["b"]], order, 0)] == ["b", "a"]


def ranked(name: str, doc_ids: Sequence[str], asked: list[int]) -> FirstStage:
    """Return a stage with one ranking for all queries, which notes the depths it is asked for."""

    class Noting(FunctionStage):
        def retrieve(self, collection, query_ids, depth, progress=None):  # type: ignore[no-untyped-def]
            asked.append(depth)
            return super().retrieve(collection, query_ids, depth, progress)

    return Noting(name, lambda query: doc_ids)


def test_a_hybrid_looks_deeper_than_it_is_asked_to() -> None:
    """What is third in both lists comes first, although one candidate was asked for."""
    asked: list[int] = []
    one = ranked("one", ["bee-waggle", "bee-round", "bread-salt"], asked)
    other = ranked("other", ["tide-moon", "tide-spring", "bread-salt"], asked)
    found = HybridStage([one, other]).retrieve(COLLECTION, ["q-dance"], 1)
    assert found == {"q-dance": [("bread-salt", pytest.approx(2 / 63))]}
    assert asked == [3, 3]
    found = HybridStage([one, other], k=0, depth_factor=4).retrieve(COLLECTION, ["q-dance"], 1)
    assert found == {"q-dance": [("bee-waggle", 1.0)]}
    assert asked[2:] == [4, 4]


def test_a_hybrid_tells_the_progress_of_each_stage() -> None:
    """One after the other, as each tells it."""
    told: list[tuple[int, int]] = []
    both = [FunctionStage(name, lambda query: ["tide-moon"]) for name in ("one", "other")]
    HybridStage(both).retrieve(
        COLLECTION, ["q-dance", "q-swarm"], 1, lambda *counts: told.append(counts)
    )
    assert told == [(1, 2), (2, 2)] * 2


def test_a_hybrid_of_nothing_is_refused() -> None:
    """It takes two stages, and numbers that make sense."""
    with pytest.raises(InputError, match=r"hybrid of 1 stage\(s\)"):
        HybridStage([GivenStage()])
    with pytest.raises(InputError, match="k=-1"):
        HybridStage([GivenStage(), GivenStage()], k=-1)
    with pytest.raises(InputError, match="depth_factor=0"):
        HybridStage([GivenStage(), GivenStage()], depth_factor=0)


def test_given_candidates_keep_their_order() -> None:
    """Scores are 1 / place; a query without candidates has none, and is not left out."""
    some = dataclasses.replace(COLLECTION, given={"q-dance": ["tide-moon", "bee-round"]})
    run = GivenStage().retrieve(some, ["q-dance", "q-swarm"], 5)
    assert run == {"q-dance": [("tide-moon", 1.0), ("bee-round", 0.5)], "q-swarm": []}


def test_a_collection_without_candidates_has_none_to_give() -> None:
    """The error says what to use instead; candidates that are no documents are told, too."""
    with pytest.raises(InputError, match=r"small came without candidates.*bm25"):
        GivenStage().retrieve(COLLECTION, ["q-dance"], 5)
    wrong = dataclasses.replace(COLLECTION, given={"q-dance": ["bee-round", "bee-rund"]})
    with pytest.raises(InputError, match=r"query 'q-dance' names 1 document.*'bee-rund'"):
        GivenStage().retrieve(wrong, ["q-dance"], 5)


def test_a_run_file_is_read_by_score(tmp_path: Path) -> None:
    """Its order is that of trec_eval; queries of another split count for nothing."""
    path = tmp_path / "small.trec"
    path.write_text(
        "q-dance Q0 tide-moon 1 0.5 x\nq-dance Q0 bee-round 2 7.25 x\nother Q0 unheard 1 3 x\n"
    )
    stage = RunStage(tmp_path / "{collection}.trec")
    run = stage.retrieve(COLLECTION, ["q-dance", "q-swarm"], 5)
    assert run == {"q-dance": [("bee-round", 7.25), ("tide-moon", 0.5)], "q-swarm": []}
    assert stage.name == f"run:{tmp_path}/{{collection}}.trec"


def test_a_run_of_other_documents_is_refused(tmp_path: Path) -> None:
    """The error names the file, the query and the first ids."""
    wrong = [f"wrong-{number}" for number in range(7)]
    path = write_trec(tmp_path / "a.trec", ["tide-moon", *wrong])
    message = rf"{re.escape(str(path))}, query 'q-dance', names 7 document.*'wrong-4', \.\.\.;"
    with pytest.raises(InputError, match=message):
        RunStage(path).retrieve(COLLECTION, ["q-dance"], 1)


def test_a_run_of_other_queries_is_refused(tmp_path: Path) -> None:
    """Both sides' ids are shown: mostly they differ by a prefix."""
    path = write_trec(tmp_path / "a.trec", ["tide-moon"], ["dance"])
    with pytest.raises(InputError, match=r"none of the 2 queries.*'q-dance'.*'dance'"):
        RunStage(path).retrieve(COLLECTION, ["q-dance", "q-swarm"], 5)


def test_a_function_is_asked_with_the_querys_text() -> None:
    """One call per query; of a document named twice, the first place and its score count."""
    asked: list[str] = []

    def find(query: str) -> Iterator[tuple[str, np.float32]]:
        asked.append(query)
        scores = [("bee-round", 0.75), ("bee-waggle", 0.5), ("bee-round", 0.25), ("tide-moon", 0)]
        return ((doc_id, np.float32(score)) for doc_id, score in scores)

    told: list[tuple[int, int]] = []
    run = FunctionStage("mine", find).retrieve(
        COLLECTION, ["q-dance", "q-swarm"], 3, lambda *counts: told.append(counts)
    )
    expected = [("bee-round", 0.75), ("bee-waggle", 0.5), ("tide-moon", 0.0)]
    assert run == {"q-dance": expected, "q-swarm": expected}
    assert asked == [COLLECTION.queries["q-dance"], COLLECTION.queries["q-swarm"]]
    assert told == [(1, 2), (2, 2)]
    assert {type(found.score) for found in run["q-dance"]} == {float}


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (["tide-moon", "tide-mon"], "names 1 document.*'tide-mon'"),
        ([("tide-moon", 0.25), ("tide-mill", 0.5)], "at place 2 that is above the one before"),
        ([("tide-moon", 0.5), "tide-mill"], "something else at place 2"),
        (["tide-mill", ("tide-moon", 0.5)], "something else at place 1"),
        ([("tide-moon", math.nan)], "something else at place 1"),
        ([("tide-moon", "high")], "something else at place 1"),
        ([("tide-moon", None)], "something else at place 1"),
        ([(7, 0.5)], "something else at place 1"),
        ([7], "something else at place 1"),
        ([("tide-moon", 0.5, 1)], "something else at place 1"),
    ],
)
def test_what_is_no_ranking_is_refused(found: list[object], complaint: str) -> None:
    """The error names the stage, the query and the place, and no text."""
    with pytest.raises(InputError, match=f"mine, for query 'q-dance', .*{complaint}") as caught:
        FunctionStage("mine", lambda query: found).retrieve(COLLECTION, ["q-dance"], 5)  # type: ignore[arg-type,return-value]
    assert COLLECTION.queries["q-dance"] not in str(caught.value)


def test_a_functions_own_error_comes_through() -> None:
    """It is the user's code; nothing is made of it."""

    def fail(query: str) -> list[str]:
        raise LookupError("index is closed")

    with pytest.raises(LookupError, match="index is closed"):
        FunctionStage("mine", fail).retrieve(COLLECTION, ["q-dance"], 5)


def test_a_run_that_we_wrote_is_read_back(tmp_path: Path) -> None:
    """White space in ids, which a run file cannot hold, stands there as in a URL."""
    path = tmp_path / "small.trec"
    path.write_text("q-größte%20Flut 0 bread%20no%20knead 1 2.0 x\n", encoding="utf-8")
    run = RunStage(path).retrieve(COLLECTION, ["q-größte Flut"], 10)
    assert [found.doc_id for found in run["q-größte Flut"]] == ["bread no knead"]
