"""Rows between a file and the scorer: what was read, what is scored, what is written back.

Turns the values of a row's columns into texts and says what is wrong with those that do not serve.
Knows no file format and no model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

from zelo.bulk.errors import Reject
from zelo.bulk.layout import Layout
from zelo.corpora.fields import TEXT_FIELDS, kind, shown, text_of
from zelo.corpora.problems import Problem, refuse
from zelo.corpora.texts import read_documents, read_queries
from zelo.errors import InputError

__all__ = ["Answer", "Record", "Row", "Rows", "Texts", "rows_of"]

QUERY_TEXTS = ("query", *TEXT_FIELDS)


class Record(NamedTuple):
    """A row as its format reads it."""

    number: int
    """In its file, from 1."""
    query: Any
    document: Any
    """The document column's value: one document or a list of them."""
    carried: Any
    """What the format needs to write the row again."""


class Row(NamedTuple):
    """A row that can be scored."""

    record: Record
    query: str
    documents: tuple[str, ...]


@dataclass(slots=True)
class Rows:
    """The rows of a block."""

    sound: list[Row] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


class Answer(NamedTuple):
    """What the model says of one document."""

    score: float
    logit: float | None
    """None for an empty document, which no model sees; its score is 0."""
    truncated: bool


class Texts:
    """The texts of a collection by their ids, for rows that hold ids."""

    def __init__(self, queries: Mapping[str, str], documents: Mapping[str, str]) -> None:
        self._queries = queries
        self._documents = documents

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Read corpus.jsonl and queries.jsonl of a folder in BEIR layout.

        Raises:
            InputError: they are not there, or lines of them cannot be read.
        """
        corpus, queries = folder / "corpus.jsonl", folder / "queries.jsonl"
        for needed in (corpus, queries):
            if not needed.is_file():
                message = f"{folder} has no {needed.name}; a collection is a folder in BEIR layout"
                raise InputError(message)
        problems: list[Problem] = []
        documents = read_documents(corpus, problems)
        asked = {
            query_id: query.text for query_id, query in read_queries(queries, problems).items()
        }
        refuse(problems, str(folder), "mend the files")
        return cls(asked, documents)

    def query(self, value: Any) -> str:
        """Return a query's text.

        Raises:
            ValueError: it is no id, or the collection lacks it.
        """
        return _named("query", value, self._queries)

    def document(self, value: Any) -> str:
        """Return a document's text; errors as `query`."""
        return _named("document", value, self._documents)


def rows_of(records: Sequence[Record], layout: Layout, texts: Texts | None) -> Rows:
    """Turn records into rows; those that cannot be scored are rejected with their reason."""
    rows = Rows()
    for record in records:
        try:
            query = (
                texts.query(record.query) if texts else _text("query", record.query, QUERY_TEXTS)
            )
            if not query.strip():
                raise ValueError("has an empty query; there is nothing to be relevant to")
            documents = tuple(_document(one, texts) for one in _listed(record.document, layout))
        except ValueError as error:
            rows.rejects.append(Reject(record.number, str(error)))
        else:
            rows.sound.append(Row(record, query, documents))
    return rows


def _listed(value: Any, layout: Layout) -> Sequence[Any]:
    if not layout.many:
        return [value]
    if not isinstance(value, list):
        raise ValueError(f"column {layout.document!r} is {kind(value)}, not an array")
    return value


def _document(value: Any, texts: Texts | None) -> str:
    return texts.document(value) if texts else _text("document", value, TEXT_FIELDS)


def _text(role: str, value: Any, usual: Sequence[str]) -> str:
    """Return a text, or the text in an object such as `{"id": ..., "content": ...}`."""
    if isinstance(value, dict):
        name = next((name for name in usual if name in value), None)
        if name is None:
            raise ValueError(f"has a {role} that is an object without {', '.join(usual)}")
        return text_of(value, name)
    if not isinstance(value, str):
        raise ValueError(f"has a {role} that is {kind(value)}, not a string")
    return text_of({role: value}, role)


def _named(role: str, value: Any, known: Mapping[str, str]) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"has a {role} id that is {kind(value)}, not a string or whole number")
    name = str(value)
    found = known.get(name, known.get(unquote(name)))  # no run file can hold a space but as %20
    if found is None:
        raise ValueError(f"names {role} {shown(name)}, which the collection lacks")
    return found
