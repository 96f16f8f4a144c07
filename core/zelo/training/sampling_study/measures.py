"""How near the order of some ratings is to that of others at the top.

Kendall's tau weighs every pair alike, so in a hundred candidates nine tenths of it are documents
that no reader sees. What a reranker learns from is which ones belong on top.
"""

import numpy as np

from zelo.evaluation.measures import ndcg
from zelo.training.sampling_study.planted import Array

__all__ = ["CUTOFF", "gain", "top_overlap"]

CUTOFF = 10


def top_overlap(one: Array, other: Array) -> float:
    """Return which share of the best ten of one is among the best ten of the other."""
    return len(_top(one) & _top(other)) / min(CUTOFF, len(one))


def gain(ratings: Array, planted: Array) -> float:
    """Return nDCG@10 of the order of the ratings.

    A document's gain is its planted rating, from 0 for the worst to 1 for the best.
    """
    low, high = planted.min(), planted.max()
    grades = {
        str(place): float(value) for place, value in enumerate((planted - low) / (high - low))
    }
    return ndcg([str(place) for place in np.argsort(-ratings, kind="stable")], grades, CUTOFF)


def _top(ratings: Array) -> set[int]:
    return set(np.argsort(-ratings, kind="stable")[:CUTOFF].tolist())
