"""`zelo train fit`: queries that fall apart left out on demand, and further pairs added."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from zelo import InputError
from zelo.cli.train_calibrate import calibrate
from zelo.cli.train_fit import fit as command
from zelo.training.pairs import across
from zelo.training.ratings import fit
from zelo.training.ratings.fitting import Disconnected
from zelo.training.records import (
    Candidates,
    Document,
    Preferences,
    Query,
    Ratings,
    Targets,
    read_records,
    write_records,
)

CHAIN = [("a", "b"), ("b", "c"), ("c", "d")]
APART = [("a", "b"), ("c", "d")]


def line(query: str, pairs: list[tuple[str, str]], **more: Any) -> Preferences:
    """Preferences of a query, the first document a bit better each time."""
    return Preferences(query=query, pairs=pairs, preferences=[0.7] * len(pairs), **more)


def invoke(of: Any, *words: object) -> Any:
    """Run a command."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(of)
    return CliRunner().invoke(app, list(map(str, words)))


@given(st.lists(st.booleans(), max_size=8))
@settings(max_examples=30)
def test_what_falls_apart_is_left_out(connected: Sequence[bool]) -> None:
    """The others are rated as if it were not there, and each one left out is told."""
    lines = [line(f"q{n}", CHAIN if whole else APART) for n, whole in enumerate(connected)]
    told: list[Disconnected] = []
    found = list(fit(lines, on_disconnected=told.append))
    assert found == list(fit([one for one in lines if one.pairs == CHAIN]))
    assert told == [Disconnected(one.query, 4, 2) for one in lines if one.pairs == APART]


def test_pairs_without_a_vote_do_not_connect() -> None:
    """A query that no judge voted on is left out as well."""
    silent = line("q", CHAIN).model_copy(update={"preferences": [None] * 3})
    told: list[Disconnected] = []
    assert list(fit([silent], on_disconnected=told.append)) == []
    assert told == [Disconnected("q", 4, 4)]


def test_other_faults_stay_errors() -> None:
    """Leaving out what falls apart hides nothing else."""
    twice = [line("q", CHAIN), line("q", CHAIN)]
    with pytest.raises(InputError, match="stands there twice"):
        list(fit(twice, on_disconnected=lambda one: None))


def test_command_refuses_by_default(tmp_path: Path) -> None:
    """The groups are named, and nothing is written."""
    write_records(tmp_path / "in.jsonl", [line("good", CHAIN), line("bad", APART)])
    result = invoke(command, tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl")
    assert result.exit_code == 1
    assert "query 'bad': its documents fall apart into 2 groups" in str(result.exception)
    assert not (tmp_path / "out.jsonl").exists()


def test_command_names_what_it_leaves_out(tmp_path: Path) -> None:
    """The first twenty by name, and how many more there are."""
    lines = [line("good", CHAIN), *(line(f"bad{n}", APART) for n in range(22))]
    write_records(tmp_path / "in.jsonl", lines)
    words = (tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl", "--skip-disconnected")
    result = invoke(command, *words, "--json")
    assert result.exit_code == 0
    assert '"queries": 1,' in result.stdout
    assert '"queries_left_out": 22' in result.stdout
    assert "'bad0', 'bad1'" in result.stderr
    assert "'bad19' and 2 more" in result.stderr
    assert [one.query for one in read_records(tmp_path / "out.jsonl", Ratings)] == ["good"]


def test_command_adds_further_pairs(tmp_path: Path) -> None:
    """As if they had been judged with the others; here they connect what had fallen apart."""
    write_records(tmp_path / "in.jsonl", [line("q", APART)])
    write_records(tmp_path / "more.jsonl", [line("q", [("b", "c")])])
    words = (tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl")
    assert invoke(command, *words, "--add", tmp_path / "more.jsonl").exit_code == 0
    (wanted,) = fit([line("q", [*APART, ("b", "c")])])
    assert list(read_records(tmp_path / "out.jsonl", Ratings)) == [wanted]


@pytest.mark.parametrize("graded", [False, True])
def test_a_query_without_ratings_has_no_targets(tmp_path: Path, graded: bool) -> None:
    """Through calibration, whose candidates still hold it, and the others have theirs."""
    lines = [line(f"q{n}", APART if n == 1 else CHAIN) for n in range(4)]
    write_records(tmp_path / "in.jsonl", lines)
    ratings, judged = tmp_path / "ratings.jsonl", tmp_path / "across.jsonl"
    invoke(command, tmp_path / "in.jsonl", "--out", ratings, "--skip-disconnected")
    chosen = across(read_records(ratings, Ratings))
    write_records(judged, [line(one.query, one.pairs, against=one.against) for one in chosen])
    documents = [Document(id=name, content=name, score=float(name == "a")) for name in "abcd"]
    candidates = [
        Candidates(query=Query(id=one.query, query="?"), documents=documents) for one in lines
    ]
    write_records(tmp_path / "candidates.jsonl", candidates)
    more = ("--candidates", tmp_path / "candidates.jsonl") if graded else ()
    out = tmp_path / "targets.jsonl"
    result = invoke(calibrate, ratings, "--across", judged, "--out", out, *more)
    assert result.exit_code == 0
    assert [one.query for one in read_records(out, Targets)] == ["q0", "q2", "q3"]
