"""A comparison for people and programs: the queries that changed most, with what moved there."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from zelo._common.terminal import one_line, printable
from zelo.evaluation.comparing import Change, Comparison, Moved
from zelo.evaluation.reporting.records import SHOWN

__all__ = ["as_json", "rendered"]

FORMAT = 1
NAMED = 5  # queries of one file alone that are named
MOST_MOVED = 6  # documents of a query; the relevant ones are shown all
IDS = (20, 32)  # terminal cells, at least and at most; longer ones go on in the next line


def rendered(comparison: Comparison, *, queries: int = 10, symbols: bool = True) -> RenderableType:
    """Lay out a comparison, with at most so many queries; without `symbols`, in plain ASCII."""
    parts: list[RenderableType] = [Text(printable(line)) for line in _head(comparison)]
    parts[0] = Text(printable(_head(comparison)[0]), style="bold")
    for number, change in enumerate(comparison.changes[:queries], start=1):
        colour = "green" if change.difference > 0 else "red"
        title = Text.assemble((f"{number}. "), (_measures(change), colour))
        title.append(f"  {printable(change.query_id)}", style="dim")
        parts += [Text(""), title, Padding(one_line(change.query, "bold"), (0, 0, 0, 3))]
        parts.append(Padding(_table(change, symbols), (0, 0, 0, 3)))
        if rest := _rest(change):
            parts.append(Padding(Text(rest, style="dim"), (0, 0, 0, 3)))
    return Group(*parts)


def as_json(comparison: Comparison, *, queries: int | None = None) -> dict[str, Any]:
    """Return a comparison for programs, with at most so many queries; None gives all."""
    return {
        "format": FORMAT,
        "collection": comparison.collection,
        "measure": comparison.measure,
        "system_a": comparison.system_a,
        "system_b": comparison.system_b,
        "queries": comparison.queries,
        "mean_a": comparison.mean_a,
        "mean_b": comparison.mean_b,
        "difference": comparison.difference,
        "wins": comparison.wins,
        "ties": comparison.ties,
        "losses": comparison.losses,
        "only_a": [*comparison.only_a],
        "only_b": [*comparison.only_b],
        "changes": [
            {
                "query_id": change.query_id,
                "query": change.query,
                "a": change.a,
                "b": change.b,
                "difference": change.difference,
                "moved": [moved._asdict() for moved in change.moved],
            }
            for change in comparison.changes[:queries]
        ],
    }


def _head(comparison: Comparison) -> list[str]:
    lines = [
        f"{comparison.collection}: A is {comparison.system_a}, B is {comparison.system_b}",
        f"{comparison.measure}, mean over {comparison.queries:,} queries: A "
        f"{comparison.mean_a:.4f}, B {comparison.mean_b:.4f}, difference "
        f"{comparison.difference:+.4f}",
        f"B is better on {comparison.wins:,} queries, worse on {comparison.losses:,}, equal on "
        f"{comparison.ties:,}",
    ]
    for name, alone in (("A", comparison.only_a), ("B", comparison.only_b)):
        if alone:
            more = ", ..." if len(alone) > NAMED else ""
            named = ", ".join(alone[:NAMED]) + more
            lines.append(f"{len(alone):,} queries are in {name} alone and count nowhere: {named}")
    return lines


def _measures(change: Change) -> str:
    return f"{change.difference:+.4f} (A {change.a:.4f}, B {change.b:.4f})"


def _table(change: Change, symbols: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD if symbols else box.ASCII2, show_edge=False, pad_edge=False)
    for name in ("A", "B", "grade"):
        table.add_column(name, justify="right", no_wrap=True)
    longest = max((len(printable(moved.doc_id)) for moved in _shown(change)), default=0)
    narrow, wide = IDS
    table.add_column("document", overflow="fold", min_width=min(longest, narrow), max_width=wide)
    table.add_column("text", ratio=1)  # not no_wrap, so this is the one that gives way
    for moved in _shown(change):
        style = "green" if moved.relevant else ""
        table.add_row(
            *(Text(cell, style) for cell in (*_ranks(moved), _grade(moved))),
            Text(printable(moved.doc_id), style),
            one_line(moved.text),
        )
    return table


def _shown(change: Change) -> Sequence[Moved]:
    relevant = sum(moved.relevant for moved in change.moved)
    return change.moved[: max(relevant, MOST_MOVED)]


def _rest(change: Change) -> str:
    rest = len(change.moved) - len(_shown(change))
    return f"and {rest} more that moved, none of them relevant" if rest else ""


def _ranks(moved: Moved) -> Iterator[str]:
    for rank in (moved.rank_a, moved.rank_b):
        if rank is not None:
            yield str(rank)
        else:
            yield "not found" if moved.relevant else f">{SHOWN}"


def _grade(moved: Moved) -> str:
    return "-" if moved.grade is None else f"{moved.grade:g}"
