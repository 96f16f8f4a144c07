"""`zelo score` as a shell user meets it: a folder of scored rows, a table, going on, refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bulk_kit import pairs, parts_of, read_back, write_rows
from typer.testing import CliRunner

from zelo import Reranker
from zelo.bulk.scoring import BLOCK_ROWS
from zelo.cli import app
from zelo.cli.score import BLOCK_ROWS as TOLD_BLOCK_ROWS

Zelo = Callable[..., Any]


@pytest.fixture
def zelo(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: Reranker
) -> Zelo:
    """Run the command in an empty folder, with the tiny model, whose weights stay loaded."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Any:
        given = ["score", "-m", str(tiny_model), "--dtype", "float32", "--device", "cpu"]
        environment = {"COLUMNS": "100", "TERM": "dumb"}
        return CliRunner().invoke(app, [*given, *map(str, arguments)], env=environment)

    return run


def test_rows_are_scored_into_a_folder(zelo: Zelo, tmp_path: Path) -> None:
    """The table sums up; started again, the command finds all of it done."""
    rows = pairs(queries=4)
    write_rows(tmp_path / "in.parquet", rows)
    first = zelo("-i", "*.parquet", "-o", "scored", "--block-rows", 8, "--logit")
    assert first.exit_code == 0, first.stderr
    for name, value in (("rows written", "20"), ("queries", "4"), ("blocks", "4")):
        assert any(
            line.startswith(name) and line.split()[-1] == value
            for line in first.stdout.splitlines()
        )
    found = read_back(tmp_path / "scored")
    assert [row["doc_id"] for row in found] == [row["doc_id"] for row in rows]
    assert all(0 < row["score"] < 1 for row in found)
    assert all("logit" in row for row in found)
    again = zelo("-i", "*.parquet", "-o", "scored", "--block-rows", 8, "--logit")
    assert "4, 4 of them before" in again.stdout


def test_a_program_reads_one_object(zelo: Zelo, tmp_path: Path) -> None:
    """All sums, and what is done where."""
    write_rows(tmp_path / "in.jsonl", pairs(queries=4))
    result = zelo("-i", "in.jsonl", "-o", "scored", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["output"] == str(tmp_path / "scored")
    assert (told["rows"], told["blocks"], told["blocks_now"], told["rejects"]) == (20, 1, 1, 0)
    assert told["pairs_per_second"] > 0


def test_rows_left_out_are_told_of(zelo: Zelo, tmp_path: Path) -> None:
    """With the file that lists them; without --skip-bad they are an error that names them."""
    write_rows(tmp_path / "in.jsonl", [*pairs(queries=1), {"query": "a", "document": 1}])
    refused = zelo("-i", "in.jsonl", "-o", "scored")
    assert refused.exit_code == 1
    assert "row 6: has a document that is a number, not a string" in refused.stderr
    assert "Traceback" not in refused.stderr
    result = zelo("-i", "in.jsonl", "-o", "scored", "--skip-bad")
    assert result.exit_code == 0, result.stderr
    assert "1 row was left out" in result.stderr
    assert str(tmp_path / "scored" / "_rejects.jsonl") in result.stderr


def test_other_work_is_refused_and_restarted(zelo: Zelo, tmp_path: Path) -> None:
    """The error says what differs and what to do; --restart does it."""
    write_rows(tmp_path / "in.jsonl", pairs(queries=1))
    zelo("-i", "in.jsonl", "-o", "scored")
    refused = zelo("-i", "in.jsonl", "-o", "scored", "--logit")
    assert refused.exit_code == 1
    assert "logit: it was None, now it is 'logit'" in refused.stderr
    assert "--restart" in refused.stderr
    other = zelo("-i", "in.jsonl", "-o", "scored", "--quantization", "int8-weights")
    assert other.exit_code == 1
    assert "quantization: it was None, now it is 'int8-weights'" in other.stderr
    same = zelo("-i", "in.jsonl", "-o", "scored", "--no-compile")
    assert same.exit_code == 0, same.stderr
    assert zelo("-i", "in.jsonl", "-o", "scored", "--logit", "--restart").exit_code == 0
    assert len(parts_of(tmp_path / "scored")) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--columns", "text=body"], "ROLE=NAME"),
        (["--workers", "2"], "--ray"),
        (["--block-rows", "0"], "--block-rows"),
    ],
)
def test_a_wrong_call_is_a_usage_error(zelo: Zelo, arguments: list[str], told: str) -> None:
    """Told before any file is looked at."""
    result = zelo("-i", "in.jsonl", "-o", "scored", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_help_tells_the_block_that_is_used() -> None:
    """The command's default is that of the function, which it does not import for its help."""
    assert TOLD_BLOCK_ROWS == BLOCK_ROWS
