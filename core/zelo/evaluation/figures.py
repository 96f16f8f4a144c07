"""The figures of a report: what `summary` computes from an evaluation and every output shows.

Plain values, so that the terminal, Markdown, CSV, JSON and the charts cannot disagree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Bin", "Calibration", "Cell", "Cost", "Histogram", "Summary", "Threshold"]


class Cell(NamedTuple):
    """One measure of one system on one collection."""

    mean: float
    """Over all evaluated queries; a query that the system did not answer counts 0."""
    low: float
    high: float
    """Bootstrap interval of the mean, 95 %."""
    difference: float | None = None
    """Mean minus the baseline's; None for the baseline itself and for oracles."""
    p_value: float | None = None
    """Of that difference: two-sided paired randomisation test, Holm-corrected over all the
    comparisons that the table shows for this measure."""


class Cost(NamedTuple):
    """What a reranker took over all collections; results that were reused count as when made."""

    queries: int
    """Distinct (collection, query) pairs it was asked about."""
    documents: int
    seconds: float
    """Sum over its calls, of the time that each took."""
    documents_per_second: float
    median_s: float | None
    p95_s: float | None
    """Seconds per call, over the calls of the evaluation's whole depth; None without any."""
    depth: int
    """The depth that these calls had."""
    input_tokens: int
    output_tokens: int
    requests: int
    malformed: int
    usd_per_1000_queries: float | None = None
    """At the price that was given, for the whole depth; None without a price."""


class Bin(NamedTuple):
    """One bar of a reliability curve."""

    low: float
    high: float
    """Probabilities from `low` up to, but without, `high`; the last bin includes 1."""
    documents: int
    mean_probability: float
    observed: float
    """Share of the documents that are relevant."""


class Threshold(NamedTuple):
    """The lowest `min_score` whose kept documents are relevant in the wanted share."""

    wanted_precision: float
    min_score: float | None
    """None where no threshold reaches it."""
    precision: float
    recall: float
    """Share of the relevant candidates that it keeps."""
    kept_per_query: float


class Histogram(NamedTuple):
    """How probabilities are spread, in equal steps from 0 to 1."""

    relevant: tuple[int, ...]
    other: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities are what they say, over one reranker's judged candidates.

    Unjudged candidates count as not relevant, as in every measure, so sparse judgements make any
    reranker look overconfident.
    """

    documents: int
    relevant: int
    error: float
    """Expected calibration error: the bins' distance from the diagonal, by their documents."""
    brier: float
    bins: tuple[Bin, ...]
    histogram: Histogram
    thresholds: tuple[Threshold, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Every figure of a report."""

    measures: tuple[str, ...]
    """Names of ir_measures, the main one first."""
    collections: tuple[str, ...]
    systems: tuple[str, ...]
    oracles: frozenset[str]
    """Systems that saw the judgements: ceilings, never bold, never tested."""
    baseline: str
    """The system that the others are tested against."""
    depth: int
    queries: Mapping[str, int]
    """Evaluated queries, by collection."""
    documents: Mapping[str, int]
    """Documents in the corpus, by collection."""
    first_stages: Mapping[str, str]
    """Which first stage a system has, by system."""
    rerankers: Mapping[str, str | None]
    """Which reranker a system has, by system."""
    cells: Mapping[tuple[str, str, str], Cell]
    """By (collection, system, measure)."""
    averages: Mapping[tuple[str, str], float]
    """Unweighted mean over collections, by (system, measure)."""
    recall: Mapping[tuple[str, str], float]
    """Recall at the depth, by (collection, first stage): what it missed, no reranking can rank."""
    costs: Mapping[str, Cost]
    """By reranker."""
    calibration: Mapping[str, Calibration]
    """By system, where its reranker gives probabilities."""
    values: Mapping[tuple[str, str, str], Mapping[str, float]]
    """By (collection, system, measure): the measure of every query."""
    significance: float = 0.05
    """Corrected p-values below this are marked."""
