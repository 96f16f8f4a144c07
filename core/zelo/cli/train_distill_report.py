"""What `zelo train distill` tells: what was learned, and how the student stands to its teachers."""

import dataclasses
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zelo.untrusted import printable

if TYPE_CHECKING:  # these bring torch
    from zelo.training.pairwise.distill import Distilled
    from zelo.training.pairwise.standing import Lead, Standings, Teacher

__all__ = ["as_json", "rendered"]

FORMAT = 1


def as_json(found: "Distilled") -> dict[str, Any]:
    """Return every figure; `format` changes whenever a key does."""
    learned = found.learned
    return {
        "format": FORMAT,
        **dataclasses.asdict(found.counts),
        "steps": learned.steps,
        "best_step": learned.best_step,
        "tokens": learned.tokens,
        "seconds": learned.seconds,
        "held_out_loss": learned.held_out,
        **({} if found.standings is None else _standings(found.standings)),
    }


def rendered(found: "Distilled", *, symbols: bool) -> RenderableType:
    """Lay it out for people; without `symbols`, in plain ASCII."""
    parts: list[RenderableType] = [_counts(found)]
    if found.standings is not None:
        style = box.SIMPLE_HEAD if symbols else box.ASCII2
        parts += [Text(""), _table(found.standings, style), Text(""), _verdict(found.standings)]
    return Group(*parts)


def _standings(found: "Standings") -> dict[str, Any]:
    return {
        "student": found.student._asdict(),
        "one_order": found.one_order._asdict(),
        "turned": found.turned,
        "floor": found.floor,
        "teachers": [_teacher(name, one) for name, one in found.teachers.items()],
        "weakest": found.weakest,
        "beats_weakest": found.beats_weakest,
    }


def _teacher(name: str, one: "Teacher") -> dict[str, Any]:
    lead = one.lead
    return {
        "teacher": name,
        "ensemble": one.ensemble._asdict(),
        "others": one.others._asdict(),
        "student": one.student._asdict(),
        "lead": lead and {"mean": lead.mean, **lead.interval._asdict(), "queries": lead.queries},
    }


def _counts(found: "Distilled") -> RenderableType:
    counts, learned = found.counts, found.learned
    lines = [
        f"{counts.pairs:,} pairs of {counts.queries:,} queries, in both orders: "
        f"{learned.tokens:,} tokens in {learned.steps:,} steps, {learned.seconds:,.0f} s",
    ]
    if learned.held_out is not None:
        lines.append(
            f"weights of step {learned.best_step:,}: cross-entropy {learned.held_out:.4f} on "
            f"{counts.chosen_by:,} held-out pairs that chose it"
        )
    left_out = {
        "of a document that was cut": counts.truncated,
        "left out, without a preference": counts.without_preference,
        "left out, between queries held out and not": counts.between,
    }
    lines += [f"{count:,} pairs {what}" for what, count in left_out.items() if count]
    return Text("\n".join(lines))


def _table(found: "Standings", style: box.Box) -> Table:
    table = Table(box=style, show_edge=False, pad_edge=False)
    table.add_column("judge", overflow="fold", min_width=12)
    heads = ("accuracy", "cross-entropy", "against the others", "student there", "lead", "95 %")
    for head in heads:
        table.add_column(head, justify="right")
    table.add_row(
        Text("student"), _number(found.student.accuracy), _number(found.student.cross_entropy)
    )
    for name, one in found.teachers.items():
        table.add_row(
            Text(printable(name)),
            _number(one.ensemble.accuracy),
            _number(one.ensemble.cross_entropy),
            _number(one.others.accuracy),
            _number(one.student.accuracy),
            *_lead(one.lead),
        )
    table.add_row(Text("ensemble"), "", _number(found.floor))
    return table


def _verdict(found: "Standings") -> Text:
    weakest = None if found.weakest is None else found.teachers[found.weakest]
    if weakest is None or weakest.lead is None:
        return Text("with one teacher, or none that the others decide, there is no comparison")
    lead, (low, high) = weakest.lead, weakest.lead.interval
    word = "beats" if low > 0 else "is beaten by" if high < 0 else "is not surely better than"
    return Text(
        f"the student {word} its weakest teacher, {printable(found.weakest or '')}: "
        f"{lead.mean:+.3f} [{low:+.3f}, {high:+.3f}] in accuracy against the others, on "
        f"{weakest.others.pairs:,} pairs of {lead.queries:,} queries"
    )


def _lead(lead: "Lead | None") -> tuple[str, str]:
    if lead is None:
        return "-", "-"
    return f"{lead.mean:+.3f}", f"{lead.interval.low:+.3f} {lead.interval.high:+.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
