"""What `zelo train judge` tells: how judges voted, what that took, how far they agree."""

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zelo._common.terminal import printable

if TYPE_CHECKING:  # these bring numpy
    from zelo.training.agreement import Share
    from zelo.training.judging import Judged

__all__ = ["as_json", "rendered"]

FORMAT = 1


def as_json(found: "Judged") -> dict[str, Any]:
    """Return every figure; `format` changes whenever a key does."""
    return {"format": FORMAT, **found.figures()}


def rendered(found: "Judged", *, symbols: bool) -> RenderableType:
    """Lay out how each judge voted and how far they agree; without `symbols`, in plain ASCII."""
    style = box.SIMPLE_HEAD if symbols else box.ASCII2
    parts: list[RenderableType] = [_judges(found, style)]
    if found.agreement:
        parts += [Text(""), _agreement(found, style)]
    return Group(*parts)


def _judges(found: "Judged", style: box.Box) -> Table:
    table = Table(box=style, show_edge=False, pad_edge=False)
    table.add_column("judge", overflow="fold", min_width=12)
    heads = ("votes", "missing", "ties", "right", "malformed", "tokens", "USD", "s")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for name, report in found.judges.items():
        took = report.took
        table.add_row(
            Text(printable(name)),
            *_votes(report.share),
            f"{took.malformed:,}",
            f"{took.input_tokens + took.output_tokens:,}",
            "-" if report.usd is None else f"{report.usd:,.4f}",
            f"{took.seconds:,.1f}",
        )
    table.add_row(Text("ensemble"), *_votes(found.ensemble), *["-"] * 4)
    return table


def _votes(share: "Share") -> list[str]:
    right = "-" if share.right is None else f"{share.right:.3f}"
    return [f"{share.votes:,}", f"{share.missing:,}", f"{share.ties:,}", right]


def _agreement(found: "Judged", style: box.Box) -> Table:
    table = Table(box=style, show_edge=False, pad_edge=False)
    for head in ("judge", "and judge"):
        table.add_column(head, overflow="fold")
    for head in ("pairs", "equal", "kappa"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in found.agreement:
        values = ("-" if value is None else f"{value:.3f}" for value in (one.equal, one.kappa))
        names = (Text(printable(name)) for name in one.judges)
        table.add_row(*names, f"{one.pairs:,}", *values)
    return table
