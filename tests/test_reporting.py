"""What a report says on a terminal, in Markdown, as CSV and as JSON."""

import csv
import dataclasses
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import MEASURES, SYSTEMS, summary
from rich.cells import cell_len
from rich.console import Console

from zelo.evaluation.figures import Cost, Summary
from zelo.evaluation.reporting.grids import Entry, Grid, grids, intervals
from zelo.evaluation.reporting.markdown import escaped, markdown
from zelo.evaluation.reporting.plain import COLUMNS, as_csv, as_json
from zelo.evaluation.reporting.table import rendered

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
LISTWISE = "bm25+listwise:gemini-2.5-flash@https://api.example.org/v1beta/openai"


def printed(found: Summary, width: int = 120, *, symbols: bool = True, styled: bool = False) -> str:
    """What a terminal of that width gets."""
    console = Console(file=io.StringIO(), width=width, force_terminal=styled, highlight=False)
    console.print(rendered(found, symbols=symbols))
    return console.file.getvalue()


def grid(found: Summary, title: str) -> Grid:
    """The table whose title begins so."""
    return next(one for one in grids(found) if one.title.startswith(title))


def column(found: Grid, name: str) -> list[Entry]:
    """The cells of a column."""
    place = [head.name for head in found.heads].index(name)
    return [row[place] for row in found.rows]


def test_collections_are_rows_and_systems_columns():
    """Each first stage's recall stands before its systems, the counts before all of them."""
    names = [head.name for head in grid(summary(), "nDCG@10").heads]
    assert names == [
        *("collection", "queries", "documents"),
        *("bm25 R@100", "bm25", "bm25+nano", "bm25+random", "bm25+oracle"),
        *("dense R@100", "dense", "dense+nano"),
    ]


def test_a_row_is_a_collection_and_the_last_their_average():
    """The numbers have four digits, as on model cards; the average is no collection's row."""
    found = grid(summary(), "nDCG@10")
    assert [entry.text for entry in column(found, "collection")] == ["bees", "tides", "average"]
    assert [entry.text for entry in column(found, "dense+nano")] == ["0.5800", "0.5900", "0.5850"]
    assert [entry.text for entry in column(found, "dense R@100")] == ["0.9100"] * 3
    assert [entry.text for entry in column(found, "documents")] == ["5,183", "5,183", ""]


def test_one_collection_has_no_average():
    """A single collection is not repeated as its own average."""
    assert len(grid(summary(["bees"]), "nDCG@10").rows) == 1


def test_the_best_competitor_stands_out_and_no_oracle():
    """The oracle has the highest number of all, and is not the best."""
    first, _, average = grid(summary(), "nDCG@10").rows
    for row in (first, average):
        assert [entry.text for entry in row if entry.best] == [row[5].text]


def test_an_oracle_that_is_no_better_is_not_the_best_either():
    """Also where a system reaches the ceiling, the system alone stands out."""
    found = summary(["bees"], ["bm25", "bm25+nano", "bm25+oracle"])
    cells = {key: cell._replace(mean=0.7) for key, cell in found.cells.items()}
    cells["bees", "bm25", "nDCG@10"] = cells["bees", "bm25", "nDCG@10"]._replace(mean=0.1)
    row = grid(dataclasses.replace(found, cells=cells), "nDCG@10").rows[0]
    assert [entry.best for entry in row[4:]] == [False, True, False]


def test_what_looks_equal_is_equally_good():
    """Two systems that differ in the fifth digit alone are both the best."""
    found = summary(["bees"], ["bm25", "bm25+nano"])
    cells = {key: cell._replace(mean=0.5) for key, cell in found.cells.items()}
    cells["bees", "bm25", "nDCG@10"] = cells["bees", "bm25", "nDCG@10"]._replace(mean=0.500001)
    row = grid(dataclasses.replace(found, cells=cells), "nDCG@10").rows[0]
    assert [entry.best for entry in row] == [False, False, False, False, True, True]


def test_a_system_alone_is_not_the_best_of_anything():
    """Where nothing competes, nothing is bold."""
    found = grid(summary(["bees"], ["bm25", "bm25+oracle"]), "nDCG@10")
    assert not any(entry.best for entry in found.rows[0])


def test_significance_is_marked_by_its_direction():
    """Better and worse than the baseline are marked, chance is not, and averages never are."""
    row, _, average = grid(summary(), "nDCG@10").rows
    assert [entry.mark for entry in row[4:8]] == ["", "better", "worse", ""]
    assert [entry.mark for entry in row[9:]] == ["", "better"]
    assert not any(entry.mark for entry in average)


def test_a_p_value_at_the_border_is_not_significant():
    """p must be below the level, not equal to it."""
    found = summary(["bees"], ["bm25", "bm25+nano"])
    cells = dict(found.cells)
    key = ("bees", "bm25+nano", "nDCG@10")
    cells[key] = cells[key]._replace(p_value=found.significance)
    assert (
        column(grid(dataclasses.replace(found, cells=cells), "nDCG@10"), "bm25+nano")[0].mark == ""
    )


def test_other_measures_are_averaged():
    """The measures beside the main one have a row each."""
    found = grid(summary(), "Other measures")
    assert [entry.text for entry in column(found, "measure")] == ["R@10"]
    assert column(found, "bm25+nano") == [Entry("0.5050", best=True)]


def test_costs_leave_out_what_nobody_has():
    """Without prices and without a generating model, their columns are not shown."""
    found = grid(summary(), "Rerankers")
    names = [head.name for head in found.heads]
    assert names == "reranker,queries,documents,documents/s,median s,p95 s,tokens in".split(",")
    assert [entry.text for entry in found.rows[0]][3:] == ["500.0", "0.2", "0.31", "9,000,000"]


def test_costs_of_a_generating_model():
    """A model that writes tokens shows them, its malformed answers and its price."""
    cost = Cost(3, 300, 9.0, 33.3, 2.9, 100.4, 100, 12_000, 450, 27, 2, usd_per_1000_queries=0.0123)
    found = grid(summary(costs={"listwise": cost}), "Rerankers")
    shown = {head.name: entry.text for head, entry in zip(found.heads, found.rows[0], strict=True)}
    assert shown["malformed"] == "2 of 27"
    assert shown["tokens out"] == "450"
    assert shown["USD/1000 queries"] == "0.0123"
    assert shown["p95 s"] == "100"


def test_calibration_names_the_threshold_or_says_none():
    """A min_score comes with the share it keeps; a precision out of reach has none."""
    (row, _) = grid(summary(), "Calibration").rows
    assert [entry.text for entry in row][3:] == ["0.0412", "0.0233", "0.710 (62%)", "none"]


def test_tables_without_anything_in_them_are_left_out():
    """First stages alone have no costs and no probabilities to report."""
    titles = [found.title for found in grids(summary(["bees"], ["bm25", "dense"]))]
    assert [title.split(",")[0] for title in titles] == ["nDCG@10", "Other measures"]


@pytest.mark.parametrize("symbols", [True, False])
@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width, symbols):
    """At any width, with long names too, tables are cut into blocks and lines do not wrap."""
    found = summary(["bees", "legal-summarization-of-contracts"], [*SYSTEMS, LISTWISE])
    lines = printed(found, width, symbols=symbols).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert symbols or all(map(str.isascii, lines))


@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_number_is_shown_once_at_every_width(width):
    """Cutting a table into blocks loses no column, and every block names its rows."""
    text = printed(summary(), width)
    quality = text.partition("Other measures")[0]
    found = grid(summary(), "nDCG@10")
    numbers = [entry.text for row in found.rows[:2] for entry in row[3:]]
    shown = re.findall(r"\d\.\d{4}", quality.partition("average")[0])
    if width == 120:
        assert shown == numbers
    for number in set(numbers):
        assert len(re.findall(re.escape(number), quality)) >= numbers.count(number)
    blocks = quality.count("collection")
    assert quality.count("bees") == quality.count("average") == blocks
    assert (blocks > 1) == (width < 120)


def test_bold_is_for_the_best_alone():
    """On a terminal the best number is bold, the oracle's faint."""
    text = printed(summary(["bees"]), styled=True)
    assert re.findall(r"\x1b\[1m(0\.\d{4})", text.partition("Other")[0]) == ["0.6000"]
    assert "\x1b[2m0.9000" in text


def test_marks_have_an_ascii_form():
    """Without symbols ^ and v stand behind the numbers, and the notes say so."""
    text = printed(summary(), symbols=False)
    assert "0.6000^" in text
    assert "0.1000v" in text
    assert "^ v: better, worse than the baseline bm25, p < 0.05" in text
    assert "0.6000▲" in printed(summary())


def test_long_names_are_broken_behind_their_punctuation():
    """A column is as wide as its numbers need, not as a name with a URL in it."""
    text = printed(summary(["bees"], ["bm25", LISTWISE]), 80)
    assert {"+listwise:", "gemini-2.5-"} <= set(text.split())


def test_names_cannot_steer_the_terminal():
    """Control characters in names are spelt out, and rich's markup stays text."""
    text = printed(summary(["\x1b[2Jbees[red]"], ["bm25", "bm25+\x9b31mnano"]), styled=True)
    assert "\x1b" not in ESCAPE.sub("", text)
    assert "\x9b" not in text
    assert "[red]" in text


def test_notes_say_what_is_what():
    """Baseline, test, correction, intervals and oracles are explained where there are any."""
    text = " ".join(printed(summary()).split())
    for said in ("baseline bm25", "randomisation test", "Holm", "bootstrap", "ceiling", "ECE"):
        assert said in text
    assert "oracle saw" not in printed(summary(["bees"], ["bm25", "dense"]))


def table(text: str, title: str) -> list[list[str]]:
    """The cells of a Markdown table."""
    lines = text.partition(f"**{title}")[2].split("\n")[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def test_markdown_has_the_same_tables():
    """The terminal's tables, with marks and the best in bold, every row as wide as its head."""
    text = markdown(summary())
    rows = table(text, "nDCG@10, top")
    assert {len(row) for row in rows} == {11}
    assert rows[0][4:6] == ["bm25", "bm25+nano"]
    assert rows[1] == ["---", *["---:"] * 10]
    assert rows[2][4:8] == ["0.5000", "**0.6000** ▲", "0.1000 ▼", "0.9000"]
    assert table(text, "Rerankers")[2][0] == "nano"
    assert "- ▲ ▼: better, worse" in text


def test_markdown_has_the_intervals():
    """Only there is room for them beside the numbers."""
    found = summary()
    assert table(markdown(found), "nDCG@10, 95%")[2][1] == "0.450 to 0.540"
    assert intervals(found).rows[0][1].text == "0.450 to 0.540"


def test_names_cannot_break_markdown():
    """Pipes, stars, HTML and line ends in names stay text in one cell."""
    name = "a|b*c*<img>\n[x](y)"
    rows = table(markdown(summary([name])), "nDCG@10, top")
    assert rows[2][0] == r"a\|b\*c\*\<img\> \[x\](y)"
    assert {len(row) for row in rows} == {11}


@given(st.text())
def test_escaped_text_is_one_line_without_live_punctuation(text):
    """Whatever the text, no pipe, backtick, star or angle bracket is left unescaped."""
    shown = escaped(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*<>_\[\]]", shown)


def test_csv_has_a_line_for_every_measure():
    """Collections, systems and measures in their order, numbers unrounded."""
    found = summary()
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [(row["collection"], row["system"], row["measure"]) for row in rows] == [
        (collection, system, measure)
        for collection in found.collections
        for system in SYSTEMS
        for measure in MEASURES
    ]
    for row in rows:
        cell = found.cells[row["collection"], row["system"], row["measure"]]
        assert (float(row["mean"]), float(row["low"]), float(row["high"])) == cell[:3]
        assert row["p"] == ("" if cell.p_value is None else str(cell.p_value))
        assert row["oracle"] == ("yes" if row["system"] == "bm25+oracle" else "no")
    assert tuple(rows[0]) == COLUMNS


def test_csv_quotes_names():
    """A comma, a quote or a line end in a name comes back as it was."""
    name = 'be,es "x"\nand'
    rows = list(csv.DictReader(io.StringIO(as_csv(summary([name])))))
    assert {row["collection"] for row in rows} == {name}


def test_json_holds_every_figure():
    """All fields of a summary but the queries' own come back from JSON."""
    found = summary()
    plain = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert plain["format"] == 1
    assert [one["collection"] for one in plain["collections"]] == ["bees", "tides"]
    assert plain["collections"][0]["first_stage_recall"] == {"bm25": 0.91, "dense": 0.91}
    assert [one["system"] for one in plain["systems"] if one["oracle"]] == ["bm25+oracle"]
    cells = {(one["collection"], one["system"], one["measure"]): one for one in plain["cells"]}
    assert set(cells) == set(found.cells)
    for key, cell in found.cells.items():
        assert {**cells[key], **cell._asdict()} == cells[key]
    averages = {(one["system"], one["measure"]): one["mean"] for one in plain["averages"]}
    assert averages == found.averages
    assert plain["costs"] == [{"reranker": "nano", **found.costs["nano"]._asdict()}]


def test_json_holds_calibration_to_the_last_bin():
    """Bins, histogram and thresholds are objects and lists by name."""
    (first, _) = as_json(summary())["calibration"]
    known = summary().calibration["bm25+nano"]
    assert first["system"] == "bm25+nano"
    assert first["bins"] == [one._asdict() for one in known.bins]
    assert first["histogram"]["relevant"] == list(range(20))
    assert first["thresholds"][1]["min_score"] is None


def test_json_keys_stand_still():
    """Programs read these keys: a change of them needs another `format`."""
    plain = as_json(summary())
    assert (
        list(plain)
        == (
            "format measures baseline depth significance collections systems cells averages costs "
            "calibration"
        ).split()
    )
    assert list(plain["cells"][0]) == (
        "collection system measure mean low high difference p_value".split()
    )
    assert list(plain["calibration"][0]) == (
        "system documents relevant error brier bins histogram thresholds".split()
    )
