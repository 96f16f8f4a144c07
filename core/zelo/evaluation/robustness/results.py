"""What was measured, query by query, and its summary over queries. No model, no texts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any, NamedTuple

from zelo.evaluation.robustness.attacks import Kind, Place
from zelo.evaluation.significance import intervals

__all__ = ["AttackOutcome", "Placed", "PositionOutcome", "RobustnessReport", "Spread", "Trial"]


class Spread(NamedTuple):
    """How a number is spread over queries."""

    mean: float
    low: float
    high: float
    """Bootstrap interval of the mean, 95 %."""
    median: float

    @classmethod
    def of(cls, values: Sequence[float], seed: int) -> "Spread":
        """Summarise one value per query; the same for the same seed."""
        [(low, high)] = intervals([values], seed=seed)
        return cls(fmean(values), low, high, float(median(values)))


class Placed(NamedTuple):
    """A document's score, and where that puts it among the query's other candidates."""

    logit: float
    probability: float
    above: int
    """How many other candidates rank above it; 0 is the top."""
    truncated: bool = False
    """Its end was not read."""


class Trial(NamedTuple):
    """One altered document of one query, beside what it was before."""

    query_id: str
    doc_id: str
    candidates: int
    """How many others it is ranked among."""
    before: Placed
    """The document as it is: unaltered, or the passage alone."""
    control: Placed
    """With as many neutral characters instead of the attack; of a position, as `before`."""
    after: Placed

    @property
    def lift(self) -> float:
        """What the alteration does to the logit, beyond what its control does."""
        return self.after.logit - self.control.logit

    @property
    def climb(self) -> int:
        """Places won against the document as it is; negative when it sinks."""
        return self.before.above - self.after.above

    @property
    def control_climb(self) -> int:
        """Places that the control wins."""
        return self.before.above - self.control.above


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Trials of one kind, one per query."""

    reading: str
    """How the document was given to the model, one of the report's readings."""
    trials: tuple[Trial, ...]

    def lift(self, seed: int) -> Spread:
        """The lift over queries."""
        return Spread.of([trial.lift for trial in self.trials], seed)

    def climb(self, seed: int) -> Spread:
        """The places won over queries."""
        return Spread.of([trial.climb for trial in self.trials], seed)

    def probability(self, seed: int) -> Spread:
        """The change of the probability of relevance, beyond the control's."""
        changes = [t.after.probability - t.control.probability for t in self.trials]
        return Spread.of(changes, seed)

    def median_climb(self) -> float:
        """The median of the places won."""
        return float(median(trial.climb for trial in self.trials))

    def median_control_climb(self) -> float:
        """The median of the places that the control wins."""
        return float(median(trial.control_climb for trial in self.trials))

    def median_above(self) -> float:
        """The median of how many candidates rank above the altered document."""
        return float(median(trial.after.above for trial in self.trials))

    def median_above_before(self) -> float:
        """The same of the document as it is."""
        return float(median(trial.before.above for trial in self.trials))

    def top(self, k: int) -> float:
        """The share of queries in which it is among the best k."""
        return fmean(trial.after.above < k for trial in self.trials)

    def top_before(self, k: int) -> float:
        """The share of queries in which the document as it is was among the best k."""
        return fmean(trial.before.above < k for trial in self.trials)

    def truncated(self) -> float:
        """The share of altered documents whose end was not read."""
        return fmean(trial.after.truncated for trial in self.trials)

    def numbers(self, seed: int) -> dict[str, Any]:
        """Return the summary as JSON."""
        return {
            "queries": len(self.trials),
            "lift": self.lift(seed)._asdict(),
            "probability_change": self.probability(seed)._asdict(),
            "climb": self.climb(seed)._asdict(),
            "median_control_climb": self.median_control_climb(),
            "median_above": self.median_above(),
            "top_1": self.top(1),
            "top_10": self.top(10),
            "top_1_before": self.top_before(1),
            "top_10_before": self.top_before(10),
            "truncated": self.truncated(),
        }


@dataclass(frozen=True, slots=True)
class AttackOutcome(_Outcome):
    """What one attack did to irrelevant documents."""

    attack: str
    kind: Kind
    place: Place


@dataclass(frozen=True, slots=True)
class PositionOutcome(_Outcome):
    """What became of relevant passages inside long documents."""

    characters: int
    """Length of the long document."""
    depth: float
    """Where the passage stands in it, from 0 (start) to 1 (end)."""


@dataclass(frozen=True, slots=True)
class RobustnessReport:
    """How robust one reranker is on one collection."""

    collection: str
    reranker: str
    first_stage: str
    queries: int
    """How many queries were asked for candidates; trials may be fewer, see `left_out`."""
    depth: int
    seed: int
    left_out: Mapping[str, int]
    """How many queries gave no trial, by the reason."""
    readings: Mapping[str, str]
    """What each reading is, by the name that outcomes give it."""
    attacks: tuple[AttackOutcome, ...]
    positions: tuple[PositionOutcome, ...]

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON: settings, summaries, and each trial behind them."""
        about = {
            name: getattr(self, name)
            for name in ("collection", "reranker", "first_stage", "queries", "depth", "seed")
        }
        return about | {
            "left_out": dict(self.left_out),
            "readings": dict(self.readings),
            "attacks": _listed(self.attacks, self.seed),
            "positions": _listed(self.positions, self.seed),
        }


def _listed(outcomes: Sequence[_Outcome], seed: int) -> list[dict[str, Any]]:
    return [
        asdict(outcome)
        | outcome.numbers(seed)
        | {"trials": [_plain(trial) for trial in outcome.trials]}
        for outcome in outcomes
    ]


def _plain(trial: Trial) -> dict[str, Any]:
    parts = {name: getattr(trial, name)._asdict() for name in ("before", "control", "after")}
    return trial._asdict() | parts
