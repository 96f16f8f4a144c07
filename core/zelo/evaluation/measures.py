"""Effectiveness measures over runs and relevance judgements, and paired significance.

The measures themselves are `ir_measures`'; this module gives them one shape and one error.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from zelo.errors import InputError, MissingExtraError

try:
    import ir_measures
    import numpy as np
    from scipy import stats
except ImportError as error:
    raise MissingExtraError("evaluation", "eval") from error

__all__ = ["PairedTest", "Qrels", "Run", "evaluate", "mean", "paired_test"]

Run = Mapping[str, Mapping[str, float]]
"""Per query id, the score of each ranked document id; higher is better."""
Qrels = Mapping[str, Mapping[str, int]]
"""Per query id, the relevance grade of each judged document id."""


class PairedTest(NamedTuple):
    """Difference between two systems on the same queries."""

    difference: float
    """Mean of the first system minus mean of the second."""
    p_value: float
    """Two-sided, by random sign flips of the per-query differences."""


def evaluate(run: Run, qrels: Qrels, measure: str = "nDCG@10") -> dict[str, float]:
    """Return the measure per query id, for every query that has judgements.

    `measure` is an ir_measures name such as `nDCG@10`, `R@100` or `RR@10`. A judged query that
    the run does not answer counts 0.

    Raises:
        InputError: the measure is unknown, or no query of the run is judged.
    """
    try:
        parsed: Any = ir_measures.parse_measure(measure)
    except (ValueError, NameError, SyntaxError) as error:
        message = f"unknown measure {measure!r}; use an ir_measures name such as nDCG@10 or R@100"
        raise InputError(message) from error
    if not any(query_id in qrels for query_id in run):
        message = "no query of the run has a judgement; check that both use the same query ids"
        raise InputError(message)
    found = ir_measures.iter_calc([parsed], qrels, run)
    values = {str(metric.query_id): float(metric.value) for metric in found}
    return {query_id: values.get(query_id, 0.0) for query_id in qrels}


def mean(values: Mapping[str, float]) -> float:
    """Return the mean over queries."""
    return float(np.mean(list(values.values())))


def paired_test(
    first: Sequence[float], second: Sequence[float], *, resamples: int = 99_999, seed: int = 0
) -> PairedTest:
    """Test two systems' per-query values, in the same query order, by paired randomisation.

    The smallest p that can come out is 1 / (resamples + 1).
    """
    if len(first) != len(second) or not first:
        message = f"{len(first)} and {len(second)} values; a paired test needs the same queries"
        raise InputError(message)
    result = stats.permutation_test(
        (np.asarray(first), np.asarray(second)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=resamples,
        batch=1_000,
        rng=np.random.default_rng(seed),
    )
    return PairedTest(float(result.statistic), float(result.pvalue))
