"""Ratings made comparable across queries: an offset for each, then a probability for each document.

Ratings add up to 0 for every query, whether its candidates are all good or all bad. Preferences
between documents of different queries tell how far apart the queries are. The vendor writes that
such biases are "estimated and subtracted" and no more; the paper does not say how ratings become
targets in [0, 1]. Everything here is our own choice:

* P((q, d) beats (q', d')) = F(r_qd + b_q - r_q'd' - b_q'), F that of the ratings, which stay as
  they are; the offsets b by maximum likelihood with the same solver, prior and sum of 0.
* target = 1 / (1 + exp(-(scale * (r_qd + b_q) + shift))), one curve for all queries: so within a
  query the order of the ratings stays.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from zelo.corpora.fields import shown
from zelo.errors import InputError, MissingExtraError
from zelo.training.records import Candidates, Preferences, Ratings, Targets

try:
    import numpy as np
    from numpy.typing import NDArray
except ImportError as error:
    raise MissingExtraError("calibration", "train") from error

from zelo.training.ratings.fitting import (
    PRIOR,
    check_connected,
    check_finite,
    check_prior,
    comparisons,
)
from zelo.training.ratings.links import LINKS, Method
from zelo.training.ratings.solver import Graphs, solve

__all__ = ["Curve", "Offsets", "anchored", "by_quantiles", "calibrate", "offsets"]

MEDIAN, MEDIAN_TARGET = 0.5, 0.1
TOP, TOP_TARGET = 0.95, 0.9
STEPS = 100
TOLERANCE = 1e-9


class Offsets(NamedTuple):
    """What is to be added to the ratings of each query."""

    by_query: dict[str, float]
    """Their sum is 0."""
    comparisons: int
    converged: bool
    loss: float
    """Mean cross-entropy of a comparison across queries, in nats."""


class Curve(NamedTuple):
    """How a rating, its query's offset added, becomes a target."""

    scale: float
    """Above 0."""
    shift: float
    relevant: int = 0
    """Relevant documents that it was fitted to; 0 for one by quantiles."""
    other: int = 0

    def target(self, strength: float) -> float:
        """Return the target, in [0, 1]; it never falls as the strength grows."""
        x = self.scale * strength + self.shift
        # exp of what is never positive: it cannot overflow
        return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def offsets(
    ratings: Iterable[Ratings], across: Iterable[Preferences], *, prior: float = PRIOR
) -> Offsets:
    """Estimate the offset of every query from preferences across queries.

    Args:
        ratings: of every query, all fitted by one method.
        across: pairs of documents of different queries, judged.
        prior: precision of the normal prior on each offset; 0 for none.

    Raises:
        InputError: a query stands there twice; a pair names a query or document without a rating,
            or two of one query; methods are mixed; the comparisons do not connect all queries, as
            when there are none; or, without a prior, no finite offset is the best.
    """
    check_prior(prior)
    ratings = list(ratings)
    known = _by_query(ratings)
    method = _method(ratings)
    judged = [pair for record in across for pair in _judged(record, known)]
    found = comparisons(
        [(query_id, query_id, None) for query_id in known]  # in their order, compared or not
        + [(one, other, preference) for one, other, preference, _ in judged]
    )
    check_connected("the queries", found)
    if prior == 0:
        check_finite("across queries", found)
    edges = np.array(found.edges, dtype=np.intp).reshape(-1, 2)
    shifts = np.array([shift for *_, preference, shift in judged if preference is not None])
    graphs = Graphs(
        *(edges[:, 0], edges[:, 1], np.array(found.preferences), shifts),
        np.array([len(known)]),
    )
    solution = solve(graphs, LINKS[method], prior)
    return Offsets(
        by_query=dict(zip(found.names, solution.values.tolist(), strict=True)),
        comparisons=len(edges),
        converged=bool(solution.converged[0]),
        loss=float(solution.loss[0]),
    )


def anchored(
    ratings: Iterable[Ratings], offsets: Mapping[str, float], candidates: Iterable[Candidates]
) -> Curve:
    """Fit the curve to documents that were judged: a target is then a probability of relevance.

    Logistic regression on rating plus offset, against Platt's targets (1999), (N1 + 1) / (N1 + 2)
    for relevant and 1 / (N0 + 2) for other documents, which keep the scale finite where the two do
    not overlap. A grade above 0 is relevant. Queries without any grade are left out; in the others
    a candidate without a grade counts as not relevant, as in `zelo evaluate`.

    Raises:
        InputError: no document counts as relevant, or none as not relevant; or better documents
            were rated lower, so that no rising curve fits.
    """
    strengths, relevant = _anchors(ratings, offsets, candidates)
    ones, zeros = int(relevant.sum()), int((~relevant).sum())
    if not ones or not zeros:
        message = (
            f"the graded candidates hold {ones} relevant documents and {zeros} others with a "
            "rating; a curve needs both. Leave the candidates out, for one without judgements"
        )
        raise InputError(message)
    wanted = np.where(relevant, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    scale, shift = _regression(strengths, wanted)
    if not scale > 0:
        message = (
            "relevant documents are not rated higher than others, so the ratings cannot be turned "
            "into probabilities of relevance; look at the judges, or whether the candidates are of "
            "the same queries"
        )
        raise InputError(message)
    return Curve(scale, shift, relevant=ones, other=zeros)


def by_quantiles(ratings: Iterable[Ratings], offsets: Mapping[str, float]) -> Curve:
    """Choose the curve without judgements: from where documents stand among all.

    The median document of all queries gets 0.1, and one better than 95 % of them 0.9: of a hundred
    candidates of a first stage some five answer the query, and most do not. A convention, in place
    of what only judgements can tell.

    Raises:
        InputError: these two are rated alike.
    """
    strengths = [
        value + offsets[rated.query] for rated in ratings for value in rated.ratings.values()
    ]
    if not strengths:
        raise InputError("there is no rating, so there is nothing to calibrate")
    median, top = np.quantile(strengths, (MEDIAN, TOP)).tolist()
    if not top > median:
        message = (
            "the median document and the best twentieth are rated alike, so no curve tells them "
            "apart; look at the preferences, or give judged candidates"
        )
        raise InputError(message)
    scale = (_logit(TOP_TARGET) - _logit(MEDIAN_TARGET)) / (top - median)
    return Curve(scale, _logit(MEDIAN_TARGET) - scale * median)


def calibrate(
    ratings: Iterable[Ratings], offsets: Mapping[str, float], curve: Curve
) -> Iterator[Targets]:
    """Turn ratings into targets, one record for each query, documents in the same order."""
    for rated in ratings:
        offset = offsets[rated.query]
        targets = {doc_id: curve.target(value + offset) for doc_id, value in rated.ratings.items()}
        yield Targets(query=rated.query, targets=targets)


def _by_query(ratings: Iterable[Ratings]) -> dict[str, dict[str, float]]:
    known: dict[str, dict[str, float]] = {}
    for rated in ratings:
        if rated.query in known:
            message = f"query {shown(rated.query)} has ratings twice; leave one of them out"
            raise InputError(message)
        known[rated.query] = rated.ratings
    if not known:
        raise InputError("there is no rating, so there is nothing to calibrate")
    return known


def _method(ratings: Iterable[Ratings]) -> Method:
    found = sorted({rated.method for rated in ratings})
    if len(found) > 1 or found[0] not in LINKS:
        message = (
            f"the ratings are by {', '.join(map(shown, found))}; they must all be by one method, "
            f"{' or '.join(LINKS)}, as units differ"
        )
        raise InputError(message)
    return found[0]


def _judged(
    record: Preferences, known: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[str, str, float | None, float]]:
    """Yield both queries, the preference and the first document's head start by its rating."""
    if record.against is None or record.against == record.query:
        message = (
            f"query {shown(record.query)}: its pairs are within the query; offsets come from pairs "
            "across queries"
        )
        raise InputError(message)
    for (one, other), preference in zip(record.pairs, record.preferences, strict=True):
        shift = _rating(known, record.query, one) - _rating(known, record.against, other)
        yield record.query, record.against, preference, shift


def _rating(known: Mapping[str, Mapping[str, float]], query_id: str, doc_id: str) -> float:
    if query_id not in known:
        message = f"a pair across queries names query {shown(query_id)}, which has no ratings"
        raise InputError(message)
    if doc_id not in known[query_id]:
        message = (
            f"a pair across queries names document {shown(doc_id)} of query {shown(query_id)}, "
            "which has no rating"
        )
        raise InputError(message)
    return known[query_id][doc_id]


def _anchors(
    ratings: Iterable[Ratings], offsets: Mapping[str, float], candidates: Iterable[Candidates]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    graded = {
        one.query.id: {document.id for document in one.documents if (document.score or 0) > 0}
        for one in candidates
        if any(document.score is not None for document in one.documents)
    }
    strengths, relevant = [], []
    for rated in ratings:
        if rated.query in graded:
            for doc_id, value in rated.ratings.items():
                strengths.append(value + offsets[rated.query])
                relevant.append(doc_id in graded[rated.query])
    return np.array(strengths, dtype=np.float64), np.array(relevant, dtype=np.bool_)


def _regression(x: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[float, float]:
    """Fit sigmoid(scale * x + shift) to shares, by Newton's method with halved steps."""
    spread = float(x.std()) or 1.0
    centre = float(x.mean())
    features = np.stack([(x - centre) / spread, np.ones_like(x)], axis=1)  # well conditioned
    weights = np.zeros(2)

    def loss(at: NDArray[np.float64]) -> float:
        z = features @ at
        return float(np.mean(np.logaddexp(0.0, z) - wanted * z))

    for _ in range(STEPS):
        shares = np.exp(-np.logaddexp(0.0, -features @ weights))
        gradient = features.T @ (shares - wanted) / len(x)
        if np.abs(gradient).max() <= TOLERANCE:
            break
        curves = shares * (1.0 - shares) / len(x)
        hessian = features.T @ (curves[:, np.newaxis] * features)
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]  # ratings may all be equal
        length = 1.0
        while length > 1e-9 and loss(weights - length * step) > loss(weights):
            length /= 2
        weights -= length * step
    scale = float(weights[0]) / spread
    return scale, float(weights[1]) - scale * centre


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
