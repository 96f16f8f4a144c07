"""`zelo train pointwise`: options reach the training, figures reach the reader."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from learning_kit import queries
from typer.main import get_command
from typer.testing import CliRunner

from zelo import Reranker
from zelo.cli import app
from zelo.cli.train import train_commands
from zelo.training.learning import Learning


@pytest.fixture
def arguments(tmp_path: Path, tiny_model: Path) -> list[str]:
    """A command that trains the tiny model on six queries."""
    targets, candidates = tmp_path / "targets.jsonl", tmp_path / "candidates.jsonl"
    with targets.open("w") as wanted, candidates.open("w") as texts:
        for number, (query, documents) in enumerate(queries(6)):
            query_id = f"q{number}"
            values = {f"d{place}": place / 4 for place in range(len(documents))}
            found = [{"id": f"d{place}", "content": text} for place, text in enumerate(documents)]
            record = {"query": {"id": query_id, "query": query}, "documents": found}
            wanted.write(json.dumps({"query": query_id, "targets": values}) + "\n")
            texts.write(json.dumps(record) + "\n")
    files = [str(targets), "--candidates", str(candidates), "--out", str(tmp_path / "model")]
    settings = "--precision float32 --device cpu --tokens-per-step 100 --learning-rate 1e-3"
    return ["train", "pointwise", *files, "--model", str(tiny_model), *settings.split()]


def test_the_command_trains_a_reranker(arguments: list[str], tmp_path: Path) -> None:
    """Its figures are JSON with --json, and every option is taken."""
    more = "--json --epochs 2 --held-out 0.2 --documents-per-query 3 --max-document-tokens 9"
    more += " --lora-rank 2 --lora-alpha 3 --seed 4 --warmup 0.2 --gradient-checkpointing"
    done = CliRunner().invoke(app, [*arguments, *more.split()])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["queries"] + found["held_out_queries"] == 6
    assert found["documents"] == 2 * 3 * found["queries"]
    assert 0 < found["held_out_loss_after"] <= found["held_out_loss_before"]
    assert -1 <= found["kendall_tau_after"] <= 1
    assert "a reranker in" in done.stderr
    card = (tmp_path / "model" / "README.md").read_text()
    options = {"lora_rank": 2, "lora_alpha": 3.0, "seed": 4, "warmup": 0.2, "epochs": 2.0}
    for name, value in options.items():
        assert f"| {name} | {value} |" in card
    with Reranker(tmp_path / "model", device="cpu") as reranker:
        assert len(reranker.rank("river", ["stone", "bridge"])) == 2


def test_without_json_there_is_a_table(arguments: list[str]) -> None:
    """With a dash for what nothing was held out for."""
    done = CliRunner().invoke(app, [*arguments, "--held-out", "0"])
    assert done.exit_code == 0, done.output
    rows = dict(line.split("  ", 1) for line in map(str.strip, done.stdout.splitlines()))
    assert rows["queries"].strip() == "6"
    assert rows["kendall tau after"].strip() == "-"


def test_training_that_makes_it_no_better_is_told(arguments: list[str]) -> None:
    """The weights are then the untrained ones; where it is better, nothing is said of it."""
    said = "training made it no better; these are the untrained weights"
    usual = [*arguments, "--held-out", "0.3"]
    assert said in CliRunner().invoke(app, [*usual, "--learning-rate", "30"]).stderr
    assert said not in CliRunner().invoke(app, [*arguments, "--held-out", "0"]).stderr


def test_one_process_speaks_for_all(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several cards' processes the first tells the figures, the others are silent."""
    monkeypatch.setenv("RANK", "1")
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert done.output == ""


@pytest.mark.parametrize(
    ("option", "complaint"),
    [("--epochs 0", "epochs=0"), ("--keep-zeros --lora-rank 2", "keep_zeros cannot be used")],
)
def test_a_senseless_option_is_a_wrong_call(
    arguments: list[str], option: str, complaint: str
) -> None:
    """Exit code 2, before anything is loaded."""
    done = CliRunner().invoke(app, [*arguments, *option.split()])
    assert done.exit_code == 2
    assert complaint in " ".join(done.stderr.split())


def test_a_choice_that_there_is_not_is_named_in_plain_words(arguments: list[str]) -> None:
    """With the choices, and without the words of the library that checked it."""
    done = CliRunner().invoke(app, [*arguments, "--precision", "fp32"])
    assert done.exit_code == 2
    said = " ".join(done.stderr.replace("│", " ").split())
    assert "'--precision': 'fp32' is not one of" in said


@pytest.mark.parametrize("name", ["distill", "pointwise"])
def test_options_are_those_of_learning(name: str) -> None:
    """With its defaults, in every command that trains; two of its settings are for Python alone."""
    commands: Any = get_command(train_commands)
    options = {one.name: one.default for one in commands.commands[name].params}
    learning = asdict(Learning())
    for of_python in ("clip_norm", "evaluate_every"):
        assert of_python not in options
        del learning[of_python]
    assert options | learning == options


def test_the_command_for_everything_stands_first() -> None:
    """The stages follow in their order."""
    commands = [one.callback.__name__ for one in train_commands.registered_commands if one.callback]
    assert commands[:3] == ["run", "candidates", "pairs"]


def test_help_shows_panels_and_examples() -> None:
    """Options stand under headings, and the examples are there."""
    done = CliRunner().invoke(app, ["train", "pointwise", "--help"])
    assert done.exit_code == 0
    for text in ("Training", "Memory", "Result", "--documents-per-query", "torchrun"):
        assert text in done.stdout
