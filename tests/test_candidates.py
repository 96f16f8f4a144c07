"""Candidates: what a first stage found, with its grades, and what the command writes."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from collection import COLLECTION, ITSELF, NOT_BY_WORDS, NOTHING_RELEVANT, write_beir
from experiments import Slice
from typer.testing import CliRunner

from zelo import InputError
from zelo.cli.train_candidates import candidates as command
from zelo.corpora import read_collection
from zelo.retrieval import BM25Stage, Cache
from zelo.training.candidates import candidates
from zelo.training.records import Candidates, read_records, write_records

Command = Callable[..., Any]
HEAD = Slice("head", 0, 12)


@pytest.fixture
def bm25(tmp_path: Path) -> BM25Stage:
    """BM25 with a cache of its own."""
    return BM25Stage(cache=Cache(tmp_path / "cache"))


@pytest.fixture
def find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command in an empty folder that holds the collection."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZELO_CACHE", str(tmp_path / "cache"))
    write_beir(tmp_path)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)

    def run(*arguments: object) -> Any:
        words = ["small", "--out", "candidates.jsonl", *map(str, arguments)]
        return CliRunner().invoke(app, words)

    return run


def ids(record: Candidates) -> list[str]:
    """The documents of one query."""
    return [document.id for document in record.documents]


def test_candidates_are_what_the_first_stage_found(bm25: BM25Stage) -> None:
    """In its order, of all queries, with the collection's texts and the grades that there are."""
    found = {one.query.id: one for one in candidates(COLLECTION, bm25, depth=7)}
    run = bm25.retrieve(COLLECTION, list(COLLECTION.queries), 7)
    assert list(found) == [query_id for query_id in COLLECTION.queries if run[query_id]]
    assert NOTHING_RELEVANT in found
    for query_id, record in found.items():
        assert record.query.query == COLLECTION.queries[query_id]
        assert ids(record) == [one.doc_id for one in run[query_id]]
        for document in record.documents:
            assert document.content == COLLECTION.documents[document.id]
            assert document.score == COLLECTION.qrels[query_id].get(document.id)
    assert any(one.score == 0 for record in found.values() for one in record.documents)


def test_a_query_without_a_candidate_is_left_out() -> None:
    """It has nothing to be judged."""

    class Half(Slice):
        def retrieve(self, collection, query_ids, depth, progress=None):  # type: ignore[no-untyped-def]
            found = super().retrieve(collection, query_ids, depth, progress)
            return {query_id: found[query_id] for query_id in query_ids[::2]}

    found = candidates(COLLECTION, Half("half", 0, 3))
    assert [one.query.id for one in found] == list(COLLECTION.queries)[::2]


def test_a_sample_is_evenly_spaced() -> None:
    """At most so many queries, judged or not."""
    found = candidates(COLLECTION, HEAD, queries=4)
    assert [one.query.id for one in found] == list(COLLECTION.queries)[::3]


def test_more_than_the_depth_is_cut() -> None:
    """Whatever the first stage hands over."""
    assert {len(one.documents) for one in candidates(COLLECTION, HEAD, depth=5)} == {5}


def test_missed_relevant_documents_are_added_behind() -> None:
    """The best grade first; what was found stays as it was, and nothing stands there twice."""
    turned = {q: dict(reversed(judged.items())) for q, judged in COLLECTION.qrels.items()}
    mixed = dataclasses.replace(COLLECTION, qrels=turned)
    plain = {one.query.id: ids(one) for one in candidates(mixed, HEAD)}
    more = {one.query.id: ids(one) for one in candidates(mixed, HEAD, add_relevant=True)}
    assert more["q-winter"] == [*plain["q-winter"], "counter-feeding"]
    assert more["q-spring"] == [
        *plain["q-spring"],
        *("tide-spring", "tide-surge", "tide-neap", "tide-moon"),
    ]
    assert more["q-dance"] == plain["q-dance"]
    for query_id, doc_ids in more.items():
        relevant = {d for d, grade in COLLECTION.qrels[query_id].items() if grade > 0}
        assert relevant <= set(doc_ids)
        assert len(set(doc_ids)) == len(doc_ids)


def test_no_document_is_added_that_may_not_be_a_candidate() -> None:
    """Neither the query itself, nor a blank document, nor one that the collection lacks."""
    texts = dict(COLLECTION.documents) | {"bread-yeast": " "}
    qrels = {query_id: dict(judged) for query_id, judged in COLLECTION.qrels.items()}
    qrels[ITSELF] |= {ITSELF: 2, "gone": 2}
    mended = dataclasses.replace(COLLECTION, documents=texts, qrels=qrels)
    found = {one.query.id: ids(one) for one in candidates(mended, HEAD, add_relevant=True)}
    head = list(COLLECTION.documents)[:12]
    assert found[ITSELF] == [*head, "counter-feeding"]
    assert found[NOT_BY_WORDS] == head


def test_the_file_is_a_collection_with_its_own_candidates(tmp_path: Path, bm25: BM25Stage) -> None:
    """What is written reads as zbench's layout: grades, texts and order are the same."""
    path = tmp_path / "candidates.jsonl"
    records = list(candidates(COLLECTION, bm25, depth=7))
    assert write_records(path, records) == len(records)
    read = read_collection(path).collection
    assert read.given == {one.query.id: ids(one) for one in records}
    for record in records:
        grades = {one.id: one.score for one in record.documents if one.score is not None}
        assert read.qrels[record.query.id] == grades


def test_the_command_writes_candidates(find: Command) -> None:
    """By default those of BM25, of all queries that it finds something for."""
    result = find("--depth", 3)
    assert result.exit_code == 0, result.stderr
    records = list(read_records("candidates.jsonl", Candidates))
    expected = candidates(COLLECTION, BM25Stage(), depth=3)
    assert [(one.query.id, ids(one)) for one in records] == [
        (one.query.id, ids(one)) for one in expected
    ]
    assert f"candidates of {len(records)} queries in candidates.jsonl" in result.stderr


@pytest.fixture
def run_file() -> str:
    """A run that knows three queries, as a first stage."""
    lines = [
        f"{query_id} Q0 tide-bore 1 1.0 mine" for query_id in ("q-dance", "q-mites", "q-stale")
    ]
    Path("mine.trec").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return "run:mine.trec"


def test_the_command_tells_of_queries_without_candidates(find: Command, run_file: str) -> None:
    """A run that knows three queries leaves nine out, which is said."""
    result = find("--first-stage", run_file)
    assert result.exit_code == 0, result.stderr
    assert len(list(read_records("candidates.jsonl", Candidates))) == 3
    assert "9 further queries have none" in result.stderr


def test_the_command_adds_relevant_documents(find: Command, run_file: str) -> None:
    """Queries for which nothing else was found have these alone."""
    result = find("--first-stage", run_file, "--add-relevant")
    assert result.exit_code == 0, result.stderr
    records = {one.query.id: ids(one) for one in read_records("candidates.jsonl", Candidates)}
    assert records["q-mites"] == ["tide-bore", "bee-varroa"]
    assert records["q-swarm"] == ["bee-swarm-catch", "bee-swarm"]
    assert NOTHING_RELEVANT not in records


@pytest.mark.parametrize(
    ("word", "told"), [("bm25+zelo-nano", "names a reranker"), ("bm26", "is no system")]
)
def test_only_a_first_stage_finds_candidates(find: Command, word: str, told: str) -> None:
    """What is none is refused, and nothing is written."""
    result = find("--first-stage", word)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())
    assert not Path("candidates.jsonl").exists()


def test_a_missing_embedding_model_is_told(find: Command) -> None:
    """Dense first stages need one."""
    assert find("--first-stage", "hybrid").exit_code == 2


def test_a_number_without_sense_is_refused() -> None:
    """A sample of no queries."""
    with pytest.raises(InputError, match="0 queries"):
        list(candidates(COLLECTION, HEAD, queries=0))
