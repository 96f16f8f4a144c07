"""The report as Markdown, for a README: the terminal's grids, and the intervals."""

import re
from collections.abc import Iterator, Sequence

from zelo._common.terminal import one_line
from zelo.evaluation.figures import Summary
from zelo.evaluation.reporting.grids import Entry, Grid, grids, intervals, notes

__all__ = ["escaped", "grid_lines", "markdown"]

BETTER, WORSE = "▲", "▼"
MARKS = {"better": f" {BETTER}", "worse": f" {WORSE}", "": ""}
SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~&#!$])")


def markdown(summary: Summary) -> str:
    """Return the tables of a report, with what must be known to read them."""
    tables = [*grids(summary)]
    tables.insert(1, intervals(summary))
    parts = ["\n".join(grid_lines(grid)) for grid in tables]
    parts.append("\n".join(f"- {escaped(note)}" for note in notes(summary, BETTER, WORSE)))
    return "\n\n".join(parts) + "\n"


def grid_lines(grid: Grid) -> Iterator[str]:
    """Yield a grid's lines: its title in bold, and a table."""
    yield f"**{escaped(grid.title)}**"
    yield ""
    yield _row([escaped(head.name) for head in grid.heads])
    yield _row(["---", *("---:" for _ in grid.heads[1:])])
    for row in grid.rows:
        yield _row([_entry(entry) for entry in row])


def escaped(text: str) -> str:
    """Return a text as one line that Markdown shows as it is."""
    return SPECIAL.sub(r"\\\1", one_line(text).plain)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _entry(entry: Entry) -> str:
    text = escaped(entry.text)
    return (f"**{text}**" if entry.best else text) + MARKS[entry.mark]
