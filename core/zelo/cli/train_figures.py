"""What a stage of training tells when it is done: its figures, as a table or as JSON."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from rich.table import Table
from rich.text import Text

from zelo.cli.render import json_line, out
from zelo.untrusted import printable

__all__ = ["counted", "show"]

Record = TypeVar("Record")
EVERY = 100  # records between two words about progress


def show(figures: Mapping[str, int | float | str | None], *, as_json: bool) -> None:
    """Print figures by name; on a terminal an underscore is a space, and None is a dash."""
    if as_json:
        json_line(dict(figures))
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), Text(_text(value)))
    out().print(table)


def counted(records: Iterable[Record], tell: Callable[[str], None], what: str) -> Iterator[Record]:
    """Pass records on, and tell now and then how many there were."""
    for number, record in enumerate(records, start=1):
        if number % EVERY == 1:
            tell(f"{what}: {number:,}")
        yield record


def _text(value: int | float | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return printable(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
