"""Hard negatives: documents that BM25 ranks high for a query and nobody judged relevant.

Only relevant documents are judged, so a mined "negative" may answer the query all the same; copies
of a relevant document, the one case that can be told, are left out.
"""

import dataclasses
import hashlib
import json
import logging
import pathlib

from zelo.collections import Collection, normal_text
from zelo.retrieval.bm25 import BM25

_log = logging.getLogger("zelo")

CHARACTERS_INDEXED = 3_000
"""How much of a document BM25 sees; medquad's longest have ten times as much."""


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A query with document ids: judged relevant, and mined by BM25 (best first)."""

    query: str
    relevant: tuple[str, ...]
    negatives: tuple[str, ...]


def mine(collection: Collection, *, depth: int, cache: pathlib.Path) -> list[Example]:
    """Mine `depth` BM25 candidates per query; queries without any negative are left out.

    The result is kept in `cache` under a name made of the content, so that a changed collection
    is mined anew and an unchanged one never twice.
    """
    path = cache / f"{collection.name}-{_fingerprint(collection, depth)}.json"
    if not path.exists():
        _log.info("mining %s", collection.name)
        examples = _mine(collection, depth)
        cache.mkdir(parents=True, exist_ok=True)
        rows = [dataclasses.astuple(example) for example in examples]
        part = path.with_suffix(".part")  # a mining that is cut short leaves no cache behind
        part.write_text(json.dumps(rows), encoding="utf-8")
        part.replace(path)
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Example(query, tuple(good), tuple(bad)) for query, good, bad in rows]


def _mine(collection: Collection, depth: int) -> list[Example]:
    doc_ids = list(collection.documents)
    texts = [collection.documents[doc_id][:CHARACTERS_INDEXED] for doc_id in doc_ids]
    normal = [normal_text(text) for text in texts]
    place = {doc_id: index for index, doc_id in enumerate(doc_ids)}
    query_ids = list(collection.queries)
    found = BM25(texts).search_many([collection.queries[i] for i in query_ids], depth)
    examples = []
    for query_id, candidates in zip(query_ids, found, strict=True):
        relevant = [doc_id for doc_id, grade in collection.qrels[query_id].items() if grade > 0]
        answers = {normal[place[doc_id]] for doc_id in relevant}
        negatives = [
            doc_ids[candidate.index]
            for candidate in candidates
            if normal[candidate.index] not in answers
        ]
        if relevant and negatives:
            example = Example(collection.queries[query_id], tuple(relevant), tuple(negatives))
            examples.append(example)
    return examples


def _fingerprint(collection: Collection, depth: int) -> str:
    digest = hashlib.sha256(f"{depth} {CHARACTERS_INDEXED}".encode())
    for part in (collection.documents, collection.queries, collection.qrels):
        digest.update(json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()[:16]
