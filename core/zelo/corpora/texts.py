"""Files of documents and of queries: JSON, CSV or TSV, under the usual field names.

A TSV without a header is `id<TAB>text`, as in MS MARCO. Knows nothing of judgements.
"""

import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zelo.corpora.collection import join_title
from zelo.corpora.fields import ID_FIELDS, TEXT_FIELDS, UsualField, shown, sound_id, text_of
from zelo.corpora.problems import Problem, bad_lines
from zelo.corpora.rows import (
    BadLine,
    Row,
    advice,
    csv_rows,
    first_cells,
    json_rows,
    opened,
    suffix_of,
    tsv_rows,
)
from zelo.errors import InputError

__all__ = ["Query", "read_documents", "read_queries"]


class Query(NamedTuple):
    """A query, and where it stands."""

    text: str
    line: int


class _Role(NamedTuple):
    """What the entries of a file are, and the names under which their parts are looked for."""

    name: str
    ids: Sequence[str]
    texts: Sequence[str]
    title: str | None = None


DOCUMENT = _Role("document", ID_FIELDS, TEXT_FIELDS, "title")
QUERY = _Role(
    "query", (*ID_FIELDS, "query_id", "query-id", "qid"), ("text", "query", "question", "content")
)


def read_documents(path: pathlib.Path, problems: list[Problem]) -> dict[str, str]:
    """Return the text of every document by its id, behind its title if it has one.

    Of two documents with one id the first stays. One without any text stays and is noted.
    """
    documents: dict[str, str] = {}
    for line, doc_id, text in _entries(path, DOCUMENT, problems):
        if not text.strip():
            reason = f"document {shown(doc_id)} is empty, so it is never a candidate"
            problems.append(Problem(str(path), line, reason, note=True))
        documents[doc_id] = text
    return documents


def read_queries(path: pathlib.Path, problems: list[Problem]) -> dict[str, Query]:
    """Return every query of the file by its id; of two with one id the first stays."""
    found = _entries(path, QUERY, problems)
    return {query_id: Query(text, line) for line, query_id, text in found}


def _entries(
    path: pathlib.Path, role: _Role, problems: list[Problem]
) -> Iterator[tuple[int, str, str]]:
    """Yield line, id and text of every record that has both, no id twice."""
    ids, texts = UsualField(role.ids), UsualField(role.texts)
    bad: list[BadLine] = []
    seen: set[str] = set()
    for line, record in _records(path, role, bad):
        try:
            entry_id, text = sound_id(record, ids.of(record)), text_of(record, texts.of(record))
            if role.title is not None and record.get(role.title) is not None:
                text = join_title(text_of(record, role.title), text)
            if entry_id in seen:
                raise ValueError(f"a second {role.name} with id {shown(entry_id)}; the first stays")
        except ValueError as error:
            bad.append(BadLine(line, str(error)))
        else:
            seen.add(entry_id)
            yield line, entry_id, text
    problems.extend(bad_lines(path, bad))


def _records(path: pathlib.Path, role: _Role, bad: list[BadLine]) -> Iterator[Row]:
    """Read a file in the format that its suffix tells."""
    blank: list[int] = []  # a blank line is no entry, and nobody misses it
    lines = opened(path)
    suffix = suffix_of(path.name)
    if suffix in (".jsonl", ".ndjson", ".json"):
        return json_rows(lines, str(path), bad, blank)
    if suffix == ".csv":
        return csv_rows(lines, str(path), bad, blank)
    if suffix == ".tsv":
        cells, lines = first_cells(lines)
        is_header = cells.intersection(role.ids) and cells.intersection(role.texts)
        header = None if is_header else (role.ids[0], role.texts[0])
        return tsv_rows(lines, str(path), bad, blank, header)
    message = (
        f"{path}: documents and queries are read from .jsonl, .ndjson, .json, .csv and .tsv, also "
        f"packed as .gz{advice(suffix)}"
    )
    raise InputError(message)
