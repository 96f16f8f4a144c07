"""From bytes to rows: one parser per format, each naming the lines that it cannot read.

Knows line numbers and syntax, not which field means what. The parsers take lines of bytes, as
`opened` and `sound_lines` yield them, and append what they could not use to the lists they are
given, so that one bad line never hides the next.
"""

import csv
import itertools
import json
import math
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

from zelo.errors import InputError

__all__ = [
    "BadLine",
    "Row",
    "column_rows",
    "csv_rows",
    "first_cells",
    "jsonl_rows",
    "opened",
    "sound_lines",
    "text_rows",
    "tsv_rows",
]

Row = tuple[int, dict[str, Any]]
"""Line where it begins, and the record."""

LONGEST_CSV_FIELD = 2**31 - 1  # characters; the largest that fits a C long everywhere
UNCLOSED = "a quote is opened and never closed"
ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


class BadLine(NamedTuple):
    """A line, or a CSV row of several lines, that is no record."""

    line: int
    """Number from 1; where a CSV row begins."""
    reason: str
    end: int | None = None
    """Last line of a CSV row of several lines."""

    @property
    def place(self) -> str:
        """Return its name in messages."""
        return f"lines {self.line}-{self.end}" if self.end else f"line {self.line}"


class _Cells(NamedTuple):
    """One row of a table, and what is wrong with it, if something is."""

    start: int
    end: int
    cells: list[str]
    problem: str | None = None


def opened(path: pathlib.Path) -> Iterator[bytes]:
    """Yield a file's lines as they come from the disk.

    Raises:
        InputError: it cannot be read, or is UTF-16.
    """
    try:
        with path.open("rb") as file:
            yield from sound_lines(file, str(path))
    except OSError as error:
        message = f"{path}: it cannot be read: {error.strerror}"
        raise InputError(message) from error


def sound_lines(lines: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yield the lines without a byte order mark; `name` is what errors call the input.

    Raises:
        InputError: they are UTF-16, the other encoding that Windows writes.
    """
    for number, line in enumerate(lines):
        if number == 0 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
            message = f"{name}: this is UTF-16; make it UTF-8: iconv -f utf-16 -t utf-8"
            raise InputError(message)
        sound = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        if sound:
            yield sound


def first_cells(lines: Iterator[bytes]) -> tuple[set[str], Iterator[bytes]]:
    """Return what the first line has between tabs, where a header may stand, and all lines."""
    first = next(lines, b"")
    cells = first.decode("utf-8", "replace").rstrip("\r\n").split("\t")
    return set(cells), itertools.chain([first], lines)


def text_rows(
    lines: Iterable[bytes], bad: list[BadLine], blank: list[int]
) -> Iterator[tuple[int, str]]:
    """Yield every line that is not blank, without its line end and otherwise as it is."""
    for number, raw in _numbered(lines):
        text = _decode(number, raw, bad)
        if text is not None and not text.strip():
            blank.append(number)
        elif text is not None:
            yield number, text


def jsonl_rows(lines: Iterable[bytes], bad: list[BadLine], blank: list[int]) -> Iterator[Row]:
    """Yield every line that is a JSON object. NaN and infinity are not JSON."""
    for number, text in text_rows(lines, bad, blank):
        try:
            record = JSON.decode(text)
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


def csv_rows(
    lines: Iterable[bytes], name: str, bad: list[BadLine], blank: list[int]
) -> Iterator[Row]:
    """Yield every row under the header as a record.

    Raises:
        InputError: the header cannot be read, or names a column twice.
    """
    return _records(_csv_cells(lines), name, bad, blank)


def tsv_rows(
    lines: Iterable[bytes],
    name: str,
    bad: list[BadLine],
    blank: list[int],
    header: Sequence[str] | None = None,
) -> Iterator[Row]:
    """Yield every row as a record; without a `header`, the first row is it.

    Tabs alone divide cells and quotes are letters, so a cell may hold anything else.

    Raises:
        InputError: the header names a column twice.
    """
    table = (
        _Cells(number, number, row.split("\t")) for number, row in text_rows(lines, bad, blank)
    )
    return _records(table, name, bad, blank, header)


def column_rows(
    lines: Iterable[bytes], bad: list[BadLine], blank: list[int]
) -> Iterator[tuple[int, list[str]]]:
    """Yield the columns of every line as TREC's tools see them: divided by ASCII white space."""
    for number, raw in _numbered(lines):
        text = _decode(number, raw, bad)
        if text is not None and not raw.strip():
            blank.append(number)
        elif text is not None:
            yield number, [column.decode() for column in raw.split()]


def _records(
    table: Iterable[_Cells],
    name: str,
    bad: list[BadLine],
    blank: list[int],
    header: Sequence[str] | None = None,
) -> Iterator[Row]:
    known = header is not None
    for start, end, cells, problem in table:
        if header is None:
            if cells or problem:
                header = _header(cells, problem, f"{name}: line {start}")
            else:
                blank.append(start)
            continue
        if not problem and cells and len(cells) != len(header):
            count = len(header)
            due = f"{count} are due: {', '.join(header)}" if known else f"the header has {count}"
            problem = f"{_columns(len(cells))}, but {due}"
        if problem:
            bad.append(BadLine(start, problem, end if end > start else None))
        elif cells:
            yield start, dict(zip(header, cells, strict=True))
        else:
            blank.append(start)


def _header(cells: list[str], problem: str | None, place: str) -> list[str]:
    if problem:
        raise InputError(f"{place}, the header: {problem}")
    for column in cells:
        if cells.count(column) > 1:
            raise InputError(f"{place}, the header: column {column!r} stands there twice")
    return cells


def _csv_cells(lines: Iterable[bytes]) -> list[_Cells]:
    # Bytes that are not UTF-8 come through as lone surrogates, so they spoil their own row only.
    reader = csv.reader((raw.decode("utf-8", "surrogateescape") for raw in lines), strict=True)
    found: list[_Cells] = []
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
            found.append(_Cells(start, reader.line_num, row, problem))
    finally:
        csv.field_size_limit(limit)


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    r"""Yield numbered lines. Only \n ends one: a text may hold form feeds or U+2028."""
    for number, line in enumerate(lines, start=1):
        yield number, line.removesuffix(b"\n").removesuffix(b"\r")


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


JSON = json.JSONDecoder(parse_constant=_not_json, parse_float=_finite)
