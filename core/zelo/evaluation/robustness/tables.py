"""What a report says, as tables of plain text: titles, numbers, and each table's meaning."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from zelo.evaluation.reporting.grids import Entry, Grid, Head
from zelo.evaluation.robustness.attacks import ATTACKS, PLACES, Kind, Place
from zelo.evaluation.robustness.results import AttackOutcome, PositionOutcome, RobustnessReport

__all__ = ["Sheet", "about", "notes", "sheets"]

TITLES: dict[Place, str] = {
    "after": "Attacks appended to an irrelevant document",
    "before": "Attacks put before an irrelevant document",
}
KINDS: tuple[Kind, ...] = ("control tokens", "plain text")


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table with what must be known to read it."""

    grid: Grid
    legend: str
    """What the columns are."""
    meaning: str
    """What the numbers say, in a sentence."""


def about(report: RobustnessReport) -> str:
    """Return what was done, in a line."""
    return (
        f"{report.reranker} on {report.collection}: {report.queries} queries, up to "
        f"{report.depth} candidates of {report.first_stage}, seed {report.seed}"
    )


def notes(report: RobustnessReport) -> list[str]:
    """Return what each reading is, what each attack adds, and what was left out."""
    tried = {outcome.attack for outcome in report.attacks}
    readings = [f"{name}: {meaning}" for name, meaning in report.readings.items()]
    attacks = [
        f"{one.name} ({one.kind}): {one.what}" + (f" [{one.source}]" if one.source else "")
        for one in ATTACKS
        if one.name in tried
    ]
    left_out = [
        f"left out of {report.queries} queries: {n}, {reason}"
        for reason, n in report.left_out.items()
    ]
    return readings + attacks + left_out


def sheets(report: RobustnessReport) -> list[Sheet]:
    """Return the tables that the report has numbers for."""
    of_places = [[one for one in report.attacks if one.place == place] for place in PLACES]
    found = [_attacks(outcomes, report.seed) for outcomes in of_places if outcomes]
    return found + ([_losses(report), _ranks(report)] if report.positions else [])


def _attacks(outcomes: list[AttackOutcome], seed: int) -> Sheet:
    """Lay out the attacks of one place, the readings side by side."""
    readings = _distinct(one.reading for one in outcomes)
    heads = [Head(what, of) for what in ("lift", "climb", "top 10 / 1") for of in readings]
    heads.insert(2 * len(readings), Head("climb", "control", aside=True))
    first = outcomes[0]
    before = [_shares(first.top_before(10), first.top_before(1))] * len(readings)
    rows = [("(nothing added)", *[""] * (2 * len(readings) + 1), *before)]
    for attack in _distinct(one.attack for one in outcomes):
        of_attack = [one for one in outcomes if one.attack == attack]
        lifts = [one.lift(seed) for one in of_attack]
        rows.append(
            (
                attack,
                *(f"{lift.mean:+.2f} ±{(lift.high - lift.low) / 2:.2f}" for lift in lifts),
                *(_signed(one.median_climb()) for one in of_attack),
                _signed(of_attack[0].median_control_climb()),
                *(_shares(one.top(10), one.top(1)) for one in of_attack),
            )
        )
    legend = (
        f"{len(first.trials)} queries. lift: change of the logit beyond that of as many neutral "
        "characters, mean and half of its 95 % interval; climb: places won among the query's other "
        "candidates, median; top 10 / 1: share of queries in which it is among the best 10, or "
        "the best"
    )
    grid = _grid(TITLES[first.place], (Head("attack"), *heads), rows)
    return Sheet(grid, legend, _strongest(outcomes, readings))


def _strongest(outcomes: list[AttackOutcome], readings: Sequence[str]) -> str:
    """Say how far the best attack of each kind climbs in each reading."""
    parts = []
    for kind in KINDS:
        said = []
        for reading in readings:
            tried = [one for one in outcomes if (one.kind, one.reading) == (kind, reading)]
            best = max(tried, key=AttackOutcome.median_climb)
            won = best.median_climb()
            said.append(f"{reading} {_signed(won)}" + (f" ({best.attack})" if won > 0 else ""))
        parts.append(f"by {kind}: {', '.join(said)}")
    return (
        f"The most places won in the median, {'; '.join(parts)}. What is said in plain text means "
        "the same in every encoding."
    )


def _losses(report: RobustnessReport) -> Sheet:
    legend = (
        "change of the logit against the passage alone, mean, by where in the document it stands; "
        "length: in characters; read: share of the documents that were read to their end"
    )
    worst = [
        f"{min(one.lift(report.seed).mean for one in of):+.2f} {reading}"
        for reading, of in _longest(report).items()
    ]
    title = "A relevant passage in a long document: its score"
    rows = _by_depth(report, lambda one: f"{one.lift(report.seed).mean:+.2f}")
    return Sheet(
        _grid(title, _heads(report), rows),
        legend,
        f"At its worst place in the longest documents the logit changes by {', '.join(worst)}.",
    )


def _ranks(report: RobustnessReport) -> Sheet:
    longest = _longest(report)
    alone = [f"{of[0].median_above_before():g} {reading}" for reading, of in longest.items()]
    hidden = []
    for reading, of in longest.items():
        above = [one.median_above() for one in of]
        hidden.append(f"{min(above):g} to {max(above):g} {reading}")
    title = "A relevant passage in a long document: its rivals"
    rows = _by_depth(report, lambda one: f"{one.median_above():g}")
    return Sheet(
        _grid(title, _heads(report), rows),
        "how many candidates that are not judged relevant rank above it, median",
        f"Above the passage alone: {', '.join(alone)}; above the longest documents, by its place: "
        f"{', '.join(hidden)}.",
    )


def _grid(title: str, heads: Sequence[Head], rows: Iterable[Sequence[str]]) -> Grid:
    return Grid(title, tuple(heads), tuple(tuple(map(Entry, row)) for row in rows))


def _heads(report: RobustnessReport) -> list[Head]:
    depths = _distinct(f"at {one.depth:.0%}" for one in report.positions)
    return [Head(name) for name in ("length", "reading", "queries", *depths, "read")]


def _by_depth(
    report: RobustnessReport, shown: Callable[[PositionOutcome], str]
) -> tuple[tuple[str, ...], ...]:
    """Return a row per length and reading, with one number per depth."""
    rows: dict[tuple[int, str], list[PositionOutcome]] = {}
    for one in report.positions:
        rows.setdefault((one.characters, one.reading), []).append(one)
    return tuple(
        (
            f"{length:,}",
            reading,
            f"{len(of[0].trials)}",
            *map(shown, of),
            f"{1 - sum(one.truncated() for one in of) / len(of):.0%}",
        )
        for (length, reading), of in rows.items()
    )


def _longest(report: RobustnessReport) -> dict[str, list[PositionOutcome]]:
    """Return the outcomes in the longest documents, by reading."""
    length = max(one.characters for one in report.positions)
    found: dict[str, list[PositionOutcome]] = {}
    for one in report.positions:
        if one.characters == length:
            found.setdefault(one.reading, []).append(one)
    return found


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _shares(of_ten: float, of_one: float) -> str:
    return f"{of_ten:.0%} / {of_one:.0%}"


def _signed(number: float) -> str:
    return f"{number:+g}" if number else "0"
