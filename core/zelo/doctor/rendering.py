"""A report for people: the verdict, what to do, what was looked at, and the numbers."""

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from zelo.doctor.mistakes import MISTAKES
from zelo.doctor.report import Finding, Outcome, Report, Row

__all__ = ["rendered"]

COLOURS = {"correct": "green", "wrong": "red", "unknown": "yellow"}
MARKS: dict[Outcome, tuple[str, str, str]] = {
    "ok": ("✓", "ok", "green"),
    "wrong": ("✗", "x", "red"),
    "warning": ("!", "!", "yellow"),
    "unknown": ("?", "?", "yellow"),
}
SAID = {"probability": "probabilities", "logit": "raw logits", "logit/5": "a fifth of its logits"}
ADVICE = "nothing contradicts it; to be sure, compare with the weights: --reference FOLDER"
INDENT = (0, 0, 0, 2)


def rendered(report: Report, symbols: bool = True) -> RenderableType:
    """Lay out a report; without `symbols`, in plain ASCII."""
    return Group(*_parts(report, symbols))


def _parts(report: Report, symbols: bool) -> Iterator[RenderableType]:
    yield _head(report, symbols)
    for number, finding in enumerate(report.findings, start=1):
        yield Text("")
        yield from _finding(report, finding, number)
    if report.checks:
        yield Text("")
        yield Padding(_checks(report, symbols), INDENT)
    known = [row for row in report.rows if row.expected is not None]
    if known:
        yield Text("")
        yield Padding(_numbers(known, symbols), INDENT)
    if report.reference is not None:
        yield Text("")
        yield Padding(Text(f"Expected numbers: {report.reference}", style="dim"), INDENT)


def _head(report: Report, symbols: bool) -> Panel:
    colour = COLOURS[report.verdict]
    if report.error is None:
        last = Text(f"expected: {report.model}, answering {SAID[report.scale]}", style="dim")
    else:
        last = Text(report.error, style="default")
    verdict = Text(_verdict(report), style=f"bold {colour}")
    lines = [verdict, Text(report.endpoint, overflow="fold"), last]
    if report.verdict == "unknown" and report.error is None:
        lines.append(Text(ADVICE, style="default"))
    shape = box.ROUNDED if symbols else box.ASCII
    return Panel(Group(*lines), title="zelo doctor", title_align="left", box=shape, style=colour)


def _verdict(report: Report) -> str:
    if report.verdict == "correct":
        return f"CORRECT  max deviation {report.deviation}"
    if report.verdict == "wrong":
        titles = dict.fromkeys(finding.title for finding in report.findings)
        return f"WRONG  {', and '.join(titles)}"
    return "CANNOT TELL"


def _finding(report: Report, finding: Finding, number: int) -> Iterator[RenderableType]:
    fix = report.fix(finding)
    count = f"{number}. " if len(report.findings) > 1 else ""
    yield Text(f"{count}{finding.title}", style="bold red")
    for label, text in (
        ("What", MISTAKES[finding.mistake].what),
        ("Seen", f"{finding.evidence}."),
        ("Fix", fix.text),
    ):
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=4, style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(label, Text(text))
        yield Padding(grid, INDENT)
    if fix.code:
        yield Text("")
        yield Padding(Text(fix.code, style="cyan", overflow="fold"), (0, 0, 0, 4))


def _checks(report: Report, symbols: bool) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in report.checks:
        mark, plain, colour = MARKS[check.outcome]
        table.add_row(
            Text(mark if symbols else plain, style=f"bold {colour}"),
            Text(check.name),
            Text(check.text),
        )
    return table


def _numbers(rows: list[Row], symbols: bool) -> Table:
    shape = box.SIMPLE_HEAD if symbols else box.ASCII2
    table = Table(box=shape, show_edge=False, pad_edge=False, expand=True)
    table.add_column("query", no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column("document", no_wrap=True, overflow="ellipsis", ratio=3)
    for name in ("expected", "got", "off"):
        table.add_column(name, justify="right", no_wrap=True, min_width=7)
    query = None
    for row in rows:
        shown = "" if row.query == query else row.query
        query = row.query
        expected = row.expected or 0.0
        table.add_row(
            Text(shown),
            Text(row.document, style="dim"),
            _number(expected),
            Text(_number(row.got), style="bold"),
            _difference(row.got - expected),
        )
    return table


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"


def _difference(value: float) -> str:
    shown = f"{value:+.3f}"
    return "0.000" if float(shown) == 0 else shown
