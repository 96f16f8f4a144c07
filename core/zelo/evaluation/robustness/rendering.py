"""A report for people: tables of a terminal, or Markdown. Both show the same sheets."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from zelo._common.terminal import printable
from zelo.evaluation.reporting.markdown import escaped, grid_lines
from zelo.evaluation.reporting.table import Blocks
from zelo.evaluation.robustness.results import RobustnessReport
from zelo.evaluation.robustness.tables import about, notes, sheets

__all__ = ["markdown", "rendered"]


def rendered(report: RobustnessReport, *, symbols: bool = True) -> RenderableType:
    """Lay out a report for whatever width it is printed at; without `symbols`, in plain ASCII."""
    return Group(*_parts(report, symbols))


def markdown(report: RobustnessReport) -> str:
    """Return a report as Markdown, for a README."""
    parts = [escaped(about(report))]
    for sheet in sheets(report):
        parts += ["\n".join(grid_lines(sheet.grid)), escaped(sheet.legend), escaped(sheet.meaning)]
    parts.append("\n".join(f"- {escaped(note)}" for note in notes(report)))
    return "\n\n".join(parts) + "\n"


def _parts(report: RobustnessReport, symbols: bool) -> Iterator[RenderableType]:
    yield Text(printable(about(report)))
    for sheet in sheets(report):
        yield Text("")
        yield Text(printable(sheet.grid.title), style="bold")
        yield Blocks(sheet.grid, symbols)
        yield Text(printable(sheet.legend), style="dim")
        yield Text(printable(sheet.meaning))
    yield Text("")
    yield from (Text(printable(note), style="dim") for note in notes(report))
