"""Configurations of `zelo train run`: little to write, and every mistake named with its key."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from zelo import InputError
from zelo.cli.train import train_commands
from zelo.training.learning import Learning
from zelo.training.pipeline import Config, read_config, reference
from zelo.training.pipeline.gathering import shares
from zelo.training.pipeline.tables import LEARNING, Source, table_of

SMALLEST = """
collections = ["mine"]
model = "zelo-nano"
judges = ["bm25"]
"""


def read(folder: Path, text: str, **options: Any) -> Config:
    """Read a configuration that is called run.toml."""
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path, **options)


def refused(folder: Path, text: str) -> list[str]:
    """Return the lines of the error."""
    with pytest.raises(InputError) as caught:
        read(folder, text)
    return str(caught.value).split("\n")


def test_three_lines_are_enough(tmp_path: Path) -> None:
    """All else has a default, and the work folder lies beside the file."""
    config = read(tmp_path, SMALLEST)
    assert [one.path for one in config.collections] == [str(tmp_path / "mine")]
    assert config.out == str(tmp_path / "run-run")
    assert (config.pairs.cycles, config.refine.enabled, config.distill) == (4, True, None)
    assert config.pointwise.learning == Learning()


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the command is given; names that are no folder there stay names."""
    for name in ("model", "embedder", "judge"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir("/")
    text = """
    collections = [{ path = "mine", split = "train" }]
    model = "model"
    judges = ["embedding:embedder", "named=judge", "zelo-nano", "chat:judge@http://gpu/v1", "bm25"]
    out = "work"
    [candidates]
    first_stage = "run:runs/first.trec"
    embedding_model = "embedder"
    [evaluate]
    collections = ["other"]
    first_stage = "hybrid"
    [distill]
    model = "judge"
    """
    config = read(tmp_path, text)
    assert config.model == str(tmp_path / "model")
    assert config.judges == [
        f"embedding:embedder=embedding:{tmp_path / 'embedder'}",
        f"named={tmp_path / 'judge'}",
        "zelo-nano",
        "chat:judge@http://gpu/v1",
        "bm25",
    ]
    assert config.out == str(tmp_path / "work")
    assert config.candidates.first_stage == f"run:{tmp_path / 'runs/first.trec'}"
    assert config.candidates.embedding_model == str(tmp_path / "embedder")
    assert config.evaluate.collections is not None
    assert config.evaluate.collections[0].path == str(tmp_path / "other")
    assert config.evaluate.first_stage == "hybrid"
    assert config.distill is not None
    assert config.distill.model == str(tmp_path / "judge")
    assert read(tmp_path, text, out="elsewhere").out == "/elsewhere"


def test_learning_stands_in_the_table_of_its_stage(tmp_path: Path) -> None:
    """Beside what is the stage's own, and with the seed of the top unless it has another."""
    text = f"seed = 7\n{SMALLEST}[pointwise]\nepochs = 2\nheld_out = 0.1\n[distill]\nseed = 1\n"
    config = read(tmp_path, text)
    assert config.pointwise.learning == Learning(epochs=2, seed=7)
    assert config.pointwise.held_out == 0.1
    assert config.distill is not None
    assert config.distill.learning == Learning(seed=1)


def test_every_mistake_is_named(tmp_path: Path) -> None:
    """By its key, with the nearest known one, all at once."""
    text = """
    collections = ["mine", { pat = "x" }]
    model = "zelo-nano"
    judge = ["bm25"]
    [pairs]
    cycels = 2
    method = "cycle"
    [pointwise]
    epoch = 2
    [refine]
    threshold = 0
    [evaluate]
    measures = []
    """
    path = tmp_path / "run.toml"
    assert refused(tmp_path, text) == [
        f"{path}: these have no meaning:",
        "  collections[2].path is missing",
        "  collections[2].pat: there is no such key; did you mean 'path'?",
        "  judges is missing",
        "  pairs.method: it must be 'cycles', 'random' or 'full'",
        "  pairs.cycels: there is no such key; did you mean 'cycles'?",
        "  judge: it must be a table",
        "  pointwise.epoch: there is no such key; did you mean 'epochs'?",
        "  refine.threshold = 0: it must be greater than or equal to 1",
        "  evaluate.measures: List should have at least 1 item after validation, not 0",
    ]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("[pointwise]\nepochs = -1", "pointwise: epochs=-1; it must be a number above 0"),
        ("[pointwise]\nlearning = 1", "pointwise.learning: there is no such key"),
        ("[judge]\nnoise = 2", "judge.noise = 2: it must be less than or equal to 1"),
        ("[pairs]\nanything = 1", "pairs.anything: there is no such key; known are method, cycles"),
        ("seed = 'x'", "seed: it must be a valid integer"),
        ("[pointwise]\nkeep_zeros = true\nlora_rank = 4", "keep_zeros cannot be used with"),
    ],
)
def test_mistakes(tmp_path: Path, more: str, problem: str) -> None:
    """Each is told in words that lead to the key."""
    text = f"{more}\n{SMALLEST}" if more.startswith("seed") else SMALLEST + more
    assert problem in refused(tmp_path, text)[1]


def test_a_judge_must_have_a_form(tmp_path: Path) -> None:
    """As on the command line."""
    with pytest.raises(InputError, match="'chat:' is no judge"):
        read(tmp_path, SMALLEST.replace('"bm25"', '"chat:"'))


def test_a_secret_in_an_address_is_not_repeated(tmp_path: Path) -> None:
    """A text that cannot be used is not shown, as it may hold a password."""
    text = SMALLEST.replace('["bm25"]', '"chat:m@https://me:secret@host"')
    assert refused(tmp_path, text)[1:] == ["  judges: it must be a valid list"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """No file, no TOML, no UTF-8: each with its path, TOML with its line."""
    with pytest.raises(InputError, match=r"none\.toml: No such file"):
        read_config(tmp_path / "none.toml")
    assert "run.toml is no TOML: " in refused(tmp_path, "model = ")[0]
    assert "line 2" in refused(tmp_path, "seed = 1\nmodel = oops")[0]
    (tmp_path / "run.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match="is no TOML"):
        read_config(tmp_path / "run.toml")


def test_the_reference_is_a_configuration(tmp_path: Path) -> None:
    """It says every key, and the values that it gives are the defaults."""
    text = reference()
    table = tomllib.loads(text)
    smallest = {name: table[name] for name in ("collections", "model", "judges")}
    assert Config.model_validate({**table, "out": "x"}) == Config.model_validate(
        {**smallest, "out": "x"}
    )
    for name, field in Config.model_fields.items():
        within = table_of(field.annotation)
        if within is None or within is Source:
            assert re.search(rf"^(# )?{name} =", text, re.MULTILINE), name
            continue
        behind = re.split(rf"^(?:# )?\[{name}\]", text, flags=re.MULTILINE)[1]
        part = behind.partition("\n\n")[0]
        keys = set(within.model_fields) - {"learning"}
        keys |= set(LEARNING) if "learning" in within.model_fields else set()
        assert keys == set(re.findall(r"^(?:# )?(\w+) =", part, re.MULTILINE)), name
    again = CliRunner().invoke(train_commands, ["run", "--reference"])
    assert (again.exit_code, again.stdout) == (0, text)


COUNTS = st.lists(st.integers(1, 500), min_size=1, max_size=5)


@given(COUNTS, st.data())
def test_shares_are_within_what_there_is(available: list[int], data: st.DataObject) -> None:
    """At least one query each, and in all as many as were asked for, if there are so many."""
    weight = st.sampled_from([0.5, 1.0, 2.0, 3.0])
    weights = data.draw(st.lists(weight, min_size=len(available), max_size=len(available)))
    total = data.draw(st.none() | st.integers(1, 1_000))
    found = shares(available, weights, total)
    assert all(1 <= count <= most for count, most in zip(found, available, strict=True))
    if total is not None:
        wanted = min(total, sum(available))
        assert wanted <= sum(found) <= max(wanted, len(available))


@given(COUNTS)
def test_equal_weights_take_all(available: list[int]) -> None:
    """Without a total nothing is left out."""
    assert shares(available, [2.0] * len(available), None) == available


@given(COUNTS, st.data())
def test_weights_are_proportions(available: list[int], data: st.DataObject) -> None:
    """As many queries as the proportion allows: one collection gives all, none too many."""
    weight = st.sampled_from([1.0, 2.0, 3.0, 5.0])
    weights = data.draw(st.lists(weight, min_size=len(available), max_size=len(available)))
    found = shares(available, weights, None)
    assert any(count == most for count, most in zip(found, available, strict=True))
    if len(set(weights)) > 1:
        scale = max(count / weight for count, weight in zip(found, weights, strict=True))
        for count, weight in zip(found, weights, strict=True):
            assert count == 1 or abs(count - scale * weight) <= 1 + weight


def test_a_total_is_shared_out() -> None:
    """By weight; what a small collection cannot give, the others do."""
    assert shares([1_000, 1_000], [3.0, 1.0], 400) == [300, 100]
    assert shares([50, 1_000, 1_000], [1.0, 1.0, 1.0], 450) == [50, 200, 200]
    assert shares([10, 20], [1.0, 1.0], 1_000) == [10, 20]
