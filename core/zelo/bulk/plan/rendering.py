"""A plan for people: the answer first, then how it comes about, then what it assumes."""

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from zelo._common.terminal import one_line
from zelo.bulk.plan.cards import Card
from zelo.bulk.plan.planned import Plan

__all__ = ["rendered"]


def rendered(plan: Plan) -> RenderableType:
    """Lay out a plan for a console."""
    parts: list[RenderableType] = [Text(_head(plan), style="bold"), _table(_answer(plan))]
    if plan.fits is False:
        parts.append(Text(_too_large(plan) + "\n", style="red"))
    parts += [Text("How it comes about"), _table(_arithmetic(plan)), Text("What it assumes")]
    return Group(*parts, _list(plan.assumptions))


def _head(plan: Plan) -> str:
    work = plan.workload
    where = f"on {plan.on.name}" if isinstance(plan.on, Card) else "at a measured speed"
    return f"{one_line(plan.shape.name)} {where}: {work.pairs:,} pairs"


def _answer(plan: Plan) -> Iterable[tuple[str, str]]:
    unit, hours = ("card", "GPU-hours") if isinstance(plan.on, Card) else ("machine", "hours")
    if plan.hours is not None:
        yield hours, _figure(plan.hours)
        yield "pairs/s", f"{_figure(plan.pairs_per_second or 0)} by one {unit}"
    if plan.cost is not None:
        yield "cost", f"{_figure(plan.cost)} at {plan.price:g} an hour"
    if plan.cards is not None:
        yield f"{unit}s", f"{plan.cards:,} to be done in {plan.deadline_hours:g} hours"
    yield "memory", _memory(plan)


def _memory(plan: Plan) -> str:
    memory = plan.memory
    weights = ", ".join(f"{size / 1e9:.3g} in {name}" for name, size in memory.weights.items())
    if not isinstance(plan.on, Card):
        return f"weights {weights} (GB)"
    return (
        f"{memory.needed / 1e9:.3g} of {plan.on.memory_gb:g} GB: weights {weights}; workspace "
        f"{memory.workspace / 1e9:.2g}, reserve {memory.reserve / 1e9:.2g}"
    )


def _too_large(plan: Plan) -> str:
    return (
        f"Does not fit: {plan.memory.needed / 1e9:.3g} GB are needed in bfloat16. Take a larger "
        "card, a smaller model, or a smaller --max-batch-tokens."
    )


def _arithmetic(plan: Plan) -> Iterable[tuple[str, str]]:
    work, tokens, each = plan.workload, plan.tokens, plan.operations
    texts = f"{work.query_tokens} of the query"
    if work.instruction_tokens:
        texts += f", {work.instruction_tokens} of the instruction"
    yield "shared tokens", f"{tokens.prefix:,} ({texts}, {plan.frame.shared} of the frame)"
    yield (
        "own tokens",
        f"{tokens.own:,} ({work.document_tokens:,} of the document, {plan.frame.own} of the frame)",
    )
    passes = "1 pass" if tokens.packs == 1 else f"{tokens.packs} passes"
    yield (
        "a query",
        (
            f"{tokens.unique:,} tokens: {tokens.documents} x {tokens.own:,} and {passes} x "
            f"{tokens.prefix:,}; {1 - tokens.unique / tokens.unshared:.0%} saved by sharing"
        ),
    )
    yield "in all", f"{_power(plan.unique_tokens)} tokens, {_power(plan.flop)} FLOP"
    share = each.attention / each.total
    yield "a pair", (f"{_power(each.total / tokens.documents)} FLOP, {share:.1%} of them attention")
    if isinstance(plan.on, Card) and plan.share is not None:
        reached = plan.share * plan.on.tflops
        yield "speed", f"{reached:.3g} TFLOP/s = {plan.share:.0%} of {plan.on.tflops:,.4g}"


def _table(rows: Iterable[tuple[str, str]]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True, min_width=14)
    table.add_column()
    for name, value in rows:
        table.add_row(name, Text(value))
    return Padding(table, (0, 0, 1, 2))


def _list(texts: Iterable[str]) -> RenderableType:
    points = Table.grid(padding=(0, 1))
    for text in texts:
        points.add_row("-", Text(text))
    return Padding(points, (0, 0, 0, 2))


def _figure(value: float) -> str:
    """Write three digits where there are no more before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _power(value: float) -> str:
    """Write as a power of ten."""
    digits, _, exponent = f"{value:.2e}".partition("e")
    return f"{digits} x 10^{int(exponent)}"
