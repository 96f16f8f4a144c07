"""Reads candidates for the command line: JSON, plain text, CSV. Knows nothing of scores.

Every line of the input becomes a document, is named as bad, or is named as blank; none is lost.
A line is what ends in a newline. In text each is one document; a CSV row may span several. JSON is
an object a line, or one array of objects or of texts.
"""

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from zelo.corpora import join_title
from zelo.corpora.fields import ID_FIELDS, TEXT_FIELDS, id_of, listed, text_of
from zelo.corpora.rows import (
    NO_OBJECT,
    BadLine,
    Row,
    advice,
    array_values,
    csv_rows,
    is_array,
    jsonl_rows,
    sound_lines,
    suffix_of,
    text_rows,
)
from zelo.errors import InputError

__all__ = ["Document", "Fields", "Format", "Reading", "read"]

SUFFIXES = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    **dict.fromkeys((".txt", ".text"), "txt"),
    ".csv": "csv",
}
BAD_LINES_EXPLAINED = 20  # beyond these only their numbers are told


class Format(StrEnum):
    """How candidates are written."""

    JSONL = "jsonl"
    TXT = "txt"
    CSV = "csv"

    @classmethod
    def of_name(cls, name: str) -> "Format":
        """Tell the format by a file's suffix.

        Raises:
            InputError: the suffix is none of .jsonl, .ndjson, .json, .txt, .text, .csv, each with
                or without a .gz behind it.
        """
        suffix = suffix_of(name)
        if suffix in SUFFIXES:
            return cls(SUFFIXES[suffix])
        message = f"{name}: the name does not tell the format; add --format jsonl, txt or csv"
        raise InputError(message + advice(suffix))

    @classmethod
    def of_content(cls, content: bytes) -> "Format":
        """Tell JSON, which begins with a brace or is an array, from text. CSV is never guessed."""
        start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if start == b"[":  # as lines of logs do
            try:
                json.loads(content)
            except (ValueError, RecursionError):
                return cls.TXT
        return cls.JSONL if start in (b"{", b"[") else cls.TXT


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a record to read; None means to look for the usual names."""

    text: str | None = None
    id: str | None = None
    title: str | None = None
    """Its text, where it has one, goes on a line before the document's; read only if named."""


@dataclass(frozen=True, slots=True)
class Document:
    """One candidate, and where it came from."""

    text: str
    """What is scored: the text field, behind the title if one was asked for. May be empty."""
    line: int
    """Line of the input where it begins, from 1."""
    id: str | None = None
    record: dict[str, Any] | None = None
    """The JSON object or CSV row as it was read; None for plain text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an input held, line by line."""

    documents: tuple[Document, ...]
    bad: tuple[BadLine, ...] = ()
    """Lines that are no document, with the reason."""
    blank: tuple[int, ...] = ()
    """Numbers of the lines that hold nothing, which are not documents."""

    def complaint(self) -> str:
        """Name every bad line: the first with their reasons, the others by number."""
        told = [f"  {bad.place}: {bad.reason}" for bad in self.bad[:BAD_LINES_EXPLAINED]]
        if others := self.bad[BAD_LINES_EXPLAINED:]:
            told.append(f"  and lines {_ranges(bad.line for bad in others)}")
        return "\n".join(told)


def read(content: bytes, name: str, form: Format, fields: Fields | None = None) -> Reading:
    """Read candidates from a file's content; `name` is what errors call it.

    Bad lines are returned, not raised: the caller decides what they mean.

    Raises:
        InputError: no line can be read at all: UTF-16, an array that is not JSON, a CSV header that
            is not one, or fields that no record has.
    """
    fields = fields or Fields()
    lines = sound_lines(io.BytesIO(content), name)
    bad: list[BadLine] = []
    blank: list[int] = []
    if form is Format.TXT:
        found = tuple(Document(text, line) for line, text in text_rows(lines, bad, blank))
        return Reading(found, tuple(bad), tuple(blank))
    if form is Format.JSONL and is_array(content):
        return _read_array(list(array_values(b"".join(lines), name)), name, fields)
    if form is Format.JSONL:
        records = list(jsonl_rows(lines, bad, blank))
    else:
        records = list(csv_rows(lines, name, bad, blank))
    documents = _documents(records, name, fields, bad) if records else ()
    return Reading(documents, tuple(sorted(bad)), tuple(blank))


def _read_array(values: list[tuple[int, Any]], name: str, fields: Fields) -> Reading:
    """Turn an array's values into documents, all of them texts or all objects."""
    texts = bool(values) and all(isinstance(value, str) for _, value in values)
    if texts:
        values = [(line, {"text": value}) for line, value in values]
    bad = [BadLine(line, NO_OBJECT) for line, value in values if not isinstance(value, dict)]
    records = [(line, value) for line, value in values if isinstance(value, dict)]
    documents = _documents(records, name, Fields() if texts else fields, bad) if records else ()
    if texts:
        documents = tuple(replace(document, record=None) for document in documents)
    return Reading(documents, tuple(sorted(bad)))


def _documents(
    rows: list[Row], name: str, fields: Fields, bad: list[BadLine]
) -> tuple[Document, ...]:
    """Turn records into documents. Records whose fields do not serve are added to `bad`."""
    text_field = _field(rows, name, "text", fields.text, TEXT_FIELDS)
    id_field = _field(rows, name, "id", fields.id, ID_FIELDS)
    _field(rows, name, "title", fields.title, ())
    documents = []
    for line, record in rows:
        try:
            text = text_of(record, text_field or "")
            if fields.title is not None and record.get(fields.title) is not None:
                text = join_title(text_of(record, fields.title), text)
            doc_id = _id(record, id_field, required=fields.id is not None)
        except ValueError as error:
            bad.append(BadLine(line, str(error)))
        else:
            documents.append(Document(text, line, doc_id, record))
    return tuple(documents)


def _field(
    rows: list[Row], name: str, role: str, named: str | None, usual: tuple[str, ...]
) -> str | None:
    """Return the field to read: the named one, or the first usual one of the first record with one.

    One field for the whole input, so that a document is never half of what its neighbours are.
    """
    if named is not None:
        if any(named in record for _, record in rows):
            return named
        wanted = f"no record has a field {named!r}"
    else:
        for _, record in rows:
            for field in usual:
                if field in record:
                    return field
        if role != "text":
            return None
        wanted = f"no record has one of the fields {', '.join(usual)}"
    found = listed(record for _, record in rows)
    message = f"{name}: {wanted}; found {found}. Name one with --{role}-field"
    raise InputError(message)


def _id(record: dict[str, Any], field: str | None, required: bool) -> str | None:
    """Return the id as a string. A found field may hold anything; a named one must hold an id."""
    try:
        return None if field is None else id_of(record, field)
    except ValueError:
        if required:
            raise
        return None


def _ranges(numbers: Iterable[int]) -> str:
    """Write 3, 4, 5, 9 as "3-5, 9"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
