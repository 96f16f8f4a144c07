"""A robustness report for people: the right numbers in the right cells, and nothing that steers."""

import dataclasses
import io
import json
import re

import pytest
import typer
from collection import write_beir
from rich.console import Console
from typer.testing import CliRunner

from zelo.cli.evaluate_robustness import robustness
from zelo.evaluation.robustness.rendering import markdown, rendered
from zelo.evaluation.robustness.results import (
    AttackOutcome,
    Placed,
    PositionOutcome,
    RobustnessReport,
    Trial,
)
from zelo.evaluation.robustness.tables import notes, sheets

APP = typer.Typer()
APP.command()(robustness)


def trial(before, control, after):
    """A trial by (logit, candidates above) of each document."""
    placed = [Placed(logit, 0.5, above) for logit, above in (before, control, after)]
    return Trial("q", "d", 99, *placed)


WEAK = (trial((0, 50), (1, 48), (1, 48)), trial((0, 40), (0, 42), (0.5, 38)))
STRONG = (trial((0, 50), (1, 48), (6, 0)), trial((0, 40), (0, 42), (3, 6)))
HIDDEN = (trial((2, 1), (2, 1), (0.5, 4)), trial((2, 3), (2, 3), (-0.5, 8)))


@pytest.fixture
def report():
    return RobustnessReport(
        collection="bees",
        reranker="tiny",
        first_stage="bm25",
        queries=3,
        depth=100,
        seed=0,
        left_out={"no short relevant document": 1},
        readings={"zelo": "text is text", "one string": "text is control"},
        attacks=(
            AttackOutcome("zelo", WEAK, "forged query", "control tokens", "after"),
            AttackOutcome("zelo", STRONG, "query", "plain text", "after"),
            AttackOutcome("one string", STRONG, "forged query", "control tokens", "after"),
            AttackOutcome("one string", STRONG, "query", "plain text", "after"),
        ),
        positions=tuple(
            PositionOutcome("chunk", HIDDEN, length, depth)
            for length in (2_000, 8_000)
            for depth in (0.0, 1.0)
        ),
    )


def cells(sheet):
    return [tuple(entry.text for entry in row) for row in sheet.grid.rows]


def shown(report, **options):
    console = Console(file=io.StringIO(), width=120)
    console.print(rendered(report, **options))
    return console.file.getvalue()


def test_attacks_in_cells(report):
    """Lift is beyond the control, climb against the document as it was, readings side by side."""
    sheet = sheets(report)[0]
    assert [head.name for head in sheet.grid.heads] == [
        "attack",
        "lift zelo",
        "lift one string",
        "climb zelo",
        "climb one string",
        "climb control",
        "top 10 / 1 zelo",
        "top 10 / 1 one string",
    ]
    nothing, forged, query = cells(sheet)
    assert nothing == ("(nothing added)", *[""] * 5, "0% / 0%", "0% / 0%")
    assert forged[0] == "forged query"
    assert forged[1].startswith("+0.25 ±")
    assert forged[2].startswith("+4.00 ±")
    assert forged[3:] == ("+2", "+42", "0", "0% / 0%", "100% / 50%")
    assert query[3:] == ("+42", "+42", "0", "100% / 50%", "100% / 50%")


def test_the_top_k_has_k_documents():
    """With nine above it a document is among the best ten, with ten it is not."""
    places = (0, 1, 9, 10)
    trials = tuple(trial((0, 10 - above), (0, 0), (0, above)) for above in places)
    outcome = AttackOutcome("zelo", trials, "query", "plain text", "after")
    assert (outcome.top(1), outcome.top(10)) == (0.25, 0.75)
    assert (outcome.top_before(1), outcome.top_before(10)) == (0.25, 0.75)


def test_the_sentence_names_the_strongest_attacks(report):
    """It says how far each kind climbs, with the defence and without."""
    assert sheets(report)[0].meaning.startswith(
        "The most places won in the median, by control tokens: zelo +2 (forged query), one string "
        "+42 (forged query); by plain text: zelo +42 (query), one string +42 (query)."
    )


def test_positions_in_cells(report):
    """A row per length and reading: the logit lost, and how many rank above."""
    _, losses, rivals = sheets(report)
    assert cells(losses) == [
        (length, "chunk", "2", "-2.00", "-2.00", "100%") for length in ("2,000", "8,000")
    ]
    assert cells(rivals)[0] == ("2,000", "chunk", "2", "6", "6", "100%")
    assert "8,000" not in rivals.meaning
    assert rivals.meaning == (
        "Above the passage alone: 2 chunk; above the longest documents, by its place: 6 to 6 chunk."
    )


def test_the_interval_is_that_of_the_lift(report):
    """The half width shown is half of the JSON's interval, which holds the mean."""
    first = report.as_json()["attacks"][1]
    lift = first["lift"]
    assert lift["low"] <= lift["mean"] == lift["median"] == 4.0 <= lift["high"]
    assert f"±{(lift['high'] - lift['low']) / 2:.2f}" in cells(sheets(report)[0])[2][1]


def test_a_report_without_one_half_has_the_other_alone(report):
    """Without attacks or without positions, their tables are not there."""
    titles = [sheet.grid.title for sheet in sheets(dataclasses.replace(report, attacks=()))]
    assert len(titles) == 2
    assert len(sheets(dataclasses.replace(report, positions=()))) == 1


def test_notes_explain_what_is_shown_only(report):
    """Each reading, each attack that was tried, and what was left out; no other attack."""
    found = notes(report)
    assert found[0] == "zelo: text is text"
    assert [note.partition(" (")[0] for note in found[2:4]] == ["forged query", "query"]
    assert found[-1] == "left out of 3 queries: 1, no short relevant document"
    assert len(found) == 5


def test_markdown_shows_the_same_cells(report):
    """Every table of the terminal stands in the Markdown, row by row."""
    lines = [line for line in markdown(report).splitlines() if line.startswith("| ")]
    rows = [tuple(line.strip("| ").split(" | ")) for line in lines if "---" not in line]
    expected = []
    for sheet in sheets(report):
        expected += [tuple(head.name for head in sheet.grid.heads), *cells(sheet)]
    assert [[cell for cell in row if cell.strip()] for row in rows] == [
        [cell for cell in row if cell] for row in expected
    ]


def test_plain_ascii_where_the_console_has_no_more(report):
    """Without symbols, lines of tables are ASCII; the plus-minus sign is all that may remain."""
    assert set(re.findall(r"[^\x00-\x7f]", shown(report, symbols=False))) <= {"±"}


def test_names_cannot_steer_a_terminal(report):
    """A collection's name is a folder's: its control characters are spelt out."""
    hostile = dataclasses.replace(report, collection="bees\x1b[2J[bold]", left_out={"a\x1b": 1})
    assert "\x1b" not in shown(hostile)
    assert r"bees\x1b[2J[bold]" in shown(hostile)
    assert "\x1b" not in markdown(hostile)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_beir(tmp_path_factory.mktemp("robustness") / "bees"))


def run(folder, model, *options):
    small = ["--queries", "1", "--depth", "8", "--lengths", "", "--device", "cpu"]
    return CliRunner().invoke(APP, [folder, "--model", str(model), *small, *options])


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """Indexes are kept in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_command_writes_json(folder, tiny_model):
    """One object on stdout, nothing beside it."""
    found = json.loads(run(folder, tiny_model, "--json").stdout)
    assert (found["collection"], found["queries"], found["positions"]) == ("small", 1, [])


def test_the_command_writes_tables_and_markdown(folder, tiny_model):
    """Both show the attacks' table."""
    table = run(folder, tiny_model)
    assert table.exit_code == 0, table.output
    assert "Attacks appended to an irrelevant document" in table.stdout
    assert "**Attacks appended to" in run(folder, tiny_model, "--markdown").stdout


@pytest.mark.parametrize("options", [["--lengths", "2k"], ["--json", "--markdown"]])
def test_senseless_options_are_usage_errors(folder, tiny_model, options):
    """They are told before anything is read."""
    assert run(folder, tiny_model, *options).exit_code == 2
