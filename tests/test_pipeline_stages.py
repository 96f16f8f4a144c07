"""Stages of a run: done once, done again where something changed, and checked before any work."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_openai import FakeOpenAI
from hypothesis import given, settings
from hypothesis import strategies as st
from judging_kit import comparing
from pipeline_kit import prepare
from tiny import save_causal
from typer.testing import CliRunner

from zelo import InputError
from zelo._common.journal import Journal
from zelo.cli.train import train_commands
from zelo.errors import BudgetError, ModelError
from zelo.training.pipeline import plan, read_config, run
from zelo.training.pipeline.content import Contents
from zelo.training.pipeline.learning import train_again
from zelo.training.pipeline.stage import Ledger, Stage, Tell
from zelo.training.records import (
    Candidates,
    Pairs,
    Preferences,
    Ratings,
    Targets,
    read_records,
)

CHEAP = """
collections = [{ path = "asked", queries = 8 }]
model = "zelo-nano"
judges = ["bm25", "oracle"]
out = "work"
[candidates]
depth = 8
[pairs]
cycles = 2
[evaluate]
collections = ["small"]
"""
LAST = "calibrate"
"""Before anything is trained."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The collections, and a configuration that is cheap up to `LAST`."""
    prepare(tmp_path, CHEAP)
    return tmp_path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, done up to `LAST`, to be copied."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    folder.mkdir()
    prepare(folder, CHEAP)
    assert ran(folder) == EVERY
    return folder


@pytest.fixture
def done(kept: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(kept, tmp_path / "run"))


def ran(folder: Path, text: str = CHEAP, **options: Any) -> list[str]:
    """Run, and return which stages were done now."""
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    done: list[str] = []
    wishes = {"until": LAST} | options
    run(
        read_config(path),
        on_done=lambda name, _, before: None if before else done.append(name),
        **wishes,
    )
    return done


EVERY = ["candidates", "pairs", "judge", "fit", "across", "judge-across", "calibrate"]


def test_what_is_done_stays_done(done: Path) -> None:
    """Nothing is done twice, though the folder lies elsewhere and files were touched."""
    assert ran(done) == []
    for path in (done / "asked").rglob("*.*"):
        os.utime(path, (1, 1))
    assert ran(done) == []


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("[calibrate]\nprior = 0.2", ["calibrate"]),
        ("[fit]\nprior = 0.2", ["fit", "across", "judge-across", "calibrate"]),
        ("[judge]\nnoise = 0.4", ["judge", "fit", "across", "judge-across", "calibrate"]),
        ("[across]\neach = 2", ["across", "judge-across", "calibrate"]),
        ("[across]\nenabled = false", ["calibrate"]),
        ("[judge]\nconcurrency = 2\nprices = { bm25 = '1/hour' }", []),
        ("[pointwise]\nepochs = 2", []),
        ("[refine]\nthreshold = 2", []),
    ],
)
def test_a_change_redoes_what_depends_on_it(done: Path, change: str, again: list[str]) -> None:
    """And leaves the rest; what comes out the same changes nothing behind it."""
    assert ran(done, f"{CHEAP}\n{change}") == again


def test_a_deeper_search_redoes_all(done: Path) -> None:
    """But votes on pairs that stay are in the journal, and not asked for again."""
    assert ran(done, CHEAP.replace("depth = 8", "depth = 9")) == EVERY


def test_a_changed_corpus_is_seen(done: Path) -> None:
    """By its content."""
    corpus = done / "asked" / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("distance", "span"))
    assert ran(done)[0] == "candidates"


def test_an_output_that_is_missing_or_changed_is_made_again(done: Path) -> None:
    """As it was, so that nothing behind it is done again."""
    ratings = done / "work" / "ratings.jsonl"
    before = ratings.read_bytes()
    ratings.unlink()
    assert ran(done) == ["fit"]
    ratings.write_bytes(before[: len(before) // 2])
    assert ran(done) == ["fit"]
    assert ratings.read_bytes() == before


def test_a_stage_is_redone_on_demand(done: Path) -> None:
    """It alone, as its output is the same; a name that there is not is refused."""
    assert ran(done, redo="fit") == ["fit"]
    with pytest.raises(InputError, match="this run has no stage 'distill'; it has candidates, "):
        ran(done, redo="distill")


def test_a_run_goes_on_behind_where_it_ended(folder: Path) -> None:
    """`until` is the last stage; the report tells what is to do."""
    assert ran(folder, until="pairs") == EVERY[:2]
    text = (folder / "work" / "report.md").read_text()
    assert "Not done yet: judge, fit, across" in text
    assert ran(folder) == EVERY[2:]
    assert ran(folder, f"{CHEAP}\n[judge]\nnoise = 0.4", until="judge") == ["judge"]
    text = (folder / "work" / "report.md").read_text()
    assert "Not done yet: fit, across" in text  # what is there comes from other votes


def test_a_plan_is_no_work(folder: Path) -> None:
    """It tells each stage, whether it is done, and how much it is at most."""
    before = plan(read_config(folder / "run.toml"))
    assert not (folder / "work").exists()
    refined = ("refine", "judge-refined", "merge", "fit-refined", "calibrate-refined")
    assert [one.stage for one in before.stages] == [
        *(*EVERY, "pointwise", *refined, "pointwise-refined", "evaluate"),
    ]
    most = {one.stage: one.amount for one in before.stages}
    ran(folder)
    after = plan(read_config(folder / "run.toml"))
    assert [one.stage for one in after.stages if one.done] == EVERY
    for one in after.stages:
        assert all(count <= most[one.stage][what] for what, count in one.amount.items())
    found = {one.stage: one.amount for one in after.stages}
    assert found["judge"]["votes"] == 2 * found["pairs"]["pairs"] > 0
    changed = folder / "run.toml"
    changed.write_text(f"{CHEAP}\n[judge]\nnoise = 0.4")
    assert [one.stage for one in plan(read_config(changed)).stages if one.done] == EVERY[:2]


def test_the_command_shows_the_plan(folder: Path) -> None:
    """As a table, and as JSON."""
    words = ["run", str(folder / "run.toml"), "--plan"]
    result = CliRunner().invoke(train_commands, words)
    assert result.exit_code == 0
    assert "8 queries, 64 documents" in result.stdout
    assert '"stage": "candidates"' in CliRunner().invoke(train_commands, [*words, "--json"]).stdout


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"bm25", "oracle"', '"bm25", "folder/of/none"', "folder/of/none"),
        ('"bm25", "oracle"', '"a=bm25", "a=oracle"', "two judges are named 'a'"),
        ('"bm25", "oracle"', '"chat:m@https://me:secret@host/v1"', "base_url holds a user"),
        ('model = "zelo-nano"', 'model = "no/such/folder"', "no/such/folder"),
        ('"small"', '"nowhere"', "nowhere does not exist"),
        ('["small"]', '["small"]\nmeasures = ["nDCG@ten"]', "nDCG@ten"),
        ('["small"]', '["small"]\nsystems = ["bm52"]', "'bm52' is no system"),
        ('["small"]', '["small"]\nsystems = ["bm25"]', "two systems are named 'bm25'"),
        ('["small"]', '["small", "small"]', "two collections are named 'small'"),
        ('["small"]', '["small"]\n[judge]\nprices = { gpt = "1/hour" }', "a price of 'gpt'"),
        ('["small"]', '["small"]\n[judge]\nprices = { bm25 = "1" }', "'1' is not a price"),
        ('path = "asked"', 'path = "asked", split = "dev"', "has no split 'dev'"),
        ('["small"]', '["asked"]', "every query is evaluated on"),
        ("queries = 8 }", "queries = 8 }, 'asked'", "two collections are named 'asked'"),
        ('model = "zelo-nano"', 'model = "bert"', "BertForSequenceClassification"),
        ('["small"]', '["small"]\n[distill]\nmodel = "bert"', "BertForSequenceClassification"),
        (
            "[pairs]\ncycles = 2\n[evaluate]",
            'first_stage = "dense"\nembedding_model = "a b"\n[evaluate]\nfirst_stage = "bm25"',
            "'a b' is no folder",
        ),
    ],
)
def test_mistakes_are_told_before_any_work(folder: Path, old: str, new: str, problem: str) -> None:
    """What would be refused after hours is refused at once, by a plan too, which leaves nothing."""
    text = CHEAP.replace(old, new)
    assert text != CHEAP
    save_causal(folder / "bert")
    settings = folder / "bert" / "config.json"
    changed = settings.read_text().replace("Qwen3ForCausalLM", "BertForSequenceClassification")
    settings.write_text(changed)
    (folder / "run.toml").write_text(text)
    with pytest.raises((InputError, ModelError)) as planning:
        plan(read_config(folder / "run.toml"))
    assert not (folder / "work").exists()
    with pytest.raises((InputError, ModelError)) as running:
        ran(folder, text, until="candidates")
    assert problem in str(running.value) == str(planning.value)
    assert not list((folder / "work").glob("*.jsonl"))


@pytest.mark.parametrize("table", ["", "[distill]"])
def test_a_model_of_the_hub_is_fetched_before_any_work(folder: Path, table: str) -> None:
    """Or refused, as here, where the hub cannot be reached: what it would learn costs money."""
    text = CHEAP.replace('"zelo-nano"', '"nobody/nothing"') + table
    with pytest.raises(ModelError, match="nobody/nothing"):
        ran(folder, text, until=None)
    assert not list((folder / "work").glob("*.jsonl"))


def test_one_process_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one is refused, and so is one of several that accelerate started."""
    with (
        Journal(folder / "work" / "stages.sqlite"),
        pytest.raises(InputError, match="another process is at work"),
    ):
        ran(folder)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="zelo train run is one process"):
        ran(folder)


def test_a_spent_budget_is_no_loss(folder: Path) -> None:
    """The run stops with what is paid for, and a higher budget asks only for the rest."""
    with FakeOpenAI(chat=comparing).running() as server:
        text = CHEAP.replace('"oracle"', f'"gpt=chat:any@{server.url}/v1"')
        text += "[judge]\nprices = { gpt = '1/Mtok' }\nbudget_tokens = "
        with pytest.raises(BudgetError, match="the budget allows no further question") as caught:
            ran(folder, f"{text}9000\n")
        assert caught.value.__notes__ == [
            f"report so far in {folder / 'work' / 'report.md'}",
            "judge is not done; what was done before it is kept; when the cause is mended, the "
            "same command goes on",
        ]
        assert "Not done yet: judge, fit" in (folder / "work" / "report.md").read_text()
        paid = len(server.asked)
        assert paid > 10
        assert ran(folder, f"{text}9000000\n") == EVERY[2:]
        asked = [json.dumps(body) for body in server.bodies]
        assert len(set(asked)) == len(asked) > paid
    report = json.loads((folder / "work" / "report.json").read_text())
    (told,) = (one for one in report["judges"] if one["judge"] == "gpt")
    assert told["requests"] == len(asked)
    assert told["usd"] == pytest.approx((told["input_tokens"] + told["output_tokens"]) / 1e6)
    dearer = f"{text}9000000\n".replace("1/Mtok", "2/Mtok")
    assert ran(folder, dearer) == []
    report = json.loads((folder / "work" / "report.json").read_text())
    (again,) = (one for one in report["judges"] if one["judge"] == "gpt")
    assert again == told | {"usd": pytest.approx(2 * told["usd"])}


def test_an_interrupted_run_reports(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C leaves a report of what is done, and the command says that it goes on."""

    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr("zelo.training.stages.ratings.rate", interrupted)
        result = CliRunner().invoke(train_commands, ["run", str(folder / "run.toml")])
    assert result.exit_code == 130
    assert "fit is not done; what was done before it is kept, and the same" in result.stderr
    assert "Not done yet: fit, across" in (folder / "work" / "report.md").read_text()
    assert ran(folder) == EVERY[3:]


def test_a_test_split_is_not_trained_on(folder: Path) -> None:
    """Where there is no other one, all other queries are trained on, without judgements."""
    qrels = folder / "asked" / "qrels"
    lines = (qrels / "train.tsv").read_text().splitlines(keepends=True)
    ids = list(dict.fromkeys(line.split("\t")[0] for line in lines[1:]))
    for split, held in (("test", ids[:2]), ("dev", ids[2:3])):
        kept = [line for line in lines[1:] if line.split("\t")[0] in held]
        (qrels / f"{split}.tsv").write_text("".join([lines[0], *kept]))
    (qrels / "train.tsv").unlink()
    text = CHEAP.replace(", queries = 8", "").replace('collections = ["small"]', "")
    path = folder / "run.toml"
    path.write_text(text)
    assert plan(read_config(path)).stages[-1].stage == "evaluate"
    ran(folder, text, until="candidates")
    records = list(read_records(folder / "work" / "candidates.jsonl", Candidates))
    trained = {one.query.id.removeprefix("asked/") for one in records}
    assert trained
    assert not trained & set(ids[:3])
    assert not any(document.score for one in records for document in one.documents)
    report = json.loads((folder / "work" / "report.json").read_text())
    (told,) = report["stages"]["candidates"]["collections"]
    assert told["left_out_as_held_out"] == 3
    with (qrels / "dev.tsv").open("a") as file:
        file.writelines(lines[1:])
    queries = folder / "asked" / "queries.jsonl"
    asked = [one for one in queries.read_text().splitlines() if json.loads(one)["_id"] in ids]
    queries.write_text("\n".join(asked))
    with pytest.raises(InputError, match="every query is judged in the split test or dev"):
        plan(read_config(path))


def test_queries_of_no_split_are_trained_on_on_demand(folder: Path) -> None:
    """Else they are left out; and where the split was not named, the report tells how many."""
    table = folder / "asked" / "qrels" / "train.tsv"
    lines = table.read_text().splitlines(keepends=True)
    owners = [line.split("\t")[0] for line in lines]
    free, held = list(dict.fromkeys(owners))[2:4]
    for split, unwanted in (("train", {free, held}), ("dev", {*owners[1:]} - {held})):
        rows = [line for line, of in zip(lines, owners, strict=True) if of not in unwanted]
        table.with_stem(split).write_text("".join(rows))
    for said, told, trained in (
        ("", True, False),
        (', split = "train"', False, False),
        (", unjudged = true", False, True),
        (', split = "train", unjudged = true', False, True),
    ):
        text = CHEAP.replace(", queries = 8", said)
        shutil.rmtree(folder / "work", ignore_errors=True)
        (folder / "run.toml").write_text(text)
        before = plan(read_config(folder / "run.toml")).stages[0]
        assert before.amount.get("queries of no split left out") == (1 if told else None)
        ran(folder, text, until="candidates")
        report = (folder / "work" / "report.md").read_text()
        assert ("asked: 1 queries were left out" in report) == told
        assert ("unjudged = true" in report.replace("\\", "")) == told
        records = read_records(folder / "work" / "candidates.jsonl", Candidates)
        found = {one.query.id: one for one in records}
        assert (f"asked/{free}" in found) == trained
        assert f"asked/{held}" not in found
        if trained:
            assert {one.score for one in found[f"asked/{free}"].documents} == {None}
    with table.with_stem("dev").open("a") as file:  # now it is held out, which must be seen
        file.writelines(line for line, of in zip(lines, owners, strict=True) if of == free)
    assert ran(folder, text, until="candidates") == ["candidates"]
    records = read_records(folder / "work" / "candidates.jsonl", Candidates)
    assert f"asked/{free}" not in {one.query.id for one in records}


def test_collections_give_queries_by_weight(folder: Path) -> None:
    """Their ids are told apart, and the counts are in the proportion of the weights."""
    shutil.copytree(folder / "asked", folder / "more")
    collections = '[{ path = "asked" }, { path = "more", name = "rest", weight = 2 }]'
    text = CHEAP.replace('[{ path = "asked", queries = 8 }]', collections)
    ran(folder, text.replace("depth = 8", "depth = 8\nqueries = 9"), until="candidates")
    found = read_records(folder / "work" / "candidates.jsonl", Candidates)
    names = [one.query.id.partition("/")[0] for one in found]
    assert names.count("asked") <= 3
    assert 4 <= names.count("rest") <= 6


def test_no_judgement_is_needed(folder: Path) -> None:
    """My queries and my documents: targets then come from the ratings alone."""
    shutil.rmtree(folder / "asked" / "qrels")
    text = CHEAP.replace('["bm25", "oracle"]', '["bm25"]').replace('["small"]', "[]")
    ran(folder, text)
    found = list(read_records(folder / "work" / "targets.jsonl", Targets))
    assert len(found) > 4
    assert '"curve": "quantiles"' in (folder / "work" / "report.json").read_text()


def test_queries_that_fall_apart_are_left_out_on_demand(folder: Path) -> None:
    """By default they stop the run, with their names; left out, they have no targets."""
    text = CHEAP.replace("cycles = 2", 'cycles = 1\nmethod = "random"')
    with pytest.raises(InputError, match="fall apart into"):
        ran(folder, text)
    ran(folder, f"{text}\n[fit]\nskip_disconnected = true")
    work = folder / "work"
    judged = {one.query for one in read_records(work / "preferences.jsonl", Preferences)}
    rated = {one.query for one in read_records(work / "ratings.jsonl", Ratings)}
    assert rated < judged
    assert {one.query for one in read_records(work / "targets.jsonl", Targets)} == rated


def test_distilling_lets_a_pairwise_model_judge(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns from the pairs that the ensemble judged, and judges all, within and across.

    If its ratings cannot be calibrated, the error says how it stands to its teachers.
    """
    table = "[distill]\npairs_per_query = 3\nkeep_zeros = true\nheld_out = 0.5\n"
    text = CHEAP.replace('["small"]', "[]") + table + '[calibrate]\ncurve = "quantiles"'

    def refused(*args: Any, **options: Any) -> None:
        raise InputError("not rated higher")

    with monkeypatch.context() as during:
        during.setattr("zelo.training.stages.targets.calibrate", refused)
        with pytest.raises(InputError, match="not rated higher") as caught:
            ran(folder, text)
    assert ran(folder, text) == ["calibrate"]
    work = folder / "work"
    pairs = {one.query: one.pairs for one in read_records(work / "pairs.jsonl", Pairs)}
    taught = {one.query: one for one in read_records(work / "preferences.jsonl", Preferences)}
    assert {query: one.pairs for query, one in taught.items()} == {
        query: every[:3] for query, every in pairs.items()
    }
    for name in ("preferences-distilled", "preferences-across"):
        records = list(read_records(work / f"{name}.jsonl", Preferences))
        assert all(list(one.votes) == ["distilled"] for one in records)
    assert ran(folder, text) == []
    text = (work / "report.md").read_text()
    assert "| teacher | held-out pairs | its accuracy | the student's |" in text
    report = json.loads((work / "report.json").read_text())
    order = [*EVERY[:3], "distill", "judge-distilled", *EVERY[3:]]
    assert [*report["stages"]] == order
    beats = report["stages"]["distill"]["standings"]["beats_weakest"]
    assert ("- The pairwise model of distill, " in text) == (beats is not True)
    told = [one for one in caught.value.__notes__ if one.startswith("The pairwise model of")]
    assert bool(told) == (beats is not True)


def test_distilling_takes_the_device_of_the_run(folder: Path) -> None:
    """One that is not there is told when the pairwise model is to be trained, not later."""
    text = CHEAP.replace('out = "work"', 'out = "work"\ndevice = "cuda:99"') + "[distill]\n"
    with pytest.raises(InputError, match="cuda:99"):
        ran(folder, text, until="distill")


def test_a_plain_model_has_nothing_before(folder: Path) -> None:
    """Qwen3 itself is no reranker: it is trained, and compared with the first stage alone."""
    save_causal(folder / "plain")
    text = CHEAP.replace('"zelo-nano"', '"plain"').replace("queries = 8", "queries = 3")
    text = text.replace('["small"]', '[{ path = "small", queries = 2 }]\nmeasures = ["nDCG@10"]')
    done = ran(folder, f"{text}\n[refine]\nenabled = false", until=None)
    assert done == [*EVERY, "pointwise", "evaluate"]
    report = json.loads((folder / "work" / "report.json").read_text())
    assert report["reranker"] == "model"
    systems = report["stages"]["evaluate"]["summary"]["systems"]
    assert [one["system"] for one in systems] == ["bm25", "bm25+trained"]
    assert "nothing before to compare with" in (folder / "work" / "report.md").read_text()


def silent(what: str) -> Callable[[int, int], None]:
    """Tell nobody."""
    return lambda done, total: None


class Toy:
    """Four stages in a row. Each writes what it read and its setting, modulo 3."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.folder = folder
        self.ledger = Ledger(journal, folder)
        self.done: list[int] = []
        (folder / "out0").write_text("0")

    def stages(self, values: tuple[int, ...]) -> Iterator[Stage]:
        """The stages, with their settings."""
        for number, value in enumerate(values, start=1):
            source, out = self.folder / f"out{number - 1}", self.folder / f"out{number}"
            yield Stage(
                str(number),
                {"value": value},
                {"source": source},
                (out,),
                partial(self._work, number, value, source, out),
            )

    def run(self, values: tuple[int, ...]) -> None:
        """Carry out what is not done."""
        for stage in self.stages(values):
            if self.ledger.done(stage) is None:
                self.ledger.carry_out(stage, silent)

    def _work(self, number: int, value: int, source: Path, out: Path, tell: Tell) -> dict[str, Any]:
        self.done.append(number)
        out.write_text(str((int(source.read_text()) + value) % 3))
        return {}


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 4), min_size=1, max_size=6))
@settings(max_examples=30)
def test_a_ledger_does_what_changed_and_no_more(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[int, ...]]
) -> None:
    """Outputs are those of a fresh run, and only stages with other inputs or settings worked."""
    folder = tmp_path_factory.mktemp("toy")
    with Journal(folder / "stages") as journal:
        toy = Toy(folder, journal)
        known: dict[int, tuple[int, int]] = {}
        for values in runs:
            toy.done.clear()
            toy.run(values)
            wanted, at = [], 0
            for number, value in enumerate(values, start=1):
                if known.get(number) != (at, value):
                    wanted.append(number)
                known[number] = (at, value)
                at = (at + value) % 3
                assert (folder / f"out{number}").read_text() == str(at)
            assert toy.done == wanted


def test_a_stage_goes_on_in_its_own_remains_only(tmp_path: Path) -> None:
    """What a killed stage left in its folder stays for it, and is removed for another setting."""
    found: list[list[str]] = []
    out = tmp_path / "out"

    def work(tell: Tell) -> dict[str, Any]:
        found.append(sorted(path.name for path in out.glob("*")))
        out.mkdir(exist_ok=True)
        (out / f"part{len(found)}").touch()
        if len(found) != 4:
            raise KeyboardInterrupt
        return {}

    with Journal(tmp_path / "stages") as journal:
        ledger = Ledger(journal, tmp_path)
        for value in (1, 1, 2, 2):
            stage = Stage("one", {"value": value}, {}, (out,), work)
            try:
                ledger.carry_out(stage, silent)
            except KeyboardInterrupt:
                assert ledger.done(stage) is None
        assert found == [[], ["part1"], [], ["part3"]]
        assert ledger.done(stage) is not None


def test_work_that_is_done_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill while the outputs' digests are read, which takes a while, costs only these."""
    out, worked = tmp_path / "out", []

    def work(tell: Tell) -> dict[str, Any]:
        worked.append(1)
        out.write_text("result")
        return {"worked": len(worked)}

    def killed(contents: Contents, path: Path) -> str:
        raise KeyboardInterrupt

    stage = Stage("one", {}, {}, (out,), work)
    with Journal(tmp_path / "stages") as journal:
        ledger = Ledger(journal, tmp_path)
        with monkeypatch.context() as during:
            during.setattr(Contents, "of", killed)
            with pytest.raises(KeyboardInterrupt):
                ledger.carry_out(stage, silent)
        assert ledger.done(stage) is None
        assert ledger.carry_out(stage, silent).figures == {"worked": 1}
        out.unlink()
        assert ledger.done(stage) is None
        assert ledger.carry_out(stage, silent).figures == {"worked": 2}


@pytest.mark.parametrize("same", [True, False])
def test_the_same_targets_give_the_same_model(tmp_path: Path, same: bool) -> None:
    """It is copied, whole even if a copy was stopped before; other targets are learned."""
    before, targets = tmp_path / "before", tmp_path / "targets"
    before.write_text("a")
    targets.write_text("a" if same else "b")
    trained, out = tmp_path / "trained", tmp_path / "out"
    for folder in (trained, out):
        folder.mkdir()
        (folder / folder.name).write_text("model")
    figures = train_again(
        lambda tell: {"learned": {}},
        silent,
        targets=targets,
        before=before,
        trained=trained,
        out=out,
    )
    assert figures == ({"same_targets": True} if same else {"learned": {}})
    assert [path.name for path in out.iterdir()] == (["trained"] if same else ["out"])


def test_help_is_light() -> None:
    """The command's help loads no model code."""
    heavy = "{'torch', 'numpy', 'transformers', 'pydantic'} & set(sys.modules)"
    code = f"import sys, zelo.cli; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
