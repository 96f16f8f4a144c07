"""What `zelo train distill` tells: what was learned, and how the student stands to its teachers."""

import dataclasses
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zelo._common.terminal import printable
from zelo.cli.train_figures import UNTRAINED

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
        tried = f"Against the ensemble, on {found.counts.tried_on:,} further held-out pairs"
        parts += [Text(""), Text(tried), _by_the_ensemble(found.standings, style)]
        others = "Accuracy against the other judges, on the same pairs"
        parts += [Text(""), Text(others), _by_others(found.standings, style)]
        parts += [Text(""), _verdict(found.standings)]
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
        before = learned.points[0].held_out
        then = "" if before is None else f"{before:.4f} before training, "
        lines.append(
            f"cross-entropy against the ensemble on the {counts.chosen_by:,} held-out pairs that "
            f"chose the weights: {then}{learned.held_out:.4f} with those of step "
            f"{learned.best_step:,}"
        )
    if learned.best_step == 0:
        lines.append(UNTRAINED)
    left_out = {
        "of a document that was cut": counts.truncated,
        "left out, without a preference": counts.without_preference,
        "left out, between queries held out and not": counts.between,
    }
    lines += [f"{count:,} pairs {what}" for what, count in left_out.items() if count]
    return Text("\n".join(lines))


def _by_the_ensemble(found: "Standings", style: box.Box) -> Table:
    """How each foretells the ensemble, on pairs that chose nothing."""
    table = _table(("accuracy", "cross-entropy"), style)
    table.add_row(
        Text("student"), _number(found.student.accuracy), _number(found.student.cross_entropy)
    )
    for name, one in found.teachers.items():
        table.add_row(
            Text(printable(name)),
            _number(one.ensemble.accuracy),
            _number(one.ensemble.cross_entropy),
        )
    table.add_row(Text("ensemble"), "", _number(found.floor))
    return table


def _by_others(found: "Standings", style: box.Box) -> Table:
    """How each judge foretells the others, and the student the same."""
    table = _table(("judge's", "student's", "lead", "95 %"), style)
    for name, one in found.teachers.items():
        table.add_row(
            Text(printable(name)),
            _number(one.others.accuracy),
            _number(one.student.accuracy),
            *_lead(one.lead),
        )
    return table


def _table(heads: tuple[str, ...], style: box.Box) -> Table:
    """Make a table by judge that shows all of its figures at 80 columns: names are folded."""
    table = Table(box=style, show_edge=False, pad_edge=False)
    table.add_column("judge", overflow="fold", min_width=12)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
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
