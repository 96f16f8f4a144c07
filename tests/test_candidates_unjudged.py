"""Candidates of my queries and my documents: no judgement is needed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from collection import COLLECTION, write_beir
from typer.testing import CliRunner

from zelo import InputError
from zelo.cli.train_candidates import candidates as command
from zelo.corpora import read_collection, read_files
from zelo.corpora.reading import splits_of
from zelo.training.records import Candidates, read_records


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small collection without its judgements, in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZELO_CACHE", str(tmp_path / "cache"))
    folder = write_beir(tmp_path)
    shutil.rmtree(folder / "qrels")
    return folder


def invoke(*words: object) -> Any:
    """Run the command."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    return CliRunner().invoke(app, [*map(str, words), "--out", "out.jsonl"])


def found() -> list[Candidates]:
    """What it wrote."""
    return list(read_records("out.jsonl", Candidates))


def test_a_folder_without_qrels_gives_all_queries(folder: Path) -> None:
    """None of them is judged, but only where that is allowed: evaluation needs judgements."""
    reading = read_collection(folder, unjudged=True)
    assert reading.collection.queries == COLLECTION.queries
    assert reading.collection.qrels == {query_id: {} for query_id in COLLECTION.queries}
    with pytest.raises(InputError, match=r"has no qrels/\*.tsv"):
        read_collection(folder)
    with pytest.raises(InputError, match=r"has no qrels/\*.tsv"):
        read_collection(folder, split="train", unjudged=True)


def test_with_qrels_nothing_changes(folder: Path) -> None:
    """The queries of the split are taken, and the others left out."""
    write_beir(folder.parent)
    assert splits_of(folder) == ["test"]
    assert read_collection(folder, unjudged=True) == read_collection(folder)


def test_empty_queries_are_told(folder: Path) -> None:
    """Also where nothing is judged."""
    lines = [json.dumps({"_id": "blank", "text": " "}), json.dumps({"_id": "q", "text": "bees"})]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match="query 'blank' is empty"):
        read_collection(folder, unjudged=True)
    lenient = read_collection(folder, unjudged=True, lenient=True)
    assert lenient.collection.queries == {"q": "bees"}


def test_command_needs_no_judgements(folder: Path) -> None:
    """Every query has its candidates, none of which has a grade."""
    assert invoke(folder).exit_code == 0
    assert {one.query.id for one in found()} <= COLLECTION.queries.keys()
    assert len(found()) > 8
    assert {document.score for one in found() for document in one.documents} == {None}


def test_command_reads_files_of_my_own(folder: Path) -> None:
    """Documents as CSV and queries as TSV, as people have them."""
    Path("docs.csv").write_text("id,text\n1,bees dance\n2,bread rises\n3,tides turn\n")
    Path("queries.tsv").write_text("q1\twhy do bees dance\nq2\tbread\n")
    files = ("--corpus", "docs.csv", "--questions", "queries.tsv")
    assert invoke(*files).exit_code == 0
    assert {one.query.id: [d.id for d in one.documents] for one in found()} == {
        "q1": ["1"],
        "q2": ["2"],
    }
    Path("qrels.txt").write_text("q1 0 1 2\n")
    assert invoke(*files, "--qrels", "qrels.txt").exit_code == 0
    assert [[d.score for d in one.documents] for one in found()] == [[2.0]]
    assert read_files("x", corpus="docs.csv", queries="queries.tsv", qrels=None).problems == ()


@pytest.mark.parametrize("words", [(), ("small", "--corpus", "docs.csv"), ("--corpus", "docs.csv")])
def test_command_wants_one_collection(folder: Path, words: tuple[str, ...]) -> None:
    """Neither none, nor two, nor half of one."""
    result = invoke(*words)
    assert result.exit_code == 2
    assert "--corpus and --questions" in " ".join(result.output.split())
