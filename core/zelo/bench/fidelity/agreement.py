"""Two ways to score the same candidates, compared. Knows no model."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zelo.bench.fidelity.results import CUTOFF, MEASURE, Agreement, Deviation
from zelo.corpora import Collection
from zelo.evaluation.measures import mean, measure_all, parse_measure
from zelo.training.measures import kendall_tau

__all__ = ["Logits", "Sample", "compare"]

Logits = Mapping[str, NDArray[np.float64]]
"""Per query id, the raw logit of each candidate, in the candidates' order."""


class Sample(NamedTuple):
    """The queries of a collection that are asked, and what is scored for them."""

    collection: Collection
    candidates: Mapping[str, Sequence[str]]
    """Per query id, at least one document id, the first stage's best first; a query for which
    nothing was found has no entry."""

    @property
    def judged(self) -> bool:
        """Whether any query has a relevant document, so that nDCG can be computed."""
        return bool(self.collection.answerable)


def compare(sample: Sample, exact: Logits, other: Logits) -> Agreement:
    """Hold the logits of a variant against those in float32."""
    differences = {q: np.abs(other[q] - exact[q]) for q in sample.candidates}
    every = np.concatenate(list(differences.values()))
    before, after = _rankings(sample, exact), _rankings(sample, other)
    return Agreement(
        collection=sample.collection.name,
        queries=len(sample.collection.queries),
        pairs=len(every),
        largest=_largest(sample, differences),
        median_deviation=float(np.median(every)),
        spread=float(np.concatenate([exact[q] for q in sample.candidates]).std()),
        top_overlap=float(np.mean([_overlap(before[q], after[q]) for q in before])),
        tau=_tau(sample, exact, other),
        ndcg_float32=_ndcg(sample, before),
        ndcg=_ndcg(sample, after),
    )


def _largest(sample: Sample, differences: Logits) -> Deviation:
    name = sample.collection.name
    return max(
        Deviation(float(of_query[place]), name, query_id, sample.candidates[query_id][place])
        for query_id, of_query in differences.items()
        for place in (int(of_query.argmax()),)
    )


def _rankings(sample: Sample, logits: Logits) -> dict[str, list[str]]:
    """Order candidates by falling logit; ties keep the first stage's order."""
    return {
        query_id: [doc_ids[place] for place in np.argsort(-logits[query_id], kind="stable")]
        for query_id, doc_ids in sample.candidates.items()
    }


def _overlap(before: Sequence[str], after: Sequence[str]) -> float:
    best = set(before[:CUTOFF])
    return len(best.intersection(after[:CUTOFF])) / len(best)


def _tau(sample: Sample, exact: Logits, other: Logits) -> float:
    """Mean over queries, of candidates with different texts: equal ones tie in any arithmetic."""
    documents = sample.collection.documents
    values = []
    for query_id, doc_ids in sample.candidates.items():
        places = list({documents[doc_id]: place for place, doc_id in enumerate(doc_ids)}.values())
        if len(places) > 1:
            values.append(kendall_tau(exact[query_id][places], other[query_id][places]))
    return float(np.mean(values)) if values else 1.0


def _ndcg(sample: Sample, rankings: Mapping[str, Sequence[str]]) -> float | None:
    if not sample.judged:
        return None
    measured = measure_all(rankings, sample.collection.qrels, [parse_measure(MEASURE)])
    return mean(measured[MEASURE])
