"""`zelo train distill` as a shell user meets it: figures, JSON, refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from pairwise_kit import beginner, planted
from typer.testing import CliRunner

from zelo import UnsupportedModelError
from zelo.cli.train_distill import distill as command
from zelo.training.judges.pairwise import PairwiseModelJudge
from zelo.training.records import Preferences, read_records, write_records

Distil = Callable[..., Any]
FAST = (
    *("--precision", "float32", "--learning-rate", "3e-3", "--tokens-per-step", "300"),
    *("--checkpoint-every", "99", "--device", "cpu"),
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Distil:
    """Run the command on planted preferences, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    planted(Path(), queries=10, documents=4)
    beginner(Path("model"))
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)

    def run(*arguments: object, **options: Any) -> Any:
        words = ["preferences.jsonl", "--candidates", "candidates.jsonl", "--out", "out", *FAST]
        options = {"env": {"COLUMNS": "120", "TERM": "dumb"}, **options}
        every = [*words, "-m", "model", *map(str, arguments)]
        return CliRunner().invoke(app, every, **options)

    return run


def test_figures_for_people(run: Distil) -> None:
    """How every teacher does, the student beside it, and whether it beats the weakest."""
    result = run()
    assert result.exit_code == 0, result.stderr
    assert "36 pairs of 6 queries, in both orders" in result.stdout
    for word in ("student", "sober", "tired", "drunk", "ensemble", "lead"):
        assert word in result.stdout
    assert "its weakest teacher, " in result.stdout
    assert "as a judge it is pairwise:out" in result.stderr
    assert PairwiseModelJudge("out").name == "out"


def test_at_80_columns_nothing_is_cut(run: Distil) -> None:
    """Both tables fit, with every figure, whatever a judge is called."""
    long = "a-judge-of-a-name-that-is-longer-than-any-terminal-wants-to-show-on-one-line-of-it"
    lines = [*read_records("preferences.jsonl", Preferences)]
    renamed = [
        one.model_copy(update={"votes": {**one.votes, long: one.votes["sober"]}}) for one in lines
    ]
    write_records("preferences.jsonl", renamed)
    shown = run("--seed", 3, env={"COLUMNS": "80", "TERM": "dumb"}).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert not {"…", "..."} & {*shown.split(), *shown}
    told = json.loads(run("--json", "--seed", 3, "--out", "again").stdout)
    for one in told["teachers"]:
        lead = one["lead"]
        for figure in (one["others"]["accuracy"], one["ensemble"]["cross_entropy"]):
            assert f"{figure:.3f}" in shown
        assert f"{lead['low']:+.3f} {lead['high']:+.3f}" in shown
    assert f"{told['held_out_loss']:.4f} with those of step" in " ".join(shown.split())


def test_training_that_makes_it_no_better_is_told(run: Distil) -> None:
    """The weights are then the untrained ones, which nobody would guess from a table."""
    said = "these are the untrained weights"
    worse = run("--learning-rate", 30, "--warmup", 0)
    assert worse.exit_code == 0, worse.stderr
    assert said in " ".join(worse.stdout.split())
    assert said not in run("--out", "better").stdout


def test_figures_for_programs(run: Distil) -> None:
    """One object with all of them; pairs that nobody judged are counted."""
    lines = [*read_records("preferences.jsonl", Preferences)]
    nothing = {"preferences": [None] * 6, "votes": {name: [None] * 6 for name in lines[0].votes}}
    write_records("preferences.jsonl", [lines[0].model_copy(update=nothing), *lines[1:]])
    result = run("--json", "--max-document-tokens", 1)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["queries"], found["held_out_queries"]) == (5, 4)
    assert (found["pairs"], found["chosen_by"], found["tried_on"]) == (30, 12, 12)
    assert (found["without_preference"], found["between"]) == (6, 0)
    assert 0 < found["truncated"] <= 30
    assert [one["teacher"] for one in found["teachers"]] == ["sober", "tired", "drunk"]
    lowest = min(found["teachers"], key=lambda one: one["others"]["accuracy"])
    assert found["weakest"] == lowest["teacher"]
    assert found["beats_weakest"] == (lowest["lead"]["low"] > 0)


def test_without_held_out_queries_there_are_no_standings(run: Distil) -> None:
    """Nothing is said of teachers then."""
    result = run("--json", "--held-out", 0)
    found = json.loads(result.stdout)
    assert (found["queries"], found["pairs"], found["tried_on"]) == (10, 60, 0)
    assert found["held_out_loss"] is None
    assert "student" not in found
    assert "teacher" not in run("--held-out", 0).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--epochs", 0), "epochs=0"),
        (("--lora-rank", 2, "--keep-zeros"), "keep_zeros cannot be used with lora_rank"),
        (("--max-document-tokens", 0), "--max-document-tokens"),
        (("--precision", "fp16"), "'fp16' is not one of"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    run: Distil, options: tuple[object, ...], message: str
) -> None:
    """Before anything is read."""
    result = run(*options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert not Path("out").exists()


def test_a_pairwise_model_is_no_start(run: Distil) -> None:
    """It has learned another prompt's half; the base model is to be named."""
    assert run("--held-out", 0).exit_code == 0
    with pytest.raises(UnsupportedModelError, match="pairwise model"):
        run("-m", "out", "--out", "other", catch_exceptions=False)


def test_one_process_speaks_for_all(run: Distil, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several cards' processes the first tells the figures, the others are silent."""
    monkeypatch.setenv("RANK", "1")
    done = run()
    assert done.exit_code == 0, done.output
    assert done.output == ""
    assert Path("out/config.json").exists()
