"""JSON Lines: a row is a line that is a JSON object.

A row is written as the bytes it was read as, with the scores put before its last brace; so what
it carries along stays as it is, to the last digit of a number.
"""

import json
from collections.abc import Iterator, Sequence

from zelo.bulk.blocks import Block, Limits, Piece, joined
from zelo.bulk.errors import Reject
from zelo.bulk.formats.form import Raw
from zelo.bulk.formats.lines import Lines, lines_of
from zelo.bulk.layout import Layout, Wishes, choose_layout
from zelo.bulk.rows import Answer, Record
from zelo.bulk.sources import Source, open_source
from zelo.corpora.rows import BadLine, jsonl_rows
from zelo.errors import InputError

__all__ = ["JsonLines"]


class JsonLines:
    """The format."""

    suffix = ".jsonl"

    def layout(self, source: Source, wishes: Wishes) -> Layout:
        """Choose by the first line that is an object."""
        bad: list[BadLine] = []
        with open_source(source.url) as file:
            for number, record in jsonl_rows(lines_of(file, source), bad, []):
                lists = [name for name, value in record.items() if isinstance(value, list)]
                try:
                    return choose_layout(list(record), lists, wishes)
                except ValueError as error:
                    message = f"{source.name}, line {number}: the row {error}"
                    raise InputError(message) from error
        told = f"; line {bad[0].line} is {bad[0].reason}" if bad else ""
        raise InputError(f"{source.name} holds no JSON object{told}")

    def pieces(self, source: Source, layout: Layout, limits: Limits) -> Iterator[Piece]:
        """Read the file once; lines that are no row count as one pair, to be told of later."""
        with open_source(source.url) as file:
            yield from joined(_rows(lines_of(file, source), layout), limits)

    def read(self, source: Source, block: Block, layout: Layout) -> Raw:
        """Read the block's bytes."""
        bad: list[BadLine] = []
        raw = Raw([], [])
        with open_source(source.url) as file:
            lines = lines_of(file, source, block.start, block.end)
            for number, record in jsonl_rows(lines, bad, []):
                number += block.first - 1
                try:
                    layout.refuse_taken(record)
                    query, document = (_value(record, n) for n in (layout.query, layout.document))
                except ValueError as error:
                    raw.rejects.append(Reject(number, str(error)))
                else:
                    raw.records.append(Record(number, query, document, lines.last.strip()))
        raw.rejects.extend(Reject(line + block.first - 1, reason) for line, reason, _ in bad)
        return raw

    def write(
        self, raw: Raw, answers: Sequence[tuple[Record, Sequence[Answer]]], layout: Layout
    ) -> bytes:
        """Put the scores into the lines; an empty document's logit is null."""
        return b"".join(
            record.carried[:-1].rstrip() + _added(found, layout) + b"}\n"
            for record, found in answers
        )

    def close(self) -> None:
        """Nothing stays open."""


def _rows(lines: Lines, layout: Layout) -> Iterator[tuple[object, Piece]]:
    """Yield the query of each line that is an object, and its size with what came before it."""
    bad: list[BadLine] = []
    blank: list[int] = []
    count, size = 0, 0
    query: object = None
    for _, record in jsonl_rows(lines, bad, blank):
        documents = record.get(layout.document)
        pairs = len(documents) if layout.many and isinstance(documents, list) else 1
        query = record.get(layout.query)
        yield query, Piece(lines.count - count, pairs + len(bad), lines.bytes - size)
        count, size = lines.count, lines.bytes
        bad.clear()
        blank.clear()
    if lines.count > count:
        yield query, Piece(lines.count - count, len(bad), lines.bytes - size)


def _value(record: dict[str, object], name: str) -> object:
    if name not in record:
        raise ValueError(f"has no column {name!r}")
    return record[name]


def _added(answers: Sequence[Answer], layout: Layout) -> bytes:
    scores: list[float] = [answer.score for answer in answers]
    logits = [answer.logit for answer in answers]
    added: dict[str, object] = {layout.score: scores if layout.many else scores[0]}
    if layout.logit is not None:
        added[layout.logit] = logits if layout.many else logits[0]
    return b", " + json.dumps(added, ensure_ascii=False, allow_nan=False).encode()[1:-1]
