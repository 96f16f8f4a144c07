"""A whole run on the tiny collection: what it leaves, what it tells, and what a kill changes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from collection import COLLECTION
from pipeline_kit import KILLED_AT, figures, prepare
from typer.testing import CliRunner

import zelo
from zelo._common.journal import Journal
from zelo.cli.train import train_commands
from zelo.training.pipeline import plan, read_config
from zelo.training.records import Candidates, Pairs, Preferences, read_records

TESTS = Path(__file__).parent


class Whole:
    """A run that nothing disturbed."""

    def __init__(self, folder: Path) -> None:
        self.path = prepare(folder)
        self.work = folder / "work"
        self.result = CliRunner().invoke(train_commands, ["run", str(self.path)])
        self.report = json.loads((self.work / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The run that all tests here look at."""
    return Whole(tmp_path_factory.mktemp("whole"))


def stages_of(report: Any) -> list[str]:
    """Names of the stages that are done."""
    return list(report["stages"])


def test_it_ends_with_a_reranker(whole: Whole) -> None:
    """The refined one, which ranks."""
    assert whole.result.exit_code == 0, whole.result.output
    assert whole.report["reranker"] == "refined/model"
    assert whole.report["to_do"] == []
    with zelo.Reranker(whole.work / "refined" / "model") as reranker:
        assert len(reranker.rank("why do bees dance", ["bees dance", "bread"])) == 2


def test_every_stage_tells(whole: Whole) -> None:
    """In their order, with the figures that the issue asks for."""
    stages = whole.report["stages"]
    assert stages_of(whole.report) == [
        *("candidates", "pairs", "judge", "fit", "across", "judge-across", "calibrate"),
        *("pointwise", "refine", "judge-refined", "merge", "fit-refined", "calibrate-refined"),
        *("pointwise-refined", "evaluate"),
    ]
    assert all(stage["seconds"] >= 0 for stage in stages.values())
    assert stages["pairs"]["diameter_max"] >= 1
    assert stages["fit"]["converged_share"] == 1
    assert stages["calibrate"]["offset_min"] < 0 < stages["calibrate"]["offset_max"]
    assert sum(stages["calibrate"]["targets"]) == stages["candidates"]["documents"]
    assert {"loss", "tau"} <= stages["pointwise"]["before"].keys()
    assert stages["pointwise"]["learned"]["points"]
    assert [one["judges"] for one in stages["judge"]["agreement"]] == [
        ["bm25", "oracle"],
        ["bm25", "zelo-nano"],
        ["oracle", "zelo-nano"],
    ]


def test_judges_are_paid_for_once(whole: Whole) -> None:
    """What each took in all stages is told, as the journal of votes has it."""
    judges = {one["judge"]: one for one in whole.report["judges"]}
    assert list(judges) == ["bm25", "oracle", "zelo-nano"]
    assert judges["zelo-nano"]["input_tokens"] > 0
    pairs = sum(whole.report["stages"][name]["pairs"] for name in ("judge", "judge-across"))
    with Journal(whole.work / "votes.sqlite") as votes:
        assert len(votes) >= pairs  # the oracle has one for each pair


def test_evaluation_compares_before_and_after(whole: Whole) -> None:
    """On the same candidates, with the first stage alone as the baseline."""
    summary = whole.report["stages"]["evaluate"]["summary"]
    assert [one["system"] for one in summary["systems"]] == [
        "bm25",
        "bm25+before",
        "bm25+trained",
        "bm25+refined",
    ]
    assert summary["baseline"] == "bm25"
    (evaluated,) = summary["collections"]
    assert evaluated["queries"] == len(COLLECTION.answerable)


def test_what_is_evaluated_is_not_trained_on(whole: Whole) -> None:
    """The query that both collections share is left out, by its text, and counted."""
    (told,) = whole.report["stages"]["candidates"]["collections"]
    assert told["left_out_as_evaluated"] == 1
    records = list(read_records(whole.work / "candidates.jsonl", Candidates))
    assert 0 < len(records) <= 9
    assert all(one.query.id.startswith("bees/") for one in records)
    assert all(one.query.query.startswith("Please tell me: ") for one in records)


def test_refining_adds_to_the_same_lines(whole: Whole) -> None:
    """One line for each query, with the new pairs behind the others."""
    first = list(read_records(whole.work / "preferences.jsonl", Preferences))
    refined = list(read_records(whole.work / "refined" / "preferences.jsonl", Preferences))
    new = {one.query: one.pairs for one in read_records(whole.work / "refined/pairs.jsonl", Pairs)}
    assert new
    assert [one.query for one in first] == [one.query for one in refined]
    for before, after in zip(first, refined, strict=True):
        assert after.pairs == before.pairs + new.get(before.query, [])


def test_the_report_is_for_people_too(whole: Whole) -> None:
    """As Markdown with tables and charts that are there, and in short on the screen."""
    text = (whole.work / "report.md").read_text(encoding="utf-8")
    for words in ("bm25+refined", "kappa", "converged", "offsets", "held-out loss"):
        assert words in text
    pictures = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if "![" in line]
    assert len(pictures) == 5
    assert all((whole.work / picture).stat().st_size > 1_000 for picture in pictures)
    assert "bm25+refined" in whole.result.stdout
    assert "zelo: pointwise: done in " in whole.result.stderr


def test_a_second_run_does_nothing(whole: Whole) -> None:
    """Every stage is done, and the report stays what it was."""
    before = (whole.work / "report.json").read_bytes()
    assert all(one.done for one in plan(read_config(whole.path)).stages)
    result = CliRunner().invoke(train_commands, ["run", str(whole.path), "--json"])
    assert result.exit_code == 0
    assert result.stderr.count(": done before") == len(stages_of(whole.report))
    assert json.loads(result.stdout) == whole.report
    assert (whole.work / "report.json").read_bytes() == before


def test_tables_say_what_their_words_mean(whole: Whole) -> None:
    """Once below each table that has them; and all that was measured is linked."""
    text = (whole.work / "report.md").read_text(encoding="utf-8")
    for word in ("kappa: Cohen", "diameter: most pairs", "offsets: what is added", "tau: Kendall"):
        assert word in text
    assert "[evaluation/table.md](evaluation/table.md)" in text
    assert (whole.work / "evaluation" / "table.md").is_file()
    assert "**Agreement in judge-across**" in text
    assert ", tau " in whole.result.stdout.replace("\n", " ")


def test_a_reranker_of_other_settings_is_told(whole: Whole, tmp_path: Path) -> None:
    """After a change, the one of the second round is not that of now, until it is trained again."""
    folder = tmp_path / "copy"
    shutil.copytree(whole.path.parent, folder)
    path = folder / "run.toml"
    path.write_text(path.read_text().replace("threshold = 1", "threshold = 2"))
    result = CliRunner().invoke(train_commands, ["run", str(path), "--until", "pointwise"])
    assert result.exit_code == 0, result.output
    told = " ".join(result.stderr.split())
    assert f"reranker in {folder / 'work' / 'model'} " in told
    assert f"{folder / 'work' / 'refined' / 'model'} is older, of other settings" in told
    assert "[refined/model](refined/model/) is older" in (folder / "work/report.md").read_text()
    assert "is older" not in whole.result.stderr


def test_a_killed_run_comes_to_the_same_end(whole: Whole, tmp_path: Path) -> None:
    """Killed in every kind of stage: files, models and figures are those of the other run."""
    path = prepare(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    kit = [sys.executable, str(TESTS / "pipeline_kit.py"), str(path)]
    done = subprocess.run(kit, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(KILLED_AT) == 8
    work = tmp_path / "work"
    kept = [one.relative_to(whole.work) for one in whole.work.rglob("*.jsonl")]
    kept += [one.relative_to(whole.work) for one in whole.work.rglob("model.safetensors")]
    kept = [one for one in kept if one.name != "curve.jsonl"]  # it tells seconds
    assert len(kept) > 12
    for one in kept:
        assert (work / one).read_bytes() == (whole.work / one).read_bytes(), one
    report = json.loads((work / "report.json").read_text(encoding="utf-8"))
    assert figures(report) == figures(whole.report) | {"settings": report["settings"]}
    assert not list(work.rglob("*.partial"))
