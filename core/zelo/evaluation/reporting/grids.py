"""What the tables of a report say, cell by cell. Knows no terminal, no Markdown and no width."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from zelo.evaluation.figures import Calibration, Cell, Cost, Summary, Threshold

__all__ = ["Entry", "Grid", "Head", "Mark", "by_first_stage", "grids", "intervals", "notes"]

Mark = Literal["", "better", "worse"]
"""Than the baseline, significantly."""
AVERAGE = "average"
NOTHING = "-"


class Entry(NamedTuple):
    """A cell: its text, and how it stands out."""

    text: str
    best: bool = False
    mark: Mark = ""


class Head(NamedTuple):
    """A column's name."""

    text: str
    under: str = ""
    """What stands below it on a second line: a recall's measure, or `+` and the reranker."""
    aside: bool = False
    """No competitor's figures: the first stage's recall, or an oracle's."""

    @property
    def name(self) -> str:
        """The whole name on one line."""
        joint = "" if self.under.startswith("+") else " "
        return joint.join(filter(None, (self.text, self.under)))


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of which the first column says what each row is about."""

    title: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Entry, ...], ...]
    total: bool = False
    """Whether the last row is the average of those above it."""


def grids(summary: Summary) -> Iterator[Grid]:
    """Yield the tables of a report: quality, the other measures, costs, calibration."""
    yield quality(summary)
    if len(summary.measures) > 1:
        yield other_measures(summary)
    if summary.costs:
        yield costs(summary)
    if summary.calibration:
        yield calibration(summary)


def quality(summary: Summary) -> Grid:
    """The main measure: collections as rows, systems as columns, each first stage's recall."""
    measure = summary.measures[0]
    heads = [Head("collection"), Head("queries"), Head("documents"), *_system_heads(summary)]
    rows = [_collection(summary, name) for name in summary.collections]
    several = len(rows) > 1
    if several:
        rows.append(_average_row(summary))
    title = f"{measure}, top {summary.depth} of each first stage"
    return Grid(title, tuple(heads), tuple(rows), total=several)


def intervals(summary: Summary) -> Grid:
    """The 95 % bootstrap intervals of the main measure, laid out as `quality` is."""
    measure = summary.measures[0]
    systems = _ordered(summary)
    rows = [
        (Entry(name), *(_interval(summary.cells[name, system, measure]) for system in systems))
        for name in summary.collections
    ]
    heads = (Head("collection"), *(_system_head(summary, system) for system in systems))
    return Grid(f"{measure}, 95% bootstrap intervals", heads, tuple(rows))


def other_measures(summary: Summary) -> Grid:
    """The measures beside the main one, averaged over collections."""
    systems = _ordered(summary)
    rows = []
    for measure in summary.measures[1:]:
        values = {system: summary.averages[system, measure] for system in systems}
        rows.append((Entry(measure), *_by_system(summary, values).values()))
    heads = (Head("measure"), *(_system_head(summary, system) for system in systems))
    average = ", average over collections" if len(summary.collections) > 1 else ""
    return Grid(f"Other measures{average}", heads, tuple(rows))


def costs(summary: Summary) -> Grid:
    """What each reranker took. Columns in which no reranker has anything are left out."""
    columns = {
        "reranker": [*summary.costs],
        "queries": [f"{cost.queries:,}" for cost in summary.costs.values()],
        "documents": [f"{cost.documents:,}" for cost in summary.costs.values()],
        "documents/s": [f"{cost.documents_per_second:,.1f}" for cost in summary.costs.values()],
        "median s": [_seconds(cost.median_s) for cost in summary.costs.values()],
        "p95 s": [_seconds(cost.p95_s) for cost in summary.costs.values()],
        "tokens in": [_count(cost.input_tokens) for cost in summary.costs.values()],
        "tokens out": [_count(cost.output_tokens) for cost in summary.costs.values()],
        "malformed": [_malformed(cost) for cost in summary.costs.values()],
        "USD/1000 queries": [_price(cost.usd_per_1000_queries) for cost in summary.costs.values()],
    }
    shown = {name: cells for name, cells in columns.items() if set(cells) != {NOTHING}}
    rows = zip(*(map(Entry, cells) for cells in shown.values()), strict=True)
    title = f"Rerankers, with seconds per query of {summary.depth} candidates"
    return Grid(title, tuple(map(Head, shown)), tuple(rows))


def calibration(summary: Summary) -> Grid:
    """How far each system's probabilities can be trusted, and from which `min_score` on."""
    wanted = [threshold.wanted_precision for threshold in _thresholds(summary)]
    heads = [Head("system"), Head("candidates"), Head("relevant"), Head("ECE"), Head("Brier")]
    heads += [Head("min_score", f"for P {precision:g}") for precision in wanted]
    rows = [(Entry(name), *_calibrated(found)) for name, found in summary.calibration.items()]
    return Grid("Calibration of probabilities", tuple(heads), tuple(rows))


def notes(summary: Summary, better: str, worse: str) -> list[str]:
    """Return what a reader must know of the tables, a sentence or two for each subject."""
    tested = [system for system in summary.systems if system not in summary.oracles]
    said = [
        "Bold: the best of its row, oracles apart. Each first stage's "
        f"R@{summary.depth} stands before its systems: what it missed, no reranking can rank."
    ]
    if len(tested) > 1:
        said.append(
            f"{better} {worse}: better, worse than the baseline {summary.baseline}, "
            f"p < {summary.significance:g} in a two-sided paired randomisation test over queries, "
            "Holm-corrected over this table."
        )
    said.append("Intervals, in files and charts: 95%, by bootstrap over queries.")
    if summary.oracles:
        said.append("An oracle saw the judgements: it is the ceiling, neither bold nor tested.")
    if len(summary.collections) > 1:
        said.append("The average weighs every collection the same; it is not tested.")
    if any(cost.output_tokens for cost in summary.costs.values()):
        said.append("malformed: answers that were no order of the documents shown.")
    if summary.calibration:
        said.append(
            "ECE: expected calibration error. min_score: the lowest that keeps documents of that "
            "precision P; in brackets the share of the relevant candidates that it keeps. Unjudged "
            "candidates count as not relevant: sparse judgements make probabilities look too high."
        )
    return said


def by_first_stage(summary: Summary) -> dict[str, list[str]]:
    """Return the systems of each first stage, both in the order in which they were asked for."""
    found: dict[str, list[str]] = {}
    for system in summary.systems:
        found.setdefault(summary.first_stages[system], []).append(system)
    return found


def _ordered(summary: Summary) -> list[str]:
    return [system for systems in by_first_stage(summary).values() for system in systems]


def _system_heads(summary: Summary) -> Iterator[Head]:
    for stage, systems in by_first_stage(summary).items():
        yield Head(stage, f"R@{summary.depth}", aside=True)
        for system in systems:
            yield _system_head(summary, system)


def _system_head(summary: Summary, system: str) -> Head:
    stage = summary.first_stages[system]
    aside = system in summary.oracles
    if system.startswith(f"{stage}+"):
        return Head(stage, system.removeprefix(stage), aside)
    return Head(system, aside=aside)


def _collection(summary: Summary, name: str) -> tuple[Entry, ...]:
    measure = summary.measures[0]
    cells = {system: summary.cells[name, system, measure] for system in summary.systems}
    numbers = _by_system(summary, {system: cell.mean for system, cell in cells.items()})
    counts = (f"{summary.queries[name]:,}", f"{summary.documents[name]:,}")
    row = [Entry(name), *map(Entry, counts)]
    for stage, systems in by_first_stage(summary).items():
        row.append(Entry(f"{summary.recall[name, stage]:.4f}"))
        row += [numbers[s]._replace(mark=_mark(summary, cells[s])) for s in systems]
    return tuple(row)


def _average_row(summary: Summary) -> tuple[Entry, ...]:
    measure = summary.measures[0]
    means = {system: summary.averages[system, measure] for system in summary.systems}
    numbers = _by_system(summary, means)
    row = [Entry(AVERAGE), Entry(""), Entry("")]
    for stage, systems in by_first_stage(summary).items():
        recalls = [summary.recall[name, stage] for name in summary.collections]
        row.append(Entry(f"{sum(recalls) / len(recalls):.4f}"))
        row += [numbers[system] for system in systems]
    return tuple(row)


def _by_system(summary: Summary, values: dict[str, float]) -> dict[str, Entry]:
    """Write the numbers of a row. What looks the same as the best is as good as the best."""
    shown = {system: f"{value:.4f}" for system, value in values.items()}
    rivals = [shown[system] for system in shown if system not in summary.oracles]
    best = max(rivals, key=float) if len(rivals) > 1 else None
    return {
        system: Entry(text, best=text == best and system not in summary.oracles)
        for system, text in shown.items()
    }


def _mark(summary: Summary, cell: Cell) -> Mark:
    if cell.p_value is None or cell.difference is None or cell.p_value >= summary.significance:
        return ""
    return "better" if cell.difference > 0 else "worse"


def _interval(cell: Cell) -> Entry:
    return Entry(f"{cell.low:.3f} to {cell.high:.3f}")


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _count(value: int) -> str:
    return f"{value:,}" if value else NOTHING


def _malformed(cost: Cost) -> str:
    # Only what writes tokens can write them wrongly; a zero is worth showing there.
    written = cost.output_tokens or cost.malformed
    return f"{cost.malformed:,} of {cost.requests:,}" if written else NOTHING


def _price(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.2f}" if value >= 1 else f"{value:.3g}"


def _thresholds(summary: Summary) -> Sequence[Threshold]:
    return next(iter(summary.calibration.values())).thresholds


def _calibrated(found: Calibration) -> Iterator[Entry]:
    yield Entry(f"{found.documents:,}")
    yield Entry(f"{found.relevant:,}")
    yield Entry(f"{found.error:.4f}")
    yield Entry(f"{found.brier:.4f}")
    for threshold in found.thresholds:
        yield Entry(_threshold(threshold))


def _threshold(threshold: Threshold) -> str:
    if threshold.min_score is None:
        return "none"
    return f"{threshold.min_score:.3f} ({threshold.recall:.0%})"
