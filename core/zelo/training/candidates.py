"""Candidates: the documents that a first stage finds for each query, to be judged and rated.

Knows collections and first stages, nothing of judges.
"""

from collections.abc import Iterator, Sequence

from zelo.corpora import Collection
from zelo.corpora.collection import evenly
from zelo.retrieval.candidates import choose
from zelo.retrieval.stage import FirstStage, Retrieved
from zelo.scoring import Progress
from zelo.training.records import Candidates, Document, Query

__all__ = ["candidates"]


def candidates(
    collection: Collection,
    first_stage: FirstStage,
    *,
    depth: int = 100,
    queries: int | None = None,
    add_relevant: bool = False,
    progress: Progress | None = None,
) -> Iterator[Candidates]:
    """Yield the candidates of each query, in the order of the queries.

    A query for which nothing was found has none and is left out. Queries without a relevant
    document stay: judges do not need one.

    Args:
        collection: whose documents are searched, for all of its queries.
        first_stage: finds them. The vendor's were the best 100 of BM25 and an embedding model,
            fused by reciprocal rank (arXiv:2509.12541).
        depth: candidates per query, at most.
        queries: at most so many, evenly spaced; None for all.
        add_relevant: behind the candidates put the relevant documents that were not found, the
            highest grade first, so that there may be more than `depth`. Ours; the paper is silent.
        progress: told by the first stage.

    Raises:
        InputError: the first stage cannot search the collection, or a number is below 1.
    """
    chosen = evenly(collection.queries, queries)
    run = first_stage.retrieve(collection, chosen, depth, progress)
    for query_id in chosen:
        doc_ids = [found.doc_id for found in run.get(query_id, [])[:depth]]
        if add_relevant:
            doc_ids += _missed(collection, query_id, doc_ids)
        if doc_ids:
            yield _record(collection, query_id, doc_ids)


def _missed(collection: Collection, query_id: str, found: Sequence[str]) -> list[str]:
    """The relevant documents that are not among those found, the highest grade first."""
    judged = collection.qrels[query_id]
    wanted = [
        Retrieved(doc_id, grade)
        for doc_id, grade in judged.items()
        if grade > 0 and doc_id in collection.documents and doc_id not in found
    ]
    wanted.sort(key=lambda one: -one.score)  # stable: equal grades in the order of the qrels
    return [one.doc_id for one in choose(collection, query_id, wanted, len(wanted))]


def _record(collection: Collection, query_id: str, doc_ids: Sequence[str]) -> Candidates:
    judged = collection.qrels[query_id]
    return Candidates(
        query=Query(id=query_id, query=collection.queries[query_id]),
        documents=[
            Document(id=doc_id, content=collection.documents[doc_id], score=judged.get(doc_id))
            for doc_id in doc_ids
        ],
    )
