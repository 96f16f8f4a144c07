"""What a stage of training tells when it is done: its figures, as a table or as JSON."""

from collections.abc import Callable, Mapping

from rich.table import Table
from rich.text import Text

from zelo._common.terminal import printable
from zelo.cli.render import json_line, out

__all__ = ["UNTRAINED", "reading", "show"]

UNTRAINED = "training made it no better; these are the untrained weights"


def show(figures: Mapping[str, int | float | str | None], *, as_json: bool) -> None:
    """Print figures by name; on a terminal an underscore is a space, and None is a dash."""
    if as_json:
        json_line(dict(figures))
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), Text(_text(value)))
    out().print(table)


def reading(tell: Callable[[str], None]) -> Callable[[str, int], None]:
    """Return what tells of a file that is read, and of how many records so far."""
    return lambda what, count: tell(f"{what}: {count:,}")


def _text(value: int | float | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return printable(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
