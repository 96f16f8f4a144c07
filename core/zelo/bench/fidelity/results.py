"""What a measurement of fidelity found, as values, and the rule by which it is called safe.

No model, no screen.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal, NamedTuple

__all__ = [
    "CUTOFF",
    "LARGEST_LOSS",
    "MEASURE",
    "RULE",
    "Agreement",
    "Deviation",
    "FidelityReport",
    "Variant",
    "VariantResult",
    "Verdict",
]

CUTOFF = 10
MEASURE = f"nDCG@{CUTOFF}"
LARGEST_LOSS = 0.002
"""Of nDCG@10, on the mean over the judged collections."""
RULE = (
    f"safe where the mean of {MEASURE} over the judged collections falls by {LARGEST_LOSS} at most"
)
FEW_QUERIES = 300
"""Judged queries below which a verdict rests on one or two of them: a single relevant document that
falls from the first place to the third moves the mean of 250 by the whole of what is allowed."""

Verdict = Literal["safe", "not safe", "not judged"]


class Deviation(NamedTuple):
    """How far a raw logit was from that in float32, and where."""

    value: float
    collection: str
    query_id: str
    doc_id: str


class Variant(NamedTuple):
    """A way to compute."""

    name: str
    """As it was asked for: of a quantisation, or of a number type."""
    dtype: str
    """What is not quantised computes in it."""
    quantization: str | None
    weights_bytes: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """One variant against float32 on one collection."""

    collection: str
    queries: int
    pairs: int
    largest: Deviation
    median_deviation: float
    """Of raw logits, over all pairs."""
    spread: float
    """Standard deviation of the logits in float32, which deviations are to be seen against."""
    top_overlap: float
    """Share of the first ten in float32 that are among the variant's first ten, mean of queries."""
    tau: float
    """Kendall's, mean of queries: 1 for the same order, 0 for one that has nothing to do with it;
    a pair that either side scores alike counts 0."""
    ndcg_float32: float | None
    ndcg: float | None
    """nDCG@10, mean of queries; None where nothing is judged."""

    @property
    def ndcg_change(self) -> float | None:
        """How much better the variant is."""
        if self.ndcg is None or self.ndcg_float32 is None:
            return None
        return self.ndcg - self.ndcg_float32


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One variant against float32 on all collections."""

    variant: Variant
    agreements: tuple[Agreement, ...]

    @property
    def ndcg_change(self) -> float | None:
        """Mean over the judged collections; None without one."""
        changes = [a.ndcg_change for a in self.agreements if a.ndcg_change is not None]
        return fmean(changes) if changes else None

    @property
    def judged_queries(self) -> int:
        """How many queries that mean rests on."""
        return sum(a.queries for a in self.agreements if a.ndcg is not None)

    @property
    def largest(self) -> Deviation:
        """The largest deviation of a raw logit."""
        return max(agreement.largest for agreement in self.agreements)

    @property
    def verdict(self) -> Verdict:
        """By `RULE`."""
        change = self.ndcg_change
        if change is None:
            return "not judged"
        # a loss of exactly the limit is one of its size but for the rounding of a difference
        within = change >= -LARGEST_LOSS or math.isclose(change, -LARGEST_LOSS)
        return "safe" if within else "not safe"


@dataclass(frozen=True, slots=True)
class FidelityReport:
    """A whole measurement."""

    model: str
    device: str
    depth: int
    """Candidates of a query, at most: BM25's best."""
    float32: Variant
    results: tuple[VariantResult, ...]
    refused: dict[str, str]
    """Variants that this device cannot run, and why; only where none were asked for by name."""

    @property
    def few_queries(self) -> bool:
        """Whether a verdict rests on too few queries to be relied on."""
        return any(0 < result.judged_queries < FEW_QUERIES for result in self.results)

    def as_json(self) -> dict[str, Any]:
        """Return plain values, with what the properties say written out."""
        return {
            "model": self.model,
            "device": self.device,
            "depth": self.depth,
            "rule": RULE,
            "largest_loss": LARGEST_LOSS,
            "few_queries": self.few_queries,
            "float32": self.float32._asdict(),
            "variants": [_variant(result) for result in self.results],
            "refused": self.refused,
        }


def _variant(result: VariantResult) -> dict[str, Any]:
    return result.variant._asdict() | {
        "verdict": result.verdict,
        "ndcg_change": result.ndcg_change,
        "judged_queries": result.judged_queries,
        "largest": result.largest._asdict(),
        "collections": list(_agreements(result.agreements)),
    }


def _agreements(agreements: Iterable[Agreement]) -> Iterable[dict[str, Any]]:
    for agreement in agreements:
        yield asdict(agreement) | {
            "largest": agreement.largest._asdict(),
            "ndcg_change": agreement.ndcg_change,
        }
