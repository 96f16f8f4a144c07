"""From bytes to rows: one parser per format, each naming the lines that it cannot read.

Knows line numbers and syntax, not which field means what. The parsers append what they could not
use to the lists they are given, so that one bad line never hides the next.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from zelo.errors import InputError

__all__ = ["BadLine", "Row", "csv_rows", "jsonl_rows", "text_rows"]

Row = tuple[int, dict[str, Any]]
"""Line where it begins, and the record."""

LONGEST_CSV_FIELD = 2**31 - 1  # characters; the largest that fits a C long everywhere
UNCLOSED = "a quote is opened and never closed"
ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


class BadLine(NamedTuple):
    """A line, or a CSV row of several lines, that is no document."""

    line: int
    """Number from 1; where a CSV row begins."""
    reason: str
    end: int | None = None
    """Last line of a CSV row of several lines."""

    @property
    def place(self) -> str:
        """Return its name in messages."""
        return f"lines {self.line}-{self.end}" if self.end else f"line {self.line}"


def text_rows(content: bytes, bad: list[BadLine], blank: list[int]) -> Iterator[tuple[int, str]]:
    """Yield every line that is not blank, without its line end and otherwise as it is."""
    for number, raw in _lines(content):
        text = _decode(number, raw, bad)
        if text is not None and not text.strip():
            blank.append(number)
        elif text is not None:
            yield number, text


def jsonl_rows(content: bytes, name: str, bad: list[BadLine], blank: list[int]) -> Iterator[Row]:
    """Yield every line that is a JSON object. NaN and infinity are not JSON."""
    for number, raw in _lines(content):
        text = _decode(number, raw, bad)
        if text is None:
            continue
        if not text.strip():
            blank.append(number)
            continue
        try:
            record = json.loads(text, parse_constant=_not_json, parse_float=_finite)
        except json.JSONDecodeError as error:
            bad.append(BadLine(number, f"not JSON: {error.msg} at column {error.colno}"))
        except ValueError as error:  # from the two hooks, or an integer of thousands of digits
            bad.append(BadLine(number, f"not JSON: {error}"))
        except RecursionError:
            bad.append(BadLine(number, "nested too deeply to be read"))
        else:
            if isinstance(record, dict):
                yield number, record
            else:
                bad.append(BadLine(number, "not a JSON object, {...}"))


def csv_rows(content: bytes, name: str, bad: list[BadLine], blank: list[int]) -> Iterator[Row]:
    """Yield every row under the header as a record.

    Raises:
        InputError: the header cannot be read, or names a column twice.
    """
    header: list[str] | None = None
    for start, end, row, problem in _csv_cells(content):
        if header is None:
            if row or problem:
                header = _header(row, problem, f"{name}: line {start}")
            else:
                blank.append(start)
            continue
        if not problem and row and len(row) != len(header):
            problem = f"{_columns(len(row))}, but the header has {len(header)}"
        if problem:
            bad.append(BadLine(start, problem, end if end > start else None))
        elif row:
            yield start, dict(zip(header, row, strict=True))
        else:
            blank.append(start)


def _header(row: list[str], problem: str | None, place: str) -> list[str]:
    if problem:
        raise InputError(f"{place}, the header: {problem}")
    for column in row:
        if row.count(column) > 1:
            raise InputError(f"{place}, the header: column {column!r} stands there twice")
    return row


def _csv_cells(content: bytes) -> list[tuple[int, int, list[str], str | None]]:
    """Return, per row, its first and last line, its cells, and what is wrong if something is."""
    # Bytes that are not UTF-8 come through as lone surrogates, so they spoil their own row only.
    lines = (raw.decode("utf-8", "surrogateescape") for raw in io.BytesIO(content))
    reader = csv.reader(lines, strict=True)
    found: list[tuple[int, int, list[str], str | None]] = []
    limit = csv.field_size_limit(LONGEST_CSV_FIELD)  # of the whole process, so it is put back
    try:
        while True:
            start, row, problem = reader.line_num + 1, [], None
            try:
                row = next(reader)
            except StopIteration:
                return found
            except csv.Error as error:  # the reader goes on with the next line
                problem = UNCLOSED if "end of data" in str(error) else f"not CSV: {error}"
            if escaped := ESCAPED_BYTE.search("\n".join(row)):
                problem = f"not UTF-8: byte 0x{ord(escaped.group()) - 0xDC00:02x}"
            found.append((start, reader.line_num, row, problem))
    finally:
        csv.field_size_limit(limit)


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    r"""Yield numbered lines. Only \n ends one: a text may hold form feeds or U+2028."""
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()  # what follows the last newline is no line
    for number, line in enumerate(lines, start=1):
        yield number, line.removesuffix(b"\r")


def _decode(number: int, raw: bytes, bad: list[BadLine]) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        bad.append(BadLine(number, f"not UTF-8: byte 0x{byte:02x} at byte {error.start + 1}"))
        return None


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError("a number beyond what a float holds")
    return value
