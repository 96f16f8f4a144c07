"""What each query came to, as JSON Lines: for error analysis, and for `zelo evaluate compare`.

One line is one query: its measures, the first ten documents with their texts, and where every
relevant document went, whether it was ranked lower or never found. Documents with a grade above 0
count as relevant here; each line has the grades.
"""

import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

from zelo.corpora import Collection
from zelo.corpora.fields import shown
from zelo.corpora.problems import bad_lines, refuse
from zelo.corpora.rows import BadLine, jsonl_rows, opened
from zelo.errors import InputError
from zelo.evaluation.figures import Summary
from zelo.evaluation.results import Evaluation, Ranking, SystemRun

__all__ = [
    "LONGEST_TEXT",
    "SHOWN",
    "DocumentRecord",
    "QueryRecord",
    "query_records",
    "read_records",
]

SHOWN = 10
"""Documents of a ranking that a record holds, relevant or not."""
LONGEST_TEXT = 1_000
"""Characters of a document that a record holds."""


class DocumentRecord(BaseModel):
    """One document, as one system ranked it for one query."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    doc_id: str
    grade: float | None
    """Of the judgements; None for a document that nobody judged."""
    rank: int | None
    """From 1; None where the first stage did not find it."""
    score: float | None
    """None without a rank, and for an empty document's minus infinity, which JSON cannot say."""
    probability: float | None
    first_stage_rank: int | None
    text: str
    """Its first 1,000 characters at most."""
    text_length: int
    """Characters of the whole text."""

    @property
    def relevant(self) -> bool:
        """Whether its grade is above 0."""
        return self.grade is not None and self.grade > 0


class QueryRecord(BaseModel):
    """What one system made of one query."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    collection: str
    system: str
    query_id: str
    query: str
    measures: dict[str, float]
    """The main one first. A measure that leaves this query out is not there."""
    documents: list[DocumentRecord]
    """The first ten, best first."""
    relevant_below: list[DocumentRecord]
    """The relevant documents ranked lower, best first."""
    missed: list[DocumentRecord]
    """The relevant documents that the first stage did not find, highest grade first."""

    def as_json(self) -> str:
        """Return the record as one line."""
        return json.dumps(self.model_dump(), ensure_ascii=False, allow_nan=False)

    def every_document(self) -> Iterator[DocumentRecord]:
        """Yield all documents that the record names; each stands there once."""
        yield from self.documents
        yield from self.relevant_below
        yield from self.missed


def query_records(
    evaluation: Evaluation, summary: Summary, run: SystemRun, collection: str
) -> Iterator[QueryRecord]:
    """Yield a record for every measured query, in the collection's order."""
    found = evaluation.collections[collection]
    first = evaluation.first_stages[collection, run.first_stage].rankings
    values = {m: summary.values[collection, run.system, m] for m in summary.measures}
    for query_id, query in found.queries.items():
        measures = {m: by_query[query_id] for m, by_query in values.items() if query_id in by_query}
        if not measures:
            continue
        teller = _Teller(found, query_id, first[query_id])
        ranked = teller.worth_telling(run.rankings[query_id])
        yield QueryRecord(
            collection=collection,
            system=run.system,
            query_id=query_id,
            query=query,
            measures=measures,
            documents=ranked[:SHOWN],
            relevant_below=ranked[SHOWN:],
            missed=teller.missed(run.rankings[query_id]),
        )


def read_records(path: str | os.PathLike[str]) -> dict[str, QueryRecord]:
    """Return the records of a file by query id, in its order.

    Raises:
        InputError: the file cannot be read or is empty, a line is no such record, a query comes
            twice, or not all lines are of one system and one collection.
    """
    place = pathlib.Path(path)
    bad: list[BadLine] = []
    found: dict[str, QueryRecord] = {}
    for line, row in jsonl_rows(opened(place), bad, []):
        try:
            record = _record(row)
            if record.query_id in found:
                raise ValueError(f"query {shown(record.query_id)} comes a second time")
        except ValueError as error:
            bad.append(BadLine(line, str(error)))
        else:
            found[record.query_id] = record
    refuse(bad_lines(place, bad), str(place), "name a file of an evaluation's folder queries/")
    if len({(record.collection, record.system) for record in found.values()}) != 1:
        what = "results of several systems or collections" if found else "no query"
        raise InputError(f"{place} holds {what}; name a file of an evaluation's folder queries/")
    return found


class _Teller:
    """Makes the records of the documents of one query."""

    def __init__(self, collection: Collection, query_id: str, candidates: Ranking) -> None:
        self._texts = collection.documents
        self._grades = collection.qrels[query_id]
        self._places = {found.doc_id: rank for rank, found in enumerate(candidates, start=1)}

    def worth_telling(self, ranking: Ranking) -> list[DocumentRecord]:
        """Return the first ten, and behind them the relevant ones that are ranked lower."""
        return [
            self._record(
                document.doc_id,
                rank=rank,
                score=document.score if math.isfinite(document.score) else None,
                probability=document.probability,
            )
            for rank, document in enumerate(ranking, start=1)
            if rank <= SHOWN or self._grades.get(document.doc_id, 0) > 0
        ]

    def missed(self, ranking: Ranking) -> list[DocumentRecord]:
        """Return the relevant documents that are not in the ranking."""
        known = {document.doc_id for document in ranking}
        relevant = [doc_id for doc_id, grade in self._grades.items() if grade > 0]
        lost = sorted(set(relevant) - known, key=lambda doc_id: (-self._grades[doc_id], doc_id))
        return [self._record(doc_id) for doc_id in lost]

    def _record(
        self,
        doc_id: str,
        rank: int | None = None,
        score: float | None = None,
        probability: float | None = None,
    ) -> DocumentRecord:
        text = self._texts.get(doc_id, "")  # a judged document may not be there
        return DocumentRecord(
            doc_id=doc_id,
            grade=self._grades.get(doc_id),
            rank=rank,
            score=score,
            probability=probability,
            first_stage_rank=self._places.get(doc_id),
            text=text[:LONGEST_TEXT],
            text_length=len(text),
        )


def _record(row: Mapping[str, object]) -> QueryRecord:
    try:
        return QueryRecord.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        key = ".".join(map(str, first["loc"]))
        # The cause would show the texts.
        raise ValueError(f"no query of an evaluation: {key}: {first['msg']}") from None
