"""A reranker as a judge."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zelo.evaluation.rerankers import Pointwise
from zelo.evaluation.systems import Case
from zelo.reranker import Reranker
from zelo.training.judges.judge import PointwiseJudge, PointwiseScores

__all__ = ["RerankerJudge", "log_odds"]

SMALLEST = 2.0**-53
"""Probabilities nearer to 0 or 1 than this count as this: float64 can say no nearer of 1."""


class RerankerJudge(PointwiseJudge):
    """A `zelo.Reranker`, local or remote: the document with the higher probability is better.

    Scores are the log-odds of its probabilities. With p and p' the probabilities that each is
    relevant, independently, the first is the relevant one if just one is with probability
    p(1 - p') / (p(1 - p') + p'(1 - p)), which is the sigmoid of the difference of the log-odds:
    hence the scale of 1. Ours; the paper's judges are chat models. A model whose probabilities are
    too cautious wants a smaller one: on three training sets of 50 queries each, zelo-nano has the
    highest likelihood at scales from 0.09 to 0.11.

    Args:
        reranker: closed by `release`.
        name: default, its model's name.
        scale: see `PointwiseJudge`, in log-odds.
        concurrency: queries under way at once; default, 1 in this process, 4 on a server.
    """

    def __init__(
        self,
        reranker: Reranker,
        name: str | None = None,
        *,
        scale: float = 1.0,
        concurrency: int | None = None,
    ) -> None:
        self._pointwise = Pointwise(reranker, name, concurrency=concurrency, owned=True)
        super().__init__(self._pointwise.name, scale)
        self.concurrency = self._pointwise.concurrency
        self.metered = "base_url" in reranker.settings

    @property
    def identity(self) -> Mapping[str, Any]:
        """The settings that its scores depend on; not the scale, which is applied to them."""
        return self._pointwise.identity

    def prepare(self) -> None:
        """Load the model."""
        self._pointwise.prepare()

    async def score(self, query: str, documents: Sequence[str]) -> PointwiseScores:
        """Return log-odds of relevance."""
        texts = tuple(documents)
        doc_ids = tuple(map(str, range(len(texts))))
        found = await self._pointwise.reorder(Case("", "", query, doc_ids, texts))
        values = {one.place: log_odds(one.probability or 0.0) for one in found.ordered}
        ordered = [values[place] for place in range(len(texts))]
        return PointwiseScores(ordered, found.input_tokens, found.requests)

    def release(self) -> None:
        """Give the model back."""
        self._pointwise.release()


def log_odds(probability: float) -> float:
    """Return log(p / (1 - p)), finite at both ends, where two that are as near to it tie."""
    p = min(max(probability, SMALLEST), 1 - SMALLEST)
    return math.log(p) - math.log1p(-p)
