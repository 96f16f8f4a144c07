"""The rules on which documents may be candidates, the same for every first stage.

Blank documents are not: no reranker can score them. Nor is a document that is the query itself,
nor one that a ranking has named before. Whatever is left out gives its place to the next.
"""

from collections.abc import Iterable

from zelo._common.checks import at_least_one, callable_or_none, in_order, instance_of
from zelo.corpora import Collection
from zelo.errors import InputError
from zelo.retrieval.stage import Retrieved
from zelo.scoring import Progress

__all__ = ["check_depth", "check_search", "choose", "refuse_unknown", "searchable"]

NAMED = 5  # ids in a message


def check_depth(depth: int) -> None:
    """Refuse a depth that leaves no room for a candidate.

    Raises:
        InputError: it is below 1.
    """
    at_least_one("depth", depth)


def check_search(
    collection: Collection, query_ids: Iterable[str], depth: int, progress: Progress | None
) -> list[str]:
    """Return the ids that are searched for, listed once; refuse a search that cannot be made.

    Raises:
        InputError: an argument is of another kind, or a query is not of the collection.
    """
    instance_of("collection", collection, Collection)
    listed = list(in_order("query_ids", query_ids, "a list of ids"))
    for i, query_id in enumerate(listed):
        if not isinstance(query_id, str) or query_id not in collection.queries:
            raise InputError(f"query_ids[{i}] is of no query of {collection.name}")
    check_depth(depth)
    callable_or_none("progress", progress)
    return listed


def searchable(collection: Collection) -> list[str]:
    """Return the ids of the documents that are not blank, in the order of the collection.

    Raises:
        InputError: there is none.
    """
    doc_ids = [doc_id for doc_id, text in collection.documents.items() if text.strip()]
    if not doc_ids:
        raise InputError(f"{collection.name} has no document with any text; nothing can be found")
    return doc_ids


def choose(
    collection: Collection, query_id: str, ranking: Iterable[Retrieved], depth: int
) -> list[Retrieved]:
    """Return the best `depth` documents of a ranking that may be candidates for a query.

    `ranking` goes best first over documents of the collection. One document at most can be the
    query itself, so a search that never finds a blank one has to look for `depth + 1`.
    """
    chosen: dict[str, Retrieved] = {}
    for found in ranking:
        if len(chosen) == depth:
            break
        blank = not collection.documents[found.doc_id].strip()
        if not blank and not collection.itself(query_id, found.doc_id):
            chosen.setdefault(found.doc_id, found)
    return list(chosen.values())


def refuse_unknown(collection: Collection, doc_ids: Iterable[str], source: str) -> None:
    """Refuse a ranking that came from elsewhere if it names documents that are not there.

    Raises:
        InputError: with the source and the ids.
    """
    unknown = sorted({doc_id for doc_id in doc_ids if doc_id not in collection.documents})
    if unknown:
        shown = ", ".join(map(repr, unknown[:NAMED])) + (", ..." if len(unknown) > NAMED else "")
        message = (
            f"{source} names {len(unknown)} document(s) that {collection.name} does not hold: "
            f"{shown}; it must use the ids of this collection"
        )
        raise InputError(message)
