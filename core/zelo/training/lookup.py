"""The texts of pairs, looked up in a file of candidates that is larger than memory."""

import functools
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from zelo.errors import InputError
from zelo.training.judges.judge import Pair, Side
from zelo.training.records import Candidates, Document, Pairs, read_records

__all__ = ["CandidateFile", "Line", "lines"]

AnyPath = str | os.PathLike[str]

KEPT = 256
"""Lines in memory at once: of 100 documents of 2,000 characters, some 50 MB."""


class Line(NamedTuple):
    """One line of a file of pairs, with what the ids stand for."""

    record: Pairs
    pairs: list[Pair]


class _Found(NamedTuple):
    query: str
    documents: Mapping[str, Document]


class CandidateFile:
    """Candidates by the id of their query, read from their file as they are asked for.

    In memory are the place of every query's line, and the lines that were asked for last.

    Raises:
        InputError: there is no such file, a line holds no candidates, a query stands there twice,
            or a document twice in its line.
    """

    def __init__(self, path: AnyPath) -> None:
        self.path = os.fspath(path)
        self._offsets: dict[str, int] = {}
        records = read_records(self.path, Candidates)
        for record, offset in zip(records, _offsets(self.path), strict=True):
            self._check(record)
            self._offsets[record.query.id] = offset
        self._found = functools.lru_cache(maxsize=KEPT)(self._read)

    def side(self, query_id: str, doc_id: str) -> Side:
        """Return a candidate with its query.

        Raises:
            InputError: there is no such query, or it has no such candidate.
        """
        if query_id not in self._offsets:
            raise InputError(f"{self.path} has no query {query_id!r}")
        query, documents = self._found(query_id)
        if doc_id not in documents:
            message = f"{self.path}: query {query_id!r} has no candidate {doc_id!r}"
            raise InputError(message)
        document = documents[doc_id]
        return Side(query_id, query, doc_id, document.content, document.score)

    def texts(self) -> Iterator[str]:
        """Yield every document's text, of each query anew."""
        for record in read_records(self.path, Candidates):
            for document in record.documents:
                yield document.content

    def _check(self, record: Candidates) -> None:
        query_id = record.query.id
        doc_ids = [document.id for document in record.documents]
        if query_id in self._offsets:
            raise InputError(f"{self.path}: query {query_id!r} stands there twice; keep one")
        if len(set(doc_ids)) < len(doc_ids):
            message = f"{self.path}: a document stands twice among those of query {query_id!r}"
            raise InputError(message)

    def _read(self, query_id: str) -> _Found:
        with open(self.path, "rb") as file:
            file.seek(self._offsets[query_id])
            record = Candidates.model_validate_json(file.readline())
        return _Found(record.query.query, {document.id: document for document in record.documents})


def lines(path: AnyPath, candidates: CandidateFile) -> Iterator[Line]:
    """Yield the lines of a file of pairs with their texts.

    Raises:
        InputError: there is no such file, a line is none of pairs, or it names a query or a
            candidate that there is not.
    """
    for record in read_records(path, Pairs):
        against = record.query if record.against is None else record.against
        try:
            pairs = [
                Pair(candidates.side(record.query, first), candidates.side(against, second))
                for first, second in record.pairs
            ]
        except InputError as error:
            message = f"{os.fspath(path)}, pairs of query {record.query!r}: {error}"
            raise InputError(message) from error
        yield Line(record, pairs)


def _offsets(path: str) -> Iterator[int]:
    """Yield where each record of a file begins; blank lines hold none."""
    offset = 0
    with open(path, "rb") as file:
        for line in file:
            if line.strip():
                yield offset
            offset += len(line)
