"""A suite's tables for a terminal and as Markdown."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from zelo._common.terminal import printable
from zelo.bench.suite.results import SuiteReport
from zelo.bench.suite.tables import Grid, grids, head, notes

__all__ = ["markdown", "rendered"]

VERDICTS = {"met": "green", "stretch met": "bold green", "missed": "red", "unmeasured": "yellow"}


def rendered(report: SuiteReport) -> RenderableType:
    """Lay out a report for a console."""
    parts: list[RenderableType] = [Text(printable(line)) for line in head(report)]
    parts += map(_table, grids(report))
    parts += [Text(printable(line), style="dim") for line in notes(report)]
    return Group(*parts)


def _table(grid: Grid) -> Table:
    title = Text(printable(grid.title), style="bold")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(grid.heads):
        side: JustifyMethod = "right" if number else "left"
        table.add_column(name, justify=side, no_wrap=bool(number), overflow="fold")
    for row in grid.rows:
        table.add_row(*(Text(printable(cell), style=VERDICTS.get(cell, "")) for cell in row))
    return table


def markdown(report: SuiteReport) -> str:
    """Return a report for a README."""
    parts = ["\n".join(f"- {_escaped(line)}" for line in head(report))]
    parts += ("\n".join(_lines(grid)) for grid in grids(report))
    parts.append("\n".join(f"- {_escaped(line)}" for line in notes(report)))
    return "\n\n".join(parts) + "\n"


def _lines(grid: Grid) -> Iterator[str]:
    yield f"**{_escaped(grid.title)}**"
    yield ""
    yield _row(grid.heads)
    yield _row(["---", *("---:" for _ in grid.heads[1:])])
    yield from map(_row, grid.rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    """Return a text as one line without what Markdown or HTML would take for markup."""
    line = printable(" ".join(text.split()))
    for character in "\\`*_[]<>|":
        line = line.replace(character, f"\\{character}")
    return line
