"""How well a pairwise model and its teachers foretell the ensemble, on pairs it did not learn from.

A teacher is part of the ensemble, so against that it looks better than it is. Against the mean of
the other teachers it does not; the student is then measured against the same mean, on the same
pairs, and their difference is what tells whether it beats that teacher. Knows nothing of models.

Every figure is the mean over queries of the mean over their pairs; a pair across two queries counts
for that of its first document.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from zelo.evaluation.significance import Interval, intervals
from zelo.training.judging import mean
from zelo.training.pairwise.material import Comparison
from zelo.training.pairwise.scoring import Asked

__all__ = ["Lead", "Standing", "Standings", "Teacher", "standings"]

SURE = 0.99
"""The most that a vote counts for in the cross-entropy, and 0.01 the least: a judge that says 0 or
1 would else be infinitely wrong at its first error. Ours."""


class Standing(NamedTuple):
    """How a voter foretells others."""

    pairs: int
    """On which both say something."""
    accuracy: float | None
    """Share of the pairs that it decides as the others do; its tie is half of one. Pairs on which
    the others tie do not count. None without any."""
    cross_entropy: float | None
    """Mean of -(y log p + (1 - y) log(1 - p)), of its p against the others' y, in nats."""


class Lead(NamedTuple):
    """By how much the student's accuracy is above a teacher's, on the same pairs."""

    mean: float
    interval: Interval
    """At 95 %, by bootstrap over queries."""
    queries: int


@dataclass(frozen=True, slots=True)
class Teacher:
    """A judge, whose votes the student learned from."""

    ensemble: Standing
    """Against the mean of all, itself included."""
    others: Standing
    """Against the mean of the others; of no pairs where there are none."""
    student: Standing
    """The student's, against the same on the same pairs."""
    lead: Lead | None
    """None where fewer than two queries have a pair that the others decide."""


@dataclass(frozen=True, slots=True)
class Standings:
    """The student and its teachers."""

    student: Standing
    """Against the ensemble, each pair asked in both orders."""
    one_order: Standing
    """The same, each pair asked only in the order in which it was given."""
    turned: float | None
    """Share of the pairs on which the student prefers another document in the other order."""
    floor: float | None
    """Cross-entropy of the ensemble with itself: the least that is possible."""
    teachers: Mapping[str, Teacher]
    """By name."""
    weakest: str | None
    """The teacher of the lowest accuracy against the others; None where no teacher has others."""
    beats_weakest: bool | None
    """Whether the student surely does: the interval of its lead is above 0."""


def standings(
    comparisons: Sequence[Comparison], asked: Sequence[Asked], teachers: Iterable[str]
) -> Standings:
    """Compare the student's answers and the teachers' votes on held-out pairs."""
    both = _Tally(), _Tally()
    changes, floor = _Means(), _Means()
    for one, answer in zip(comparisons, asked, strict=True):
        query, ensemble = one.pair.first.query, one.preference
        both[0].add(query, answer.preference, ensemble)
        both[1].add(query, answer.kept, ensemble)
        changes.add(query, float((answer.kept > 0.5) != (answer.turned < 0.5)))
        floor.add(query, cross_entropy(ensemble, ensemble))
    found = {name: _teacher(name, comparisons, asked) for name in teachers}
    known = {name: one.others.accuracy for name, one in found.items()}
    weakest = min(
        (name for name in known if known[name] is not None),
        key=lambda name: known[name] or 0.0,
        default=None,
    )
    lead = found[weakest].lead if weakest is not None else None
    return Standings(
        both[0].standing(),
        both[1].standing(),
        changes.mean(),
        floor.mean(),
        found,
        weakest,
        None if lead is None else lead.interval.low > 0,
    )


def accuracy(preference: float, wanted: float) -> float | None:
    """1 if a preference decides as is wanted, 0.5 if it ties; None where nothing is wanted."""
    if wanted == 0.5:
        return None
    if preference == 0.5:
        return 0.5
    return float((preference > 0.5) == (wanted > 0.5))


def cross_entropy(preference: float, wanted: float) -> float:
    """Of a preference against what is wanted, in nats; one beyond `SURE` counts as that."""
    p = min(max(preference, 1 - SURE), SURE)
    return -(wanted * math.log(p) + (1 - wanted) * math.log1p(-p))


def _teacher(name: str, comparisons: Sequence[Comparison], asked: Sequence[Asked]) -> Teacher:
    ensemble, own, student = _Tally(), _Tally(), _Tally()
    lead = _Means()
    for one, answer in zip(comparisons, asked, strict=True):
        query, vote = one.pair.first.query, one.votes.get(name)
        if vote is None:
            continue
        ensemble.add(query, vote, one.preference)
        others = mean([given for other, given in one.votes.items() if other != name])
        if others is None:
            continue
        own.add(query, vote, others)
        student.add(query, answer.preference, others)
        mine, its = accuracy(answer.preference, others), accuracy(vote, others)
        if mine is not None and its is not None:
            lead.add(query, mine - its)
    return Teacher(ensemble.standing(), own.standing(), student.standing(), _lead(lead))


def _lead(differences: "_Means") -> Lead | None:
    values = differences.values()
    if len(values) < 2:  # one query says nothing of how others would differ
        return None
    (interval,) = intervals([values])
    return Lead(math.fsum(values) / len(values), interval, len(values))


class _Means:
    """Means by query."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}

    def add(self, query: str, value: float | None) -> None:
        if value is not None:
            self._sums.setdefault(query, []).append(value)

    def values(self) -> list[float]:
        return [math.fsum(values) / len(values) for values in self._sums.values()]

    def mean(self) -> float | None:
        values = self.values()
        return math.fsum(values) / len(values) if values else None


class _Tally:
    """What makes a `Standing`."""

    def __init__(self) -> None:
        self._pairs = 0
        self._accuracy, self._cross_entropy = _Means(), _Means()

    def add(self, query: str, preference: float, wanted: float) -> None:
        self._pairs += 1
        self._accuracy.add(query, accuracy(preference, wanted))
        self._cross_entropy.add(query, cross_entropy(preference, wanted))

    def standing(self) -> Standing:
        return Standing(self._pairs, self._accuracy.mean(), self._cross_entropy.mean())
