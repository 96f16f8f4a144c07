"""`zelo evaluate` as a shell user meets it: tables, files, going on after a stop, refusals."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from collection import COLLECTION, write_beir
from typer.testing import CliRunner

from zelo import Reranker
from zelo.cli import app
from zelo.cli.evaluate import DEFAULT_MEASURES
from zelo.corpora import read_run
from zelo.evaluation.measures import ndcg
from zelo.evaluation.summary import MEASURES

Evaluate = Callable[..., Any]
QUERIES = len(COLLECTION.answerable)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hand-written collection as a BEIR folder; tests must not change it."""
    return write_beir(tmp_path_factory.mktemp("beir"))


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Run the command in an empty folder, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZELO_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object, columns: int = 100) -> Any:
        environment = {"COLUMNS": str(columns), "TERM": "dumb"}
        return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env=environment)

    return run


def figures(result: Any) -> dict[str, Any]:
    """Read the JSON that the command wrote."""
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_the_main_job_needs_a_collection_alone(evaluate: Evaluate, small: Path) -> None:
    """BM25, the packaged model behind it, and both ends of the scale are compared."""
    result = evaluate(small)
    assert result.exit_code == 0, result.stderr
    for word in ("small", "zelo-nano", "+random", "+oracle", "R@100", "ECE", "documents/s"):
        assert word in result.stdout
    folder = Path("zelo-evaluation")
    assert (folder / "table.md").read_text(encoding="utf-8").count("| small |") >= 1
    assert {path.suffix for path in (folder / "charts").iterdir()} == {".png", ".svg"}
    with (folder / "table.csv").open(encoding="utf-8", newline="") as lines:
        systems = {row["system"] for row in csv.DictReader(lines)}
    assert systems == {"bm25", "bm25+zelo-nano", "bm25+random", "bm25+oracle"}


def test_figures_are_those_of_the_rankings(evaluate: Evaluate, small: Path) -> None:
    """What the JSON says of a system is what its run file gives, and that is the reranker's."""
    found = figures(evaluate(small, "-s", "bm25", "-s", "bm25+zelo-nano", "--json"))
    run = read_run("zelo-evaluation/runs/small.bm25_zelo-nano.trec")
    order = {unquote(q): [unquote(doc_id) for doc_id, _ in found] for q, found in run.items()}
    values = [
        ndcg(order.get(query_id, []), COLLECTION.qrels[query_id], 10)
        for query_id in COLLECTION.answerable
    ]
    (cell,) = [
        cell
        for cell in found["cells"]
        if (cell["system"], cell["measure"]) == ("bm25+zelo-nano", "nDCG@10")
    ]
    assert cell["mean"] == pytest.approx(sum(values) / QUERIES, abs=1e-9)
    lines = Path("zelo-evaluation/queries/small.bm25_zelo-nano.jsonl").read_text("utf-8")
    record = json.loads(lines.splitlines()[0])
    with Reranker("zelo-nano") as reranker:
        best = record["documents"][0]
        (score,) = reranker.score(record["query"], [COLLECTION.documents[best["doc_id"]]])
    assert best["probability"] == pytest.approx(score, abs=1e-4)


def test_a_stopped_run_goes_on_and_a_finished_one_asks_nothing(
    evaluate: Evaluate, small: Path, tmp_path: Path
) -> None:
    """Killed without warning and started again, it gives the figures of an undisturbed run."""
    arguments = [str(small), "-s", "bm25+zelo-nano", "--json"]
    child = subprocess.Popen(
        [sys.executable, "-m", "zelo", "evaluate", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"ZELO_CACHE": str(tmp_path / "cache")},
    )
    journal = tmp_path / "zelo-evaluation" / "journal.sqlite-wal"
    while child.poll() is None and not (journal.exists() and journal.stat().st_size > 40_000):
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    resumed = figures(evaluate(*arguments))
    again = figures(evaluate(*arguments))
    undisturbed = figures(evaluate(*arguments, "--out", "other"))
    assert resumed == again
    for found in (resumed, undisturbed):
        assert found.pop("costs")
    assert resumed == undisturbed


def test_files_of_their_own_make_a_collection(evaluate: Evaluate, tmp_path: Path) -> None:
    """A table of documents, one of queries, and TREC qrels."""
    (tmp_path / "docs.csv").write_text("id,text\na,cold river water\nb,stone bridge\n")
    (tmp_path / "asked.tsv").write_text("q1\triver water\nq2\tbridge\n")
    (tmp_path / "judged.txt").write_text("q1 0 a 1\nq2 0 b 2\n")
    files = ("--corpus", "docs.csv", "--questions", "asked.tsv", "--qrels", "judged.txt")
    found = figures(evaluate(*files, "-s", "bm25", "--json"))
    assert [cell["mean"] for cell in found["cells"] if cell["measure"] == "nDCG@10"] == [1.0]


def test_a_ready_run_is_a_first_stage(evaluate: Evaluate, small: Path, tmp_path: Path) -> None:
    """What another engine found is measured and reranked, and another measure can come first."""
    run = "".join(
        f"q-stale 0 {doc_id} {rank} {-rank} x\n"
        for rank, doc_id in enumerate(("bee-queen", "bread-stale", "tide-moon"), start=1)
    )
    (tmp_path / "small.other.trec").write_text(run)
    word = "run:{collection}.other.trec"
    result = evaluate(small, "-s", word, "-s", f"{word}+oracle", "--measures", "RR", "--json")
    means = {cell["system"]: cell["mean"] for cell in figures(result)["cells"]}
    assert means == pytest.approx({"other": 0.5 / QUERIES, "other+oracle": 1 / QUERIES})


def test_compare_shows_the_queries_that_changed(evaluate: Evaluate, small: Path) -> None:
    """By their texts, with the documents that moved."""
    evaluate(small, "-s", "bm25+random", "-s", "bm25+oracle")
    files = [f"zelo-evaluation/queries/small.bm25_{name}.jsonl" for name in ("random", "oracle")]
    result = evaluate("compare", *files, "--top-n", "2")
    assert result.exit_code == 0, result.stderr
    changed = figures(evaluate("compare", *files, "--json"))
    assert changed["wins"] + changed["ties"] == QUERIES
    assert any(text in result.stdout for text in COLLECTION.queries.values())


def test_robustness_is_one_command(evaluate: Evaluate, small: Path) -> None:
    """Attacks with and without defences, and passages inside long documents."""
    result = evaluate("robustness", small, "--queries", "2", "--depth", "8", "--lengths", "500")
    assert result.exit_code == 0, result.stderr
    for word in ("flattery", "one string", "at 0%", "at 100%", "chunk"):
        assert word in result.stdout


def test_problems_of_a_collection_are_named(evaluate: Evaluate, tmp_path: Path) -> None:
    """They stop the run by file and line; --lenient goes on and names them all the same."""
    broken = write_beir(tmp_path / "broken")
    with (broken / "qrels" / "test.tsv").open("a", encoding="utf-8") as qrels:
        qrels.write("q-stale\tno-such-document\t1\n")
    line = len((broken / "qrels" / "test.tsv").read_text("utf-8").splitlines())
    strict = evaluate(broken, "-s", "bm25")
    lenient = evaluate(broken, "-s", "bm25", "--lenient")
    assert (strict.exit_code, lenient.exit_code) == (1, 0), lenient.stderr
    for told in (strict.stderr, lenient.stderr):
        assert f"test.tsv, line {line}" in told
        assert "no-such-document" in told


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-s", "bm26"], 2, "'bm26' is no system"),
        (["-s", "dense"], 2, "--embedding-model"),
        (["-s", "bm25", "--price", "bm25"], 2, "RERANKER=PRICE"),
        (["-s", "bm25", "--price", "x=1/hour"], 2, "no such reranker"),
        (["-s", "bm25", "--baseline", "bm52"], 2, "bm52"),
        (["-s", "bm25", "--measures", "nDCG@ten"], 2, "nDCG@ten"),
        (["--corpus", "docs.jsonl"], 1, "give all three"),
    ],
)
def test_wrong_options_are_refused(
    evaluate: Evaluate, small: Path, arguments: list[str], code: int, message: str
) -> None:
    """In one line that says what was wrong; nothing is written in place of an answer."""
    result = evaluate(small, *arguments)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert not Path("zelo-evaluation").exists()


def test_a_failure_names_the_query_it_happened_at(evaluate: Evaluate, tmp_path: Path) -> None:
    """So that it can be looked at; what was done before is kept."""
    (tmp_path / "docs.tsv").write_text("a\tcold river water\n")
    (tmp_path / "asked.tsv").write_text(f"q1\triver\nq2\t{'river ' * 40_000}\n")
    (tmp_path / "judged.txt").write_text("q1 0 a 1\nq2 0 a 1\n")
    files = ("--corpus", "docs.tsv", "--questions", "asked.tsv", "--qrels", "judged.txt")
    result = evaluate(*files, "-s", "bm25+zelo-nano")
    assert result.exit_code == 1
    assert "docs, query 'q2', reranker zelo-nano" in result.stderr


def test_a_folder_that_is_not_there_is_named(evaluate: Evaluate) -> None:
    """A mistyped subcommand is such a folder, so the message shows both readings."""
    result = evaluate("compair")
    assert result.exit_code == 1
    assert "compair does not exist" in result.stderr


def test_default_measures_are_those_of_the_library() -> None:
    """The command line spells them out, so that its help comes without loading anything."""
    assert tuple(DEFAULT_MEASURES.split(",")) == MEASURES


def test_help_of_the_group_is_that_of_its_main_job(evaluate: Evaluate) -> None:
    """With the other commands named at its end."""
    result = evaluate("--help")
    assert result.exit_code == 0
    for word in ("--system", "--queries", "evaluate compare --help", "evaluate robustness --help"):
        assert word in result.stdout
