"""Parquet: a row is a row of the table, and all of its columns are written again as they were.

Rows are streamed: neither a file nor a row group is ever in memory as a whole. A reader remembers
where it stopped, because a row group can only be read from its beginning; the next block of the
file goes on from there, and one further on skips what lies between.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zelo.bulk.blocks import Block, Limits, Piece, joined
from zelo.bulk.errors import Reject
from zelo.bulk.formats.form import Raw
from zelo.bulk.layout import Layout, Wishes, choose_layout
from zelo.bulk.rows import Answer, Record
from zelo.bulk.sources import Source, open_source
from zelo.errors import InputError

__all__ = ["Parquet"]

READ_ROWS = 512
"""Rows decoded at once; also the grain at which a query's rows are gathered for the plan."""
READ_BYTES = 1 << 20
"""Of a column, read ahead at once, instead of all that a row group holds of it."""
COMPRESSION = "zstd"


class Parquet:
    """The format."""

    suffix = ".parquet"

    def __init__(self) -> None:
        self._cursor: _Cursor | None = None

    def layout(self, source: Source, wishes: Wishes) -> Layout:
        """Choose by the schema."""
        with _Opened(source) as opened:
            schema = opened.file.schema_arrow
        lists = [field.name for field in schema if _is_list(field.type)]
        try:
            return choose_layout(schema.names, lists, wishes)
        except ValueError as error:
            raise InputError(f"{source.name}: the table {error}") from error

    def pieces(self, source: Source, layout: Layout, limits: Limits) -> Iterator[Piece]:
        """Read the query column, and of the others only what the file's footer says of them."""
        with _Opened(source) as opened:
            _check(opened.file.schema_arrow, layout, source)
            yield from joined(_rows(opened, layout, limits), limits)

    def read(self, source: Source, block: Block, layout: Layout) -> Raw:
        """Read the block's rows."""
        if self._cursor is None or not self._cursor.reaches(source, block.first):
            self.close()
            self._cursor = _Cursor(source, block.first)
        table = self._cursor.take(block.first, block.lines)
        columns = [_values(table[name]) for name in (layout.query, layout.document)]
        raw = Raw([], [], table)
        for place, (query, document) in enumerate(zip(*columns, strict=True)):
            number = block.first + place
            unread = next((v for v in (query, document) if isinstance(v, UnicodeDecodeError)), None)
            if unread is not None:
                raw.rejects.append(Reject(number, "holds a text that is not UTF-8"))
            else:
                raw.records.append(Record(number, query, document, place))
        return raw

    def write(
        self, raw: Raw, answers: Sequence[tuple[Record, Sequence[Answer]]], layout: Layout
    ) -> bytes:
        """Append the scores as columns of doubles, or of lists of them."""
        table: pa.Table = raw.whole.take([record.carried for record, _ in answers])
        kind = pa.list_(pa.float64()) if layout.many else pa.float64()
        for name, values in _columns([found for _, found in answers], layout).items():
            table = table.append_column(name, pa.array(values, kind))
        content = io.BytesIO()
        pq.write_table(table, content, compression=COMPRESSION)
        return content.getvalue()

    def close(self) -> None:
        """Close the file that was read last."""
        if self._cursor is not None:
            self._cursor.close()
        self._cursor = None


class _Opened:
    """An open Parquet file, for a `with` block."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._raw: BinaryIO = open_source(source.url)
        try:
            self.file = pq.ParquetFile(self._raw, pre_buffer=False, buffer_size=READ_BYTES)
        except (pa.ArrowException, OSError) as error:
            self._raw.close()
            raise self._unreadable(error) from error

    def batches(self, row_group: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a row group, a few hundred at a time."""
        try:
            yield from self.file.iter_batches(
                READ_ROWS, row_groups=[row_group], columns=columns, use_threads=False
            )
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        self._raw.close()

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _unreadable(self, error: Exception) -> InputError:
        return InputError(f"{self._source.name} cannot be read as Parquet: {error}")


class _Cursor:
    """A place in a file, from which reading goes on."""

    def __init__(self, source: Source, first: int) -> None:
        self._source = source
        self._opened = _Opened(source)
        metadata = self._opened.file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._ends = np.cumsum(sizes) if sizes else np.zeros(0, int)
        self._here = first  # the next row, from 1
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._rest: pa.RecordBatch | None = None
        self._go(first)

    def reaches(self, source: Source, first: int) -> bool:
        """Whether a row can be reached without reading anything again."""
        return source == self._source and first >= self._here

    def close(self) -> None:
        """Close the file."""
        self._batches = iter(())
        self._rest = None
        self._opened.close()

    def take(self, first: int, count: int) -> pa.Table:
        """Return rows, and stand behind them."""
        if first > self._here and self._group(first) > self._group(self._here):
            self._go(first)
        self._pull(first - self._here)
        taken = self._pull(count)
        return pa.Table.from_batches(taken, self._opened.file.schema_arrow)

    def _group(self, row: int) -> int:
        return int(np.searchsorted(self._ends, row))

    def _go(self, row: int) -> None:
        """Stand before a row, with what its row group has before it still to be skipped."""
        group = self._group(row)
        self._rest = None
        self._batches = (b for g in range(group, len(self._ends)) for b in self._opened.batches(g))
        self._here = int(self._ends[group - 1]) + 1 if group else 1
        self._pull(row - self._here)

    def _pull(self, count: int) -> list[pa.RecordBatch]:
        """Take the next rows; fewer only at the end of a file that was cut since it was planned."""
        taken = []
        self._here += count
        while count > 0:
            batch = self._rest if self._rest is not None else next(self._batches, None)
            if batch is None:
                raise InputError(f"{self._source.name} has fewer rows than when it was planned")
            taken.append(batch.slice(0, count))
            self._rest = batch.slice(count) if batch.num_rows > count else None
            count -= taken[-1].num_rows
        return taken


def _rows(opened: _Opened, layout: Layout, limits: Limits) -> Iterator[tuple[object, Piece]]:
    """Yield runs of rows with one query. Sizes are the averages of their row group."""
    metadata = opened.file.metadata
    for group in range(metadata.num_row_groups):
        facts = metadata.row_group(group)
        rows = max(facts.num_rows, 1)
        pairs = _documents(facts, layout) / rows
        text = facts.total_byte_size / rows
        fit = max(1, min(int(limits.pairs / max(pairs, 1)), int(limits.text / max(text, 1))))
        for batch in opened.batches(group, [layout.query]):
            for key, length in _runs(batch.column(0)):
                for start in range(0, length, fit):
                    count = min(fit, length - start)
                    yield key, Piece(count, round(count * pairs), int(count * text))


def _documents(facts: Any, layout: Layout) -> int:
    """Return how many documents a row group holds; an empty or missing list counts as one."""
    for place in range(facts.num_columns):
        column = facts.column(place)
        if layout.many and column.path_in_schema.split(".")[0] == layout.document:
            return int(column.num_values)
    return int(facts.num_rows)


def _runs(column: pa.Array) -> Iterator[tuple[object, int]]:
    """Yield each value that rows in a row share, as bytes, and the number of those rows."""
    values = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if not pa.types.is_integer(values.type):
        values = values.cast(pa.large_binary())  # unlike text, compared without being checked
    keys = values.to_pylist()
    start = 0
    for place in range(1, len(keys) + 1):
        if place == len(keys) or keys[place] != keys[start]:
            yield keys[start], place - start
            start = place


def _check(schema: pa.Schema, layout: Layout, source: Source) -> None:
    """Refuse a table whose columns cannot hold what they are to be read as."""
    for name, many in ((layout.query, False), (layout.document, layout.many)):
        if name not in schema.names:
            raise InputError(f"{source.name} has no column {name!r}, which the first file has")
        kind = schema.field(name).type
        one = kind.value_type if _is_list(kind) else kind
        fits = _is_text(one) or (layout.ids and pa.types.is_integer(one))
        fits = fits or (name == layout.document and pa.types.is_struct(one))
        if not fits or _is_list(kind) != many:
            wanted = ("lists of " if many else "") + ("ids" if layout.ids else "strings")
            raise InputError(f"{source.name}: column {name!r} is {kind}, and must hold {wanted}")
    try:
        layout.refuse_taken(schema.names)
    except ValueError as error:
        raise InputError(f"{source.name}: the table {error}") from error


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Return a column's values; in place of one that is not UTF-8, the error."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return error


def _columns(answers: Sequence[Sequence[Answer]], layout: Layout) -> dict[str, list[Any]]:
    scores: list[Any] = [[answer.score for answer in found] for found in answers]
    columns = {layout.score: scores}
    if layout.logit is not None:
        columns[layout.logit] = [[answer.logit for answer in found] for found in answers]
    if not layout.many:
        columns = {name: [value for (value,) in values] for name, values in columns.items()}
    return columns
