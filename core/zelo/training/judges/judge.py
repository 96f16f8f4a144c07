"""What a judge is: shown two documents, each with the query that it is to answer, it prefers one.

A pairwise judge looks at both at once. A pointwise judge scores each document for its query and
compares the scores, so a document that stands in eight pairs is scored once.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from zelo.errors import InputError
from zelo.scoring.families import sigmoid

__all__ = [
    "Judge",
    "Pair",
    "PairwiseJudge",
    "PointwiseJudge",
    "PointwiseScores",
    "Side",
    "Vote",
]


class Side(NamedTuple):
    """A document, and the query that it is to answer."""

    query_id: str
    query: str
    doc_id: str
    document: str
    grade: float | None = None
    """Its judgement for that query, for the oracle alone; None where there is none."""


class Pair(NamedTuple):
    """Two documents in the order in which they are shown, of one query or of two."""

    first: Side
    second: Side

    @property
    def across(self) -> bool:
        """Whether each document answers a query of its own."""
        return self.first.query_id != self.second.query_id


class Vote(NamedTuple):
    """What a judge said of a pair, and what that took."""

    preference: float | None
    """In [0, 1]: 1 if the first document is the better answer to its query, 0 if the second is,
    0.5 for a tie; None where the judge could not say."""
    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    malformed: int = 0
    """Answers that were no preference."""


class PointwiseScores(NamedTuple):
    """What a judge said of a query's documents, and what that took."""

    values: Sequence[float]
    """One finite number per document, in their order; higher is better."""
    input_tokens: int = 0
    requests: int = 0


class _Judge(ABC):
    """What both kinds have in common."""

    name: str
    """What tables and `Preferences.votes` call it."""
    concurrency: int = 1
    """How many questions may be under way at once."""
    metered: bool = False
    """Whether its tokens are counted by a server, and so towards a budget of tokens."""

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """What its answers depend on besides the texts, as JSON: votes are kept under it."""

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Do now what the first question would otherwise wait for."""

    def release(self) -> None:  # noqa: B027 - most hold nothing
        """The last question was asked; free what is held."""


class PairwiseJudge(_Judge):
    """Compares two documents at once."""

    @abstractmethod
    async def judge(self, pair: Pair) -> Vote:
        """Say which document is the better answer.

        Raises:
            ScoringError: it could not be asked; a failure never becomes a vote.
        """

    def content(self, pair: Pair) -> Sequence[Any]:
        """What its vote on a pair depends on, as JSON: the texts, in this order."""
        first, second = pair
        return [first.query, first.document, second.query, second.document, pair.across]


class PointwiseJudge(_Judge):
    """Scores each document on its own; its preference follows from two scores.

    Args:
        name: see `name`.
        scale: the difference of two scores at which the better one is preferred with
            probability 0.73, which is sigmoid(1).

    Raises:
        InputError: the scale is not above 0.
    """

    def __init__(self, name: str, scale: float) -> None:
        self.name = name
        self.rescale(scale)

    def rescale(self, scale: float) -> None:
        """Have another scale, which applies to scores that were kept as well.

        Raises:
            InputError: it is not above 0.
        """
        if not 0 < scale < math.inf:
            raise InputError(f"scale={scale!r} of {self.name}; it must be a finite number above 0")
        self.scale = scale

    @abstractmethod
    async def score(self, query: str, documents: Sequence[str]) -> PointwiseScores:
        """Score documents, none of which is blank, for one query.

        Raises:
            ScoringError: it could not; a failure never becomes a score.
        """

    def preference(self, first: float, second: float) -> float:
        """P(first better than second) of two scores: sigmoid(difference / scale).

        Scores of two queries are compared as they are, which shows how a judge's scores are
        biased by query. Minus infinity is the score of a blank document; two of them tie.
        """
        return 0.5 if first == second else sigmoid((first - second) / self.scale)


Judge: TypeAlias = PairwiseJudge | PointwiseJudge
