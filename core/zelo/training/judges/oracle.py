"""Relevance judgements as a judge, as reliable as one likes: for simulations and ablations."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from zelo.errors import InputError
from zelo.training.judges.judge import Pair, PairwiseJudge, Side, Vote

__all__ = ["OracleJudge"]


class OracleJudge(PairwiseJudge):
    """Prefers the document with the higher grade; equal grades tie.

    A document without a judgement counts as not relevant, as in every measure, so that with sparse
    judgements most votes are ties. Each pair has a generator of its own, seeded by its ids and
    their order, so a vote depends neither on other pairs nor on who is asked first.

    Args:
        name: what tables call it.
        noise: probability that a vote is turned around.
        ties: probability that it is a tie, whatever the grades are.
        seed: another one errs on other pairs.

    Raises:
        InputError: a probability is not in [0, 1].
    """

    concurrency = 1

    def __init__(
        self, name: str = "oracle", *, noise: float = 0.0, ties: float = 0.0, seed: int = 0
    ) -> None:
        for option, value in (("noise", noise), ("ties", ties)):
            if not 0 <= value <= 1:
                raise InputError(f"{option}={value!r}; it is a probability, from 0 to 1")
        self.name = name
        self._noise, self._ties, self._seed = noise, ties, seed

    @property
    def identity(self) -> Mapping[str, Any]:
        """Its noise and its seed."""
        return {"oracle": {"noise": self._noise, "ties": self._ties, "seed": self._seed}}

    def content(self, pair: Pair) -> Sequence[Any]:
        """Ids and grades: texts do not matter to it."""
        return [[side.query_id, side.doc_id, _grade(side)] for side in pair]

    async def judge(self, pair: Pair) -> Vote:
        """Compare the grades, and err as often as it is to."""
        ids = [(side.query_id, side.doc_id) for side in pair]
        generator = random.Random(f"{self._seed}/{ids!r}")  # noqa: S311 - reproducible, not secret
        turned, tied = generator.random() < self._noise, generator.random() < self._ties
        first, second = map(_grade, pair)
        if tied or first == second:
            return Vote(0.5)
        return Vote(float((first > second) != turned))


def _grade(side: Side) -> float:
    return max(side.grade or 0.0, 0.0)  # a grade below 0 is not relevant, as one of 0
