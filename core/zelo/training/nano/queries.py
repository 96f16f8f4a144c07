"""Which queries of a collection are learned from: no text twice, none of an evaluation set."""

import dataclasses
from collections.abc import Container

from zelo.collections import Collection, normal_text


def merge_repeated_queries(collection: Collection) -> Collection:
    """One query per distinct text, with the relevant documents of all its copies.

    Template questions ("display help") stand many times, each with another answer: mined negatives
    of one copy would be the true positives of the next.
    """
    first: dict[str, str] = {}
    qrels: dict[str, dict[str, float]] = {}
    for query_id, text in collection.queries.items():
        kept = first.setdefault(normal_text(text), query_id)
        qrels.setdefault(kept, {}).update(collection.qrels[query_id])
    queries = {query_id: collection.queries[query_id] for query_id in qrels}
    return dataclasses.replace(collection, queries=queries, qrels=qrels)


def without_queries(collection: Collection, texts: Container[str]) -> Collection:
    """The collection without queries whose normal text is among `texts` (an evaluation set's)."""
    queries = {
        query_id: text
        for query_id, text in collection.queries.items()
        if normal_text(text) not in texts
    }
    qrels = {query_id: collection.qrels[query_id] for query_id in queries}
    return dataclasses.replace(collection, queries=queries, qrels=qrels)
