"""What the tables of a run's report say, for the terminal and for Markdown alike."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zelo.evaluation.reporting.grids import Entry, Grid, Head, Mark
from zelo.training.pipeline.durations import duration
from zelo.training.pipeline.report import ENSEMBLE, Report

if TYPE_CHECKING:
    from zelo.training.pipeline.running import Plan

__all__ = ["details", "overview", "planned_judges", "planned_stages", "stages_of"]

NOTHING = "-"
Figures = Mapping[str, Any]


def overview(report: Report) -> Iterator[Grid]:
    """Yield what everybody wants to see first: quality before and after, and the judges."""
    summary = report["stages"].get("evaluate", {}).get("summary")
    if summary is not None:
        yield _quality(summary)
    if report["judges"]:
        yield _judges(report)


def details(report: Report) -> Iterator[Grid]:
    """Yield the rest: how far judges agree, how distilling and training went."""
    for name in ENSEMBLE:
        agreement = report["stages"].get(name, {}).get("agreement") or []
        if any(one["pairs"] for one in agreement):
            yield _agreement(name, agreement)
    for name in ("distill", "distill-refined"):
        standings = report["stages"].get(name, {}).get("standings")
        if standings:
            yield _standings(name, standings["teachers"])
    yield from _training(report)


def stages_of(report: Report) -> Grid:
    """The stages with what they came to, and what they took."""
    rows = [
        (Entry(name), Entry(_told(name, stage)), Entry(duration(stage["seconds"])))
        for name, stage in report["stages"].items()
    ]
    rows += [(Entry(name), Entry("to do"), Entry(NOTHING)) for name in report["to_do"]]
    rows.append((Entry("all"), Entry(""), Entry(duration(report["seconds"]))))
    heads = tuple(map(Head, ("stage", "what it came to", "time")))
    return Grid("Stages", heads, tuple(rows), total=True)


def planned_stages(plan: "Plan") -> Grid:
    """The stages with what is still to be done."""
    rows = [
        (
            Entry(one.stage),
            Entry("done" if one.done else "to do"),
            Entry(", ".join(f"{count:,} {what}" for what, count in one.amount.items())),
        )
        for one in plan.stages
    ]
    return Grid("Plan", tuple(map(Head, ("stage", "state", "at most"))), tuple(rows))


def planned_judges(plan: "Plan") -> Grid:
    """What the judges have said already, and what the rest costs."""
    rows = [
        (
            Entry(one.judge),
            *(Entry(f"{count:,}") for count in (one.votes, one.stored)),
            *(Entry(_usd(usd)) for usd in (one.spent_usd, one.to_come_usd)),
        )
        for one in plan.judges
    ]
    title = "Judges: their votes at most, those stored already, and USD"
    heads = ("judge", "votes", "stored", "USD spent", "USD to come, about")
    return Grid(title, tuple(map(Head, heads)), tuple(rows))


def _quality(summary: Figures) -> Grid:
    measure, systems = summary["measures"][0], [one["system"] for one in summary["systems"]]
    cells = {
        (one["collection"], one["system"]): one
        for one in summary["cells"]
        if one["measure"] == measure
    }
    rows = [
        (Entry(name), *_row(summary, [cells[name, system] for system in systems]))
        for name in (one["collection"] for one in summary["collections"])
    ]
    several = len(rows) > 1
    if several:
        means = {one["system"]: one for one in summary["averages"] if one["measure"] == measure}
        rows.append((Entry("average"), *_row(summary, [means[system] for system in systems])))
    title = f"{measure}, marked where it is better or worse than {summary['baseline']}"
    return Grid(title, (Head("collection"), *map(Head, systems)), tuple(rows), total=several)


def _row(summary: Figures, cells: Sequence[Figures]) -> Iterator[Entry]:
    texts = [f"{cell['mean']:.4f}" for cell in cells]
    oracles = [system["oracle"] for system in summary["systems"]]
    rivals = [text for text, oracle in zip(texts, oracles, strict=True) if not oracle]
    best = max(rivals, key=float)
    for cell, text, oracle in zip(cells, texts, oracles, strict=True):
        mark: Mark = ""
        if cell.get("p_value") is not None and cell["p_value"] < summary["significance"]:
            mark = "better" if cell["difference"] > 0 else "worse"
        yield Entry(text, best=text == best and not oracle, mark=mark)


def _judges(report: Report) -> Grid:
    within = report["stages"].get("judge", {})
    shares = {one["judge"]: one for one in within.get("judges", ())}
    rows = [
        (
            Entry(one["judge"]),
            *map(Entry, _voted(shares.get(one["judge"], {}))),
            Entry(f"{one['malformed']:,}"),
            Entry(f"{one['input_tokens'] + one['output_tokens']:,}"),
            Entry(_usd(one["usd"])),
            Entry(f"{one['seconds']:,.1f}"),
        )
        for one in report["judges"]
    ]
    if "ensemble" in within:
        rows.append((Entry("ensemble"), *map(Entry, _voted(within["ensemble"])), *_nothing(4)))
    heads = ("judge", "votes", "missing", "ties", "right", "malformed", "tokens", "USD", "s")
    title = "Judges: their votes within queries, and what all their votes took"
    return Grid(title, tuple(map(Head, heads)), tuple(rows))


def _nothing(count: int) -> list[Entry]:
    return [Entry(NOTHING)] * count


def _voted(share: Figures) -> list[str]:
    if not share:
        return [NOTHING] * 4
    counts = [f"{share[name]:,}" for name in ("votes", "missing", "ties")]
    return [*counts, _number(share["right"])]


def _agreement(stage: str, agreement: list[Figures]) -> Grid:
    rows = [
        (
            Entry(" and ".join(one["judges"])),
            Entry(f"{one['pairs']:,}"),
            Entry(_number(one["equal"])),
            Entry(_number(one["kappa"])),
        )
        for one in agreement
    ]
    heads = map(Head, ("judges", "pairs", "equal", "kappa"))
    return Grid(f"Agreement in {stage}", tuple(heads), tuple(rows))


def _standings(stage: str, teachers: Mapping[str, Figures]) -> Grid:
    rows = [
        (
            Entry(name),
            Entry(f"{one['others']['pairs']:,}"),
            Entry(_number(one["others"]["accuracy"])),
            Entry(_number(one["student"]["accuracy"])),
        )
        for name, one in teachers.items()
    ]
    heads = map(Head, ("teacher", "held-out pairs", "its accuracy", "the student's"))
    title = f"Each teacher in {stage}, and the student on the same pairs, against the others' mean"
    return Grid(title, tuple(heads), tuple(rows))


def _training(report: Report) -> Iterator[Grid]:
    rows = []
    for name in ("pointwise", "pointwise-refined"):
        found = report["stages"].get(name, {})
        if "learned" not in found:
            continue
        before, after = found["before"] or {}, found["after"] or {}
        rows.append(
            (
                Entry(name),
                Entry(f"{found['queries']:,}"),
                Entry(f"{found['learned']['steps']:,}"),
                Entry(f"{found['learned']['best_step']:,}"),
                Entry(f"{found['learned']['tokens']:,}"),
                *(Entry(_number(one.get("loss"))) for one in (before, after)),
                *(Entry(_number(one.get("tau"))) for one in (before, after)),
            )
        )
    if rows:
        heads = [Head(h) for h in ("training", "queries", "steps", "best step", "tokens")]
        heads += [Head("held-out loss", "before"), Head("held-out loss", "after")]
        heads += [Head("tau", "before"), Head("tau", "after")]
        yield Grid(
            "Training, with the held-out queries before and after", tuple(heads), tuple(rows)
        )


def _told(name: str, stage: Figures) -> str:
    return TOLD[name if name in TOLD else name.removesuffix("-refined")](stage)


def _pairs(stage: Figures) -> str:
    diameter = stage["diameter_max"]
    return (
        f"{stage['pairs']:,} pairs, {stage['degree_min']} to {stage['degree_max']} of a document, "
        + (f"diameter {diameter}" if diameter is not None else "not all connected")
    )


def _fitted(stage: Figures) -> str:
    left_out = stage["queries_left_out"]
    return (
        f"{stage['queries']:,} queries, loss {stage['loss']:.3f}, "
        f"{stage['converged_share']:.0%} converged"
        + (f", {left_out:,} left out as not connected" if left_out else "")
    )


def _calibrated(stage: Figures) -> str:
    offsets = "offsets 0"
    if stage.get("offset_min") is not None:
        offsets = f"offsets {stage['offset_min']:.2f} to {stage['offset_max']:.2f}"
    return f"{offsets}, curve by {stage['curve']}"


def _trained(stage: Figures) -> str:
    if "learned" not in stage:
        return "the same targets, so the same model"
    steps = f"{stage['learned']['steps']:,} steps"
    if not stage["before"]:
        return steps
    loss, tau = (
        " to ".join(_number(stage[when][what]) for when in ("before", "after"))
        for what in ("loss", "tau")
    )
    return f"{steps}, held-out loss {loss}, tau {tau}"


TOLD: dict[str, Callable[[Figures], str]] = {
    "candidates": lambda s: f"{s['queries']:,} queries, {s['documents']:,} documents",
    "pairs": _pairs,
    "judge": lambda s: f"{s['pairs']:,} pairs",
    "distill": lambda s: f"{s['learned']['steps']:,} steps",
    "judge-distilled": lambda s: f"{s['pairs']:,} pairs",
    "fit": _fitted,
    "across": lambda s: f"{s['pairs']:,} pairs",
    "judge-across": lambda s: f"{s['pairs']:,} pairs",
    "calibrate": _calibrated,
    "pointwise": _trained,
    "refine": lambda s: (
        f"{s['failures']:,} of {s['queries']:,} queries fail, {s['pairs']:,} new pairs"
    ),
    "merge": lambda s: f"{s['pairs']:,} pairs in all",
    "evaluate": lambda s: f"{len(s['summary']['systems'])} systems",
}


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _usd(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.4f}"
