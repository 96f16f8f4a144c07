"""Files of relevance judgements: TREC qrels, BEIR's table, CSV. Checked against the collection."""

import pathlib
from collections.abc import Container, Iterator
from typing import NamedTuple

from zelo.corpora.fields import UsualField, shown, text_of
from zelo.corpora.grades import Gain, grade_of, number_of
from zelo.corpora.problems import Problem, bad_lines
from zelo.corpora.rows import (
    BadLine,
    Row,
    column_rows,
    csv_rows,
    first_cells,
    opened,
    suffix_of,
    tsv_rows,
)

__all__ = ["read_qrels"]

QUERY_COLUMNS = ("query-id", "query_id", "qid", "query")
DOCUMENT_COLUMNS = ("corpus-id", "corpus_id", "doc_id", "docid", "document_id")
GRADE_COLUMNS = ("score", "relevance", "grade", "label")
COLUMNS = (QUERY_COLUMNS, DOCUMENT_COLUMNS, GRADE_COLUMNS)
TREC_COLUMNS = 4


class _Judgement(NamedTuple):
    line: int
    query_id: str
    doc_id: str
    grade: str


def read_qrels(
    path: pathlib.Path,
    queries: Container[str],
    documents: Container[str],
    gain: Gain,
    problems: list[Problem],
) -> dict[str, dict[str, float]]:
    """Return the grades of the judged documents of each query, in the order of the file.

    A judgement of an unknown query is dropped. One of an unknown document stays: nothing can find
    it, so it counts against recall. Of two different grades the first stays; a grade that is no
    number is dropped, and a negative one counts as 0.
    """
    qrels: dict[str, dict[str, float]] = {}
    for found in _judgements(path, problems):
        grade, reasons = _grade(found, queries, documents, gain)
        if grade is not None:
            judged = qrels.setdefault(found.query_id, {})
            if judged.setdefault(found.doc_id, grade) != grade:
                pair = f"query {shown(found.query_id)} and document {shown(found.doc_id)}"
                reasons.append(f"another grade for {pair} than before; the first stays")
        problems.extend(Problem(str(path), found.line, reason) for reason in reasons)
    return qrels


def _grade(
    found: _Judgement, queries: Container[str], documents: Container[str], gain: Gain
) -> tuple[float | None, list[str]]:
    """Return the grade, None if the judgement is dropped, and what is wrong with it."""
    if found.query_id not in queries:
        return None, [f"there is no query {shown(found.query_id)}; this judgement is dropped"]
    try:
        grade, complaint = grade_of(number_of(found.grade), gain)
    except ValueError as error:
        return None, [f"the grade {error}; this judgement is dropped"]
    reasons = [complaint] if complaint else []
    if found.doc_id not in documents:
        reasons.append(f"there is no document {shown(found.doc_id)}; it counts as not found")
    return grade, reasons


def _judgements(path: pathlib.Path, problems: list[Problem]) -> Iterator[_Judgement]:
    columns = [UsualField(names) for names in COLUMNS]
    bad: list[BadLine] = []
    for line, record in _records(path, bad):
        try:
            yield _Judgement(line, *(text_of(record, column.of(record)) for column in columns))
        except ValueError as error:
            bad.append(BadLine(line, str(error)))
    problems.extend(bad_lines(path, bad))


def _records(path: pathlib.Path, bad: list[BadLine]) -> Iterator[Row]:
    blank: list[int] = []  # a blank line judges nothing
    lines = opened(path)
    if suffix_of(path.name) == ".csv":
        return csv_rows(lines, str(path), bad, blank)
    cells, lines = first_cells(lines)
    if all(cells.intersection(names) for names in COLUMNS):
        return tsv_rows(lines, str(path), bad, blank)
    return _trec(lines, bad, blank)


def _trec(lines: Iterator[bytes], bad: list[BadLine], blank: list[int]) -> Iterator[Row]:
    for line, columns in column_rows(lines, bad, blank):
        if len(columns) == TREC_COLUMNS:
            query_id, _, doc_id, grade = columns
            names = (names[0] for names in COLUMNS)
            yield line, dict(zip(names, (query_id, doc_id, grade), strict=True))
            continue
        reason = (
            f"{len(columns)} columns; TREC judgements have {TREC_COLUMNS} (query, iteration, "
            "document, grade), others a header (query-id, corpus-id, score)"
        )
        if len(columns) > TREC_COLUMNS:
            reason += "; columns are divided by white space, so no id can hold any"
        bad.append(BadLine(line, reason))
