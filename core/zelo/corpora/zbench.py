"""Files of zbench (github.com/zeroentropy-ai/zbench): per line, a query with its candidates.

    {"query": {"id", "query"}, "documents": [{"id", "content", "metadata", "score"}, ...]}

A document's text is its content alone. One without a score, or with null, is not judged.
"""

import pathlib
from typing import Any

from zelo.corpora.collection import Collection
from zelo.corpora.fields import kind, shown, sound_id, text_of
from zelo.corpora.grades import Gain, grade_of
from zelo.corpora.problems import Problem, bad_lines
from zelo.corpora.rows import BadLine, jsonl_rows, opened

__all__ = ["read_zbench"]


def read_zbench(path: pathlib.Path, gain: Gain, problems: list[Problem]) -> Collection:
    """Return the collection; each query's own documents, in their order, are its candidates.

    Of two queries with one id the first stays, as does the text of the first of two documents, and
    the first place of a document that a query lists twice. An empty query is left out; an empty
    document is no candidate.
    """
    bad: list[BadLine] = []
    reader = _Reader(gain)
    for line, record in jsonl_rows(opened(path), bad, []):
        try:
            reader.take(record)
        except ValueError as error:
            bad.append(BadLine(line, str(error)))
        problems.extend(Problem(str(path), line, reason) for reason in reader.reasons)
        problems.extend(Problem(str(path), line, reason, note=True) for reason in reader.notes)
    problems.extend(bad_lines(path, bad))
    return Collection(path.stem, reader.documents, reader.queries, reader.qrels, reader.given)


class _Reader:
    """Takes line by line what a collection is made of."""

    def __init__(self, gain: Gain) -> None:
        self._gain = gain
        self.documents: dict[str, str] = {}
        self.queries: dict[str, str] = {}
        self.qrels: dict[str, dict[str, float]] = {}
        self.given: dict[str, list[str]] = {}
        self.reasons: list[str] = []
        """What was wrong with the last line."""
        self.notes: list[str] = []
        """What is to be known of it."""

    def take(self, record: dict[str, Any]) -> None:
        """Add one query with its documents.

        Raises:
            ValueError: the line holds no query.
        """
        self.reasons, self.notes = [], []
        query = _object(record.get("query"), "query")
        query_id, text = sound_id(query, "id"), text_of(query, "query")
        documents = record.get("documents")
        if not isinstance(documents, list):
            raise ValueError(f"field 'documents' is {kind(documents)}, not an array")
        if not text.strip():
            raise ValueError(f"query {shown(query_id)} is empty; it is left out")
        if query_id in self.queries:
            raise ValueError(f"a second query with id {shown(query_id)}; the first stays")
        self.queries[query_id] = text
        self.qrels[query_id], self.given[query_id] = {}, []
        seen: set[str] = set()
        for place, document in enumerate(documents):
            try:
                self._take_document(query_id, _object(document, "document"), seen)
            except ValueError as error:
                self.reasons.append(f"documents[{place}]: {error}")

    def _take_document(self, query_id: str, document: dict[str, Any], seen: set[str]) -> None:
        doc_id, text = sound_id(document, "id"), text_of(document, "content")
        if doc_id in seen:
            raise ValueError(f"document {shown(doc_id)} stands there twice; the first stays")
        seen.add(doc_id)
        if self.documents.setdefault(doc_id, text) != text:
            reason = f"document {shown(doc_id)} has another text than before; the first stays"
            self.reasons.append(reason)
        if self.documents[doc_id].strip():
            self.given[query_id].append(doc_id)
        else:
            self.notes.append(f"document {shown(doc_id)} is empty, so it is never a candidate")
        if (score := document.get("score")) is not None:
            grade, complaint = grade_of(_number(score), self._gain)
            self.qrels[query_id][doc_id] = grade
            if complaint:
                self.reasons.append(f"document {shown(doc_id)}: {complaint}")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"the {name} is {kind(value)}, not an object")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"the score is {kind(value)}, not a number, so it is no judgement")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("the score is beyond what a float holds") from None
