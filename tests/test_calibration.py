"""Calibration figures, by hand and by law; thresholds by applying them as `min_score=` does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelo.evaluation.calibration import Judged, calibrate, judged
from zelo.evaluation.figures import Bin, Threshold
from zelo.evaluation.results import Ranked, SystemRun
from zelo.scoring import Scored
from zelo.scoring.ranking import Cutoff

PROBABILITIES = st.one_of(st.floats(0, 1), st.integers(0, 20).map(lambda steps: steps / 20))
CANDIDATES = st.lists(st.tuples(PROBABILITIES, st.booleans()), min_size=1, max_size=40)


def pooled(candidates, queries=1):
    """Candidates given as (probability, relevant)."""
    probabilities, relevant = zip(*candidates, strict=True)
    return Judged(np.array(probabilities, dtype=float), np.array(relevant, dtype=bool), queries)


def run(rankings):
    """A system's run, rankings given as {query: {document: probability}}."""
    return SystemRun(
        "bm25+model",
        "bm25",
        "model",
        {
            query_id: tuple(
                Ranked(doc_id, -rank, found[doc_id]) for rank, doc_id in enumerate(found)
            )
            for query_id, found in rankings.items()
        },
    )


BY_HAND = ((0.95, True), (0.91, True), (0.62, False), (0.6, True), (0.05, False))


def test_bins_by_hand():
    """Two of two relevant at .93, one of two at .61, none at .05; seven bins are empty, so absent.

    ECE = (2 * .07 + 2 * .11 + 1 * .05) / 5 = .082.
    """
    found = calibrate(pooled(BY_HAND))
    assert found.bins == (
        Bin(0.0, 0.1, 1, 0.05, 0.0),
        Bin(0.6, 0.7, 2, pytest.approx(0.61), 0.5),
        Bin(0.9, 1.0, 2, pytest.approx(0.93), 1.0),
    )
    assert found.error == pytest.approx(0.082)
    assert (found.documents, found.relevant) == (5, 3)


def test_brier_by_hand():
    """(.05**2 + .09**2 + .62**2 + .4**2 + .05**2) / 5 = .11150."""
    assert calibrate(pooled(BY_HAND)).brier == pytest.approx(0.1115)


def test_histogram_by_hand():
    """Twenty steps of .05: .95 and 1 in the last, .91 in the one before, .05 in the second."""
    found = calibrate(pooled([*BY_HAND, (1.0, False)])).histogram
    assert {place: n for place, n in enumerate(found.relevant) if n} == {12: 1, 18: 1, 19: 1}
    assert {place: n for place, n in enumerate(found.other) if n} == {1: 1, 12: 1, 19: 1}
    assert len(found.relevant) == len(found.other) == 20


def test_thresholds_by_hand():
    """Falling, precision is 1, 1, 2/3, 3/4, 3/5: .9 holds down to .91, .7 down to .6, .5 to .05.

    Two queries, so five documents kept are 2.5 per query.
    """
    found = calibrate(pooled(BY_HAND, queries=2), precisions=(0.5, 0.7, 0.9)).thresholds
    assert found == (
        Threshold(0.5, 0.05, 0.6, 1.0, 2.5),
        Threshold(0.7, 0.6, 0.75, 1.0, 2.0),
        Threshold(0.9, 0.91, 1.0, pytest.approx(2 / 3), 1.0),
    )


def test_unreachable_precision():
    """The best document is not relevant: nothing reaches .9, and nothing is kept."""
    found = calibrate(pooled([(0.9, False), (0.5, True)]), precisions=(0.9,)).thresholds
    assert found == (Threshold(0.9, None, 0.0, 0.0, 0.0),)


def test_nothing_is_relevant():
    """No cut reaches any precision, and all that was claimed is error: here the mean, .5."""
    found = calibrate(pooled([(0.4, False), (0.6, False)]))
    assert found.error == pytest.approx(0.5)
    assert [one.min_score for one in found.thresholds] == [None] * 5


@given(candidates=CANDIDATES, wanted=st.sampled_from([0.3, 0.5, 0.7, 0.9, 1.0]))
def test_threshold_is_what_min_score_keeps(candidates, wanted):
    """`Cutoff`, which is behind `min_score=`, keeps the very documents; no lower score would do."""
    [found] = calibrate(pooled(candidates), precisions=(wanted,)).thresholds

    def precision(min_score):
        scored = [Scored(probability, probability) for probability, _ in candidates]
        kept = Cutoff(None, min_score).ranking([""] * len(scored), scored)
        hits = sum(candidates[one.index][1] for one in kept)
        return hits / len(kept), hits, len(kept)

    lower = [p for p, _ in candidates if found.min_score is None or p < found.min_score]
    assert all(precision(p)[0] < wanted for p in lower)
    if found.min_score is not None:
        reached, hits, kept = precision(found.min_score)
        total = sum(relevant for _, relevant in candidates)
        assert reached >= wanted
        assert found[2:] == (reached, hits / total, kept)


@given(candidates=CANDIDATES)
def test_bins_hold_every_candidate(candidates):
    """Each in the bin whose bounds are shown; bounds such as .3 and .7 belong to the upper one."""
    found = calibrate(pooled(candidates))
    for one in found.bins:
        inside = [
            (p, relevant)
            for p, relevant in candidates
            if one.low <= p < one.high or p == one.high == 1
        ]
        assert one.documents == len(inside)
        assert one.mean_probability == pytest.approx(np.mean([p for p, _ in inside]))
        assert one.observed == pytest.approx(np.mean([relevant for _, relevant in inside]))
    assert sum(one.documents for one in found.bins) == len(candidates)
    assert sum(found.histogram.relevant) == found.relevant
    assert sum(found.histogram.relevant + found.histogram.other) == len(candidates)


def test_pool():
    """Over two collections; unjudged is not relevant, and a query without candidates counts."""
    first = run({"q1": {"a": 0.9, "unjudged": 0.8}, "not evaluated": {"a": 0.1}})
    second = run({"q1": {"b": 0.7, "bad": 0.3}, "nothing found": {}})
    found = judged(
        [
            (first, {"q1": {"a": 1}}),
            (second, {"q1": {"b": 1, "bad": 0}, "nothing found": {"b": 1}}),
        ]
    )
    assert found is not None
    assert found.probabilities.tolist() == [0.9, 0.8, 0.7, 0.3]
    assert found.relevant.tolist() == [True, False, True, False]
    assert found.queries == 3


@pytest.mark.parametrize("rankings", [{"q1": {}}, {"q1": {"a": None}}, {"q1": {"a": 1, "b": None}}])
def test_no_probabilities(rankings):
    """Where a candidate has no probability, or nothing was found, nothing can be said."""
    assert judged([(run(rankings), {"q1": {"a": 1}})]) is None
