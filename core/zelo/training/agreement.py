"""How judges voted, how far they agree with each other, and with relevance judgements.

Counts only, so that millions of votes take no memory.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from zelo.training.judges.judge import Pair

__all__ = ["Agreement", "Poll", "Share"]

ENSEMBLE = "ensemble"
"""The mean of the judges that voted, among the voters."""

FIRST, TIE, SECOND = "first", "tie", "second"


class Share(NamedTuple):
    """How one judge, or the ensemble, voted."""

    votes: int
    missing: int
    ties: int
    judged: int
    """Votes on pairs of documents of different grades; one without a judgement has grade 0."""
    right: float | None
    """Share of these that prefer the higher grade, a tie being half of one; None without any."""


class Agreement(NamedTuple):
    """How far two judges agree, on the pairs that both voted on."""

    judges: tuple[str, str]
    pairs: int
    equal: float | None
    """Share on which both prefer the same document, or both neither."""
    kappa: float | None
    """Cohen's kappa of these: 0 for what two judges with their habits agree on by chance, 1 for
    agreement throughout; None where each gave one same vote throughout, so that it is undefined."""


class Poll:
    """Counts votes of judges as they come in."""

    def __init__(self, judges: Sequence[str]) -> None:
        self._voters = [*judges, ENSEMBLE]
        self._sides: dict[str, Counter[str]] = {name: Counter() for name in self._voters}
        self._right: dict[str, list[float]] = {name: [0, 0.0] for name in self._voters}
        self._both: dict[tuple[str, str], Counter[tuple[str, str]]] = {
            both: Counter() for both in combinations(judges, 2)
        }

    def add(
        self,
        pairs: Sequence[Pair],
        votes: Mapping[str, Sequence[float | None]],
        means: Sequence[float | None],
    ) -> None:
        """Count the votes on pairs."""
        every = {**votes, ENSEMBLE: means}
        for name, values in every.items():
            self._sides[name].update(map(_side, values))
            for pair, value in zip(pairs, values, strict=True):
                self._compare(name, pair, value)
        for one, other in self._both:
            sides = zip(map(_side, votes[one]), map(_side, votes[other]), strict=True)
            self._both[one, other].update(both for both in sides if "" not in both)

    def share(self, name: str = ENSEMBLE) -> Share:
        """Return how a judge voted; without a name, the ensemble."""
        sides = self._sides[name]
        judged, right = self._right[name]
        votes = sides.total() - sides[""]
        return Share(votes, sides[""], sides[TIE], int(judged), right / judged if judged else None)

    def agreement(self) -> Iterator[Agreement]:
        """Yield how far every two judges agree."""
        for both, table in self._both.items():
            yield _agreement(both, table)

    def _compare(self, name: str, pair: Pair, value: float | None) -> None:
        first, second = (max(side.grade or 0.0, 0.0) for side in pair)
        if value is None or first == second:
            return
        self._right[name][0] += 1
        side = _side(value)
        wanted = FIRST if first > second else SECOND
        self._right[name][1] += 0.5 if side == TIE else float(side == wanted)


def _side(value: float | None) -> str:
    """Which document a vote is for; nothing where there is none."""
    if value is None:
        return ""
    return TIE if value == 0.5 else FIRST if value > 0.5 else SECOND


def _agreement(both: tuple[str, str], table: Counter[tuple[str, str]]) -> Agreement:
    """J. Cohen, "A coefficient of agreement for nominal scales", 1960."""
    count = table.total()
    if not count:
        return Agreement(both, 0, None, None)
    equal = sum(table[side, side] for side in (FIRST, TIE, SECOND))
    expected = sum(_row(table, 0, side) * _row(table, 1, side) for side in (FIRST, TIE, SECOND))
    chance = count * count - expected  # whole numbers: 0 is 0
    kappa = (equal * count - expected) / chance if chance else None
    return Agreement(both, count, equal / count, kappa)


def _row(table: Mapping[tuple[str, str], int], place: int, side: str) -> int:
    counts: Iterable[int] = (n for sides, n in table.items() if sides[place] == side)
    return sum(counts)
