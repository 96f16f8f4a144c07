"""The report on a terminal: grids as rich tables, cut into blocks where they are too wide."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich import box
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from zelo._common.terminal import printable
from zelo.evaluation.figures import Summary
from zelo.evaluation.reporting.grids import Grid, grids, notes

__all__ = ["Blocks", "rendered"]

MARKS = {"better": ("▲", "^"), "worse": ("▼", "v"), "": (" ", " ")}
MARK_STYLES = {"better": "green", "worse": "red", "": ""}
WIDEST_NAME = 28  # terminal cells; longer names go on in the next line
WIDEST_HEAD = 16
WIDEST_CELL = 30
GAPS = (2, 3)  # cells between columns; in ASCII, with a line
PIECE = re.compile(r"[^-/+@:_]*[-/+@:_]*")  # a long name is broken behind these


def rendered(summary: Summary, *, symbols: bool = True) -> RenderableType:
    """Lay out a report for whatever width it is printed at; without `symbols`, in plain ASCII."""
    parts: list[RenderableType] = []
    for grid in grids(summary):
        parts += [Text(printable(grid.title), style="bold"), Blocks(grid, symbols), Text("")]
    better, worse = (MARKS[mark][not symbols] for mark in ("better", "worse"))
    return Group(*parts, *(Text(printable(note), "dim") for note in notes(summary, better, worse)))


@dataclass(frozen=True, slots=True)
class Blocks:
    """A grid as one table, or as several that repeat the rows' names where it is too wide."""

    grid: Grid
    symbols: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the tables."""
        widest = min(WIDEST_NAME, options.max_width // 3)  # the rows' names leave room for more
        first, *others = (
            _column(self.grid, place, self.symbols, WIDEST_CELL if place else widest)
            for place in range(len(self.grid.heads))
        )
        for number, block in enumerate(_fitting(first, others, options.max_width, self.symbols)):
            if number:
                yield Text("")
            yield _table([first, *block], self.symbols, self.grid.total)


class _Column(NamedTuple):
    """A column as it is shown."""

    head: Text
    cells: list[Text]
    width: int


def _column(grid: Grid, place: int, symbols: bool, widest: int) -> _Column:
    head = grid.heads[place]
    style = "dim" if head.aside else ""
    names = [line for part in (head.text, head.under) for line in _broken(part, WIDEST_HEAD)]
    entries = [row[place] for row in grid.rows]
    marked = any(entry.mark for entry in entries)
    cells = []
    for entry in entries:
        parts = [("\n".join(_broken(entry.text, widest)), "bold" if entry.best else style)]
        if marked:
            parts.append((MARKS[entry.mark][not symbols], MARK_STYLES[entry.mark]))
        cells.append(Text.assemble(*parts))
    lines = [*names, *(line for cell in cells for line in cell.plain.split("\n"))]
    return _Column(Text("\n".join(filter(None, names)), style), cells, max(map(cell_len, lines)))


def _fitting(
    first: _Column, others: Sequence[_Column], width: int, symbols: bool
) -> list[list[_Column]]:
    """Share the columns out: as many as fit beside the first one each time, and at least one."""
    gap = GAPS[not symbols]
    found: list[list[_Column]] = []
    taken = width
    for column in others:
        taken += gap + column.width
        if taken > width:
            found.append([])
            taken = first.width + gap + column.width
        found[-1].append(column)
    return found


def _table(columns: Sequence[_Column], symbols: bool, total: bool) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD if symbols else box.ASCII2,
        padding=(0, 1, 0, 0) if symbols else (0, 1),
        show_edge=False,
        pad_edge=False,
    )
    for number, column in enumerate(columns):
        table.add_column(column.head, justify="right" if number else "left", vertical="bottom")
    rows = list(zip(*(column.cells for column in columns), strict=True))
    for row in rows:
        if total and row is rows[-1]:
            table.add_section()
        table.add_row(*row)
    return table


def _broken(name: str, widest: int) -> list[str]:
    """Cut a name into lines, behind its punctuation where that is possible."""
    lines = [""]
    for piece in PIECE.findall(printable(name)):
        for part in chop_cells(piece, widest):
            if cell_len(lines[-1] + part) > widest:
                lines.append("")
            lines[-1] += part
    return lines
