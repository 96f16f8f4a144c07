"""From bytes to rows: one parser per format, each naming the lines that it cannot read.

Knows line numbers and syntax, not which field means what. The parsers take lines of bytes, as
`opened` and `sound_lines` yield them, and append what they could not use to the lists they are
given, so that one bad line never hides the next.
"""

import csv
import gzip
import itertools
import json
import math
import pathlib
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, NoReturn, cast

from zelo.errors import InputError

__all__ = [
    "NO_OBJECT",
    "BadLine",
    "Row",
    "advice",
    "array_values",
    "column_rows",
    "csv_rows",
    "first_cells",
    "is_array",
    "json_rows",
    "jsonl_rows",
    "opened",
    "sound_lines",
    "suffix_of",
    "text_rows",
    "tsv_rows",
    "unpacked",
]

Row = tuple[int, dict[str, Any]]
"""Line where it begins, and the record."""

LONGEST_CSV_FIELD = 2**31 - 1  # characters; the largest that fits a C long everywhere
GZIP = b"\x1f\x8b"
NO_OBJECT = "not a JSON object, {...}"
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
    """Yield a file's lines as they come from the disk, unpacked if they are packed with gzip.

    Raises:
        InputError: it cannot be read, is damaged, or is UTF-16.
    """
    try:
        with path.open("rb") as file, unpacked(file, str(path)) as lines:
            yield from sound_lines(lines, str(path))
    except OSError as error:
        message = f"{path}: it cannot be read: {error.strerror}"
        raise InputError(message) from error


@contextmanager
def unpacked(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Read a file as it was before gzip, whatever its name, if it is packed so.

    Raises:
        InputError: it is packed and damaged.
    """
    packed = file.read(len(GZIP)) == GZIP
    file.seek(0)
    try:
        yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        message = f"{name}: it is packed with gzip and damaged ({error}); fetch it again"
        raise InputError(message) from error


def suffix_of(name: str) -> str:
    """Return the end of a file's name that tells its format: .csv of `a.CSV` and of `a.csv.gz`."""
    return pathlib.PurePath(name.lower().removesuffix(".gz")).suffix


def advice(suffix: str) -> str:
    """Return how to go on with a format that is not read here, for the end of a message."""
    if suffix not in (".parquet", ".pq"):
        return ""
    return (
        "; of a Parquet table pandas makes one: pandas.read_parquet(FILE).to_json('new.jsonl', "
        "orient='records', lines=True). `zelo score` reads tables with a query in each row"
    )


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
                bad.append(BadLine(number, NO_OBJECT))


def is_array(content: bytes) -> bool:
    """Whether JSON is one array, by its first character."""
    return content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def json_rows(
    lines: Iterable[bytes], name: str, bad: list[BadLine], blank: list[int]
) -> Iterator[Row]:
    """Yield every JSON object, of lines as `jsonl_rows` or of one array of them.

    Raises:
        InputError: as `array_values`.
    """
    lines = iter(lines)
    head = list(itertools.islice(lines, 1))
    while head and not head[-1].strip() and (more := next(lines, None)) is not None:
        head.append(more)
    if not (head and is_array(head[-1])):
        yield from jsonl_rows(itertools.chain(head, lines), bad, blank)
        return
    for line, value in array_values(b"".join([*head, *lines]), name):
        if isinstance(value, dict):
            yield line, value
        else:
            bad.append(BadLine(line, NO_OBJECT))


def array_values(content: bytes, name: str) -> Iterator[tuple[int, Any]]:
    """Yield the values of a JSON array, each with the line where it begins.

    Raises:
        InputError: it is not JSON; where a fault is, nobody can tell what follows.
    """
    try:
        text = content.decode()
        values = JSON.decode(text)
    except UnicodeDecodeError as error:
        lines = content[: error.start].split(b"\n")
        reason = _not_utf8(content[error.start], len(lines[-1]) + 1)
        raise InputError(f"{name}: line {len(lines)}: {reason}") from error
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno}: not JSON: {error.msg} at column {error.colno}"
        raise InputError(f"{name}: {reason}") from error
    except ValueError as error:  # from the two hooks, or an integer of thousands of digits
        raise InputError(f"{name}: not JSON: {error}") from error
    except RecursionError as error:
        raise InputError(f"{name}: nested too deeply to be read") from error
    at = text.find("[") + 1
    line = 1 + text.count("\n", 0, at)
    for value in values:
        while text[at] in " \t\r\n,":
            line += text[at] == "\n"
            at += 1
        yield line, value
        start, at = at, JSON.raw_decode(text, at)[1]
        line += text.count("\n", start, at)


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
                problem = _not_utf8(ord(escaped.group()) - 0xDC00)
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
        bad.append(BadLine(number, _not_utf8(raw[error.start], error.start + 1)))
        return None


def _not_utf8(byte: int, place: int | None = None) -> str:
    at = "" if place is None else f" at byte {place}"
    return f"not UTF-8: byte 0x{byte:02x}{at} (if it is Latin-1: iconv -f latin1 -t utf-8)"


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError("a number beyond what a float holds")
    return value


JSON = json.JSONDecoder(parse_constant=_not_json, parse_float=_finite)
