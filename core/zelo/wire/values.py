"""What every dialect says in its own words: a call, a reply, a scale."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from zelo.scoring.families import Family

__all__ = ["SCALES", "RerankCall", "RerankReply", "Result", "Scale", "finite", "from_scale"]

Scale = Literal["probability", "logit", "logit/5"]
"""What a server's scores are: zelo's probability, the model's raw output, or a fifth of that."""
SCALES: tuple[Scale, ...] = get_args(Scale)


SMALLEST, LARGEST = math.ulp(0.0), 1.0 - math.ulp(0.5)
"""The probabilities next to 0 and to 1 in float64."""
LARGEST_FLOAT32 = 3.4028234663852886e38


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankCall:
    """A query with its candidates, as a client asks and a server is asked."""

    query: str
    documents: tuple[str, ...]
    model: str | None = None
    top_n: int | None = None
    """How many results are wanted; None for all."""
    instruction: str | None = None
    max_document_tokens: int | None = None
    truncate: bool = True
    """Cut a document that is too long; otherwise, refuse the call."""
    return_documents: bool = False
    raw: bool = False
    """Answer with logits instead of probabilities, where the dialect can say so."""


@dataclass(frozen=True, slots=True)
class Result:
    """One document's score in a reply."""

    index: int
    """Position in the call's documents."""
    probability: float
    logit: float
    """Minus infinity for a blank document, which no model has seen."""
    truncated: bool = False

    def value(self, raw: bool) -> float:
        """Return the logit or the probability; of a blank document, a logit that JSON can hold."""
        if not raw:
            return self.probability
        return self.logit if math.isfinite(self.logit) else -LARGEST_FLOAT32


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankReply:
    """What a server found, from which each dialect writes its answer."""

    id: str
    model: str
    results: list[Result]
    """Best first, no more than the call's `top_n`."""
    documents: tuple[str, ...]
    """The call's documents, for dialects that return texts."""
    tokens: int
    """Tokens of all prompts, each with its query and frame."""
    total_bytes: int
    """Sum over documents of 150 + bytes of query + bytes of document, as the vendor counted."""
    inference_s: float
    e2e_s: float


def from_scale(value: float, scale: Scale, family: Family | None) -> tuple[float, float]:
    """Return (logit, probability) of a score that a server sent on a stated scale.

    A probability that has saturated at 0 or 1 gets the logit of the nearest number that has one.
    Of a model of unknown family, the logit is the log-odds of the probability.

    Raises:
        ValueError: a probability lies outside [0, 1], or a logit's family is unknown.
    """
    if scale == "probability":
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{value} is no probability")
        inside = min(max(value, SMALLEST), LARGEST)
        log_odds = math.log(inside) - math.log1p(-inside)
        return log_odds * (1.0 if family is None else family.scale), value
    if family is None:
        raise ValueError("what a logit means depends on the model's family")
    logit = value if scale == "logit" else 5.0 * value
    return logit, family.probability(logit)


def finite(logit: float) -> float | None:
    """Return a logit as JSON can hold it: null for the minus infinity of a blank document."""
    return logit if math.isfinite(logit) else None
