"""From scores to a ranking: the order, and which part of it is returned."""

from collections.abc import Sequence
from typing import SupportsIndex

from zelo._common.checks import fraction, positive
from zelo.results import RankedDocument
from zelo.scoring import Scored
from zelo.scoring.batch import BLANK

__all__ = ["Cutoff"]


class Cutoff:
    """Which part of a ranking is returned."""

    def __init__(self, top_n: SupportsIndex | None, min_score: float | None) -> None:
        self._top_n = positive("top_n", top_n)
        least = 0.0 if min_score is None else min_score
        self._min_score = fraction("min_score", least, "it is a probability")

    def ranking(self, documents: Sequence[str], scored: Sequence[Scored]) -> list[RankedDocument]:
        """Order by logit, which tells apart what the probability rounds to one number."""
        order = sorted(range(len(scored)), key=lambda i: -scored[i].logit)  # stable
        ranking = [
            RankedDocument(
                index=i,
                score=scored[i].probability,
                document=documents[i],
                logit=scored[i].logit,
                truncated=scored[i].truncated,
                empty=scored[i] is BLANK,
                tokens=scored[i].tokens,
                source=scored[i].source,
            )
            for i in order
        ]
        return self.kept(ranking)

    def kept(self, ranking: Sequence[RankedDocument]) -> list[RankedDocument]:
        """Return the wanted part of a whole ranking."""
        likely = [ranked for ranked in ranking if ranked.score >= self._min_score]
        return likely[: self._top_n]
