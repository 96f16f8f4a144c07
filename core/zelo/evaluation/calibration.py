"""Whether probabilities are what they say, and which `min_score` keeps a wanted precision.

Looks at candidates one by one; what was ranked above what is of no interest here. A candidate
without a judgement counts as not relevant, as in every measure.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from zelo.errors import MissingExtraError
from zelo.evaluation.figures import Bin, Calibration, Histogram, Threshold
from zelo.evaluation.relevance import Relevance
from zelo.evaluation.results import SystemRun

try:
    import numpy as np
    from numpy.typing import NDArray
except ImportError as error:
    raise MissingExtraError("evaluation", "eval") from error

__all__ = ["PRECISIONS", "Judged", "calibrate", "judged"]

BINS = 10
STEPS = 20
PRECISIONS = (0.5, 0.7, 0.8, 0.9, 0.95)


class Judged(NamedTuple):
    """Candidates of some queries, one number each."""

    probabilities: NDArray[np.float64]
    relevant: NDArray[np.bool_]
    queries: int
    """Those without any candidate included."""


def judged(runs: Iterable[tuple[SystemRun, Relevance]]) -> Judged | None:
    """Pool the candidates of a system's runs, for the queries in each run's judgements.

    None where there are none, or where one has no probability.
    """
    probabilities: list[float] = []
    relevant: list[bool] = []
    queries = 0
    for run, relevance in runs:
        queries += len(relevance)
        for query_id, grades in relevance.items():
            for document in run.rankings.get(query_id, ()):
                if document.probability is None:
                    return None
                probabilities.append(document.probability)
                relevant.append(grades.get(document.doc_id, 0) > 0)
    if not probabilities:
        return None
    return Judged(np.asarray(probabilities, dtype=np.float64), np.asarray(relevant), queries)


def calibrate(candidates: Judged, *, precisions: Sequence[float] = PRECISIONS) -> Calibration:
    """Compare probabilities with relevance.

    The expected calibration error is that of Naeini, Cooper and Hauskrecht (AAAI 2015), over ten
    bins of equal width; the Brier score is the mean square of probability minus relevance.
    """
    probabilities, relevant = candidates.probabilities, candidates.relevant
    bins = _bins(probabilities, relevant)
    distances = (one.documents * abs(one.mean_probability - one.observed) for one in bins)
    return Calibration(
        documents=len(probabilities),
        relevant=int(relevant.sum()),
        error=sum(distances) / len(probabilities),
        brier=float(np.mean((probabilities - relevant) ** 2)),
        bins=bins,
        histogram=Histogram(_spread(probabilities[relevant]), _spread(probabilities[~relevant])),
        thresholds=_thresholds(candidates, precisions),
    )


def _bins(probabilities: NDArray[np.float64], relevant: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """The bins with a document in them: of an empty one nothing is known, so it is left out."""
    places = _places(probabilities, BINS)
    counts = np.bincount(places, minlength=BINS)
    sums = np.bincount(places, weights=probabilities, minlength=BINS)
    hits = np.bincount(places, weights=relevant, minlength=BINS)
    return tuple(
        Bin(
            low=place / BINS,
            high=(place + 1) / BINS,
            documents=int(counts[place]),
            mean_probability=float(sums[place] / counts[place]),
            observed=float(hits[place] / counts[place]),
        )
        for place in np.flatnonzero(counts).tolist()
    )


def _spread(probabilities: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(np.bincount(_places(probabilities, STEPS), minlength=STEPS).tolist())


def _places(probabilities: NDArray[np.float64], steps: int) -> NDArray[np.intp]:
    """Which of equal steps from 0 to 1 each lies in; compared with the very bounds that are shown.

    Multiplying by the number of steps would round some up into the next.
    """
    inner = np.arange(1, steps) / steps
    return np.searchsorted(inner, probabilities, side="right")


def _thresholds(candidates: Judged, precisions: Sequence[float]) -> tuple[Threshold, ...]:
    """Where no cut reaches a precision, nothing is kept: all figures of that line are 0.

    Every cut is a probability that occurs, so `min_score=` keeps exactly what is counted here.
    """
    scores, places = np.unique(candidates.probabilities, return_inverse=True)
    # from the highest down: what stays when the cut is that score
    kept = np.cumsum(np.bincount(places)[::-1])[::-1]
    hits = np.cumsum(np.bincount(places, weights=candidates.relevant)[::-1])[::-1]
    found = []
    for wanted in precisions:
        enough = np.flatnonzero(hits / kept >= wanted)
        if not len(enough):
            found.append(Threshold(wanted, None, 0.0, 0.0, 0.0))
            continue
        lowest = enough[0]
        precision, recall = hits[lowest] / kept[lowest], hits[lowest] / hits[0]
        per_query = kept[lowest] / candidates.queries
        found.append(
            Threshold(
                wanted, float(scores[lowest]), float(precision), float(recall), float(per_query)
            )
        )
    return tuple(found)
