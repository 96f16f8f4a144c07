"""Which field of a record holds the text and which the id, and how to get them out of it.

A value that does not serve raises ValueError whose message goes on after "the record ...". Knows
nothing of files or formats.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "ID_FIELDS",
    "TEXT_FIELDS",
    "UsualField",
    "id_of",
    "kind",
    "listed",
    "shown",
    "sound_id",
    "text_of",
]

TEXT_FIELDS = ("text", "content", "contents", "document", "page_content", "passage", "body")
"""Where a document's text is looked for, unless the field is named; the first in use counts."""

ID_FIELDS = ("_id", "id", "doc_id", "docid")
"""Where a document's id is looked for, unless the field is named."""

FIELDS_LISTED = 20
LONGEST_NAME = 60  # characters of an id or a field in a message
SURROGATE = re.compile("[\ud800-\udfff]")


class UsualField:
    """The field to read, found by its usual names: the first that any record has.

    One field for the whole input, so that a record is never half of what its neighbours are.
    """

    def __init__(self, usual: Sequence[str]) -> None:
        self._usual = usual
        self._name: str | None = None

    def of(self, record: Mapping[str, Any]) -> str:
        """Return its name, which need not stand in this record if it stood in an earlier one."""
        self._name = self._name or next((name for name in self._usual if name in record), None)
        if self._name is None:
            message = f"has none of the fields {', '.join(self._usual)}; found {listed([record])}"
            raise ValueError(message)
        return self._name


def text_of(record: Mapping[str, Any], field: str) -> str:
    """Return a field that must hold a text."""
    value = _value(record, field)
    if not isinstance(value, str):
        raise ValueError(f"field {field!r} is {kind(value)}, not a string")
    return _whole(value, field)


def id_of(record: Mapping[str, Any], field: str) -> str:
    """Return a field that must hold an id, a string or a whole number, as a string."""
    value = _value(record, field)
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"field {field!r} is {kind(value)}, not a string or whole number")


def sound_id(record: Mapping[str, Any], field: str) -> str:
    """Return a field that must hold an id which is not blank and which any encoding can hold."""
    found = _whole(id_of(record, field), field)
    if not found.strip():
        raise ValueError(f"field {field!r} is empty, so it is no id")
    return found


def listed(records: Iterable[Mapping[str, Any]]) -> str:
    """Return the names of the records' fields, for a message."""
    found = list(dict.fromkeys(field for record in records for field in record))
    told = ", ".join(map(shown, found[:FIELDS_LISTED]))
    return (told + (", ..." if len(found) > FIELDS_LISTED else "")) or "none at all"


def shown(name: str) -> str:
    """Return an id or a field as messages show it: in a broken file it may be a whole document."""
    return repr(name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…")


def kind(value: object) -> str:
    """Name a JSON value's kind as JSON does."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return "a string"
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else "a number"


def _value(record: Mapping[str, Any], field: str) -> Any:
    if field not in record:
        raise ValueError(f"has no field {field!r}")
    return record[field]


def _whole(text: str, field: str) -> str:
    """Return a text that every encoding can hold: JSON can spell half a character."""
    if not text.isascii() and (found := SURROGATE.search(text)):
        raise ValueError(f"field {field!r} holds half a character, \\u{ord(found.group()):04x}")
    return text
