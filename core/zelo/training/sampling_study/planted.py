"""The ratings that simulated judges see: one array for each query, in any unit."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zelo.corpora import read_collection
from zelo.corpora.collection import evenly
from zelo.errors import InputError
from zelo.retrieval.bm25 import BM25Stage

__all__ = ["Array", "planted_by_bm25", "planted_normal"]

Array = NDArray[np.float64]


def planted_normal(queries: int, documents: int, seed: int = 0) -> list[Array]:
    """Draw ratings of so many queries."""
    return list(np.random.default_rng(seed).normal(size=(queries, documents)))


def planted_by_bm25(folder: Path, queries: int, documents: int) -> list[Array]:
    """Take BM25's scores of the candidates of evenly spaced queries of a collection.

    Queries for which fewer candidates are found than asked for are left out.

    Raises:
        InputError: there is no such collection, or no query has so many candidates.
    """
    collection = read_collection(folder, lenient=True).collection
    chosen = evenly(collection.queries, queries)
    run = BM25Stage().retrieve(collection, chosen, documents)
    found = [
        np.array([one.score for one in run[query_id]])
        for query_id in chosen
        if len(run.get(query_id, [])) == documents
    ]
    if not found:
        raise InputError(f"no query of {collection.name} has {documents} candidates; ask for fewer")
    return found
