"""TREC run files: in, the candidates of each query; out, the same in the reranker's order.

A row is a line. The lines of a query must follow each other, as in any run that a system wrote, and
stay in one block; so each part of the output is a run file, and all of them joined are one too.
The score column of the input is not read.
"""

import pathlib
import tempfile
from collections.abc import Iterator, Sequence

from zelo.bulk.blocks import Block, Limits, Piece
from zelo.bulk.errors import Reject
from zelo.bulk.formats.form import Raw
from zelo.bulk.formats.lines import lines_of
from zelo.bulk.layout import Layout, Wishes
from zelo.bulk.rows import Answer, Record
from zelo.bulk.sources import Source, open_source
from zelo.corpora import write_run
from zelo.corpora.fields import shown
from zelo.corpora.rows import BadLine, column_rows
from zelo.errors import InputError

__all__ = ["TrecRun"]

COLUMNS = 6
TAG = "zelo"
WHY_IDS = "a run holds ids; name the folder with their texts with --collection"
WHY_NO_LOGIT = "a run has one number for each document, the score; leave --logit out"


class TrecRun:
    """The format."""

    suffix = ".trec"

    def layout(self, source: Source, wishes: Wishes) -> Layout:
        """Return the only one that there is."""
        if not wishes.ids:
            raise InputError(f"{source.name}: {WHY_IDS}")
        if wishes.logit:
            raise InputError(f"{source.name}: {WHY_NO_LOGIT}")
        if wishes.columns:
            raise InputError(f"{source.name}: a run's columns have no names; leave --columns out")
        return Layout("query", "document", many=False, ids=True, score="score", logit=None)

    def pieces(self, source: Source, layout: Layout, limits: Limits) -> Iterator[Piece]:
        """Yield each query's lines; a query that comes again later cannot be ranked in a stream."""
        seen: set[str] = set()
        query: str | None = None
        piece = Piece(0, 0, 0)
        bad: list[BadLine] = []
        with open_source(source.url) as file:
            lines = lines_of(file, source)
            count, size = 0, 0
            for number, columns in column_rows(lines, bad, []):
                row = Piece(lines.count - count, 1 + len(bad), lines.bytes - size)
                count, size = lines.count, lines.bytes
                bad.clear()
                if columns[0] != query:
                    if piece.lines:
                        yield piece
                    query, piece = columns[0], Piece(0, 0, 0)
                    _refuse_again(query, seen, f"{source.name}, line {number}")
                piece = piece.plus(row)
            rest = Piece(lines.count - count, len(bad), lines.bytes - size)
            if (piece := piece.plus(rest)).lines:
                yield piece

    def read(self, source: Source, block: Block, layout: Layout) -> Raw:
        """Read the block's lines."""
        bad: list[BadLine] = []
        raw = Raw([], [])
        seen: set[tuple[str, str]] = set()
        with open_source(source.url) as file:
            lines = lines_of(file, source, block.start, block.end)
            for number, columns in column_rows(lines, bad, []):
                number += block.first - 1
                try:
                    pair = _entry(columns, seen)
                except ValueError as error:
                    raw.rejects.append(Reject(number, str(error)))
                else:
                    raw.records.append(Record(number, *pair, pair))
        raw.rejects.extend(Reject(line + block.first - 1, reason) for line, reason, _ in bad)
        return raw

    def write(
        self, raw: Raw, answers: Sequence[tuple[Record, Sequence[Answer]]], layout: Layout
    ) -> bytes:
        """Rank each query's documents; empty ones come last, ties keep the input's order."""
        found: dict[str, list[tuple[str, Answer]]] = {}
        for record, (answer,) in answers:
            query_id, doc_id = record.carried
            found.setdefault(query_id, []).append((doc_id, answer))
        run = {
            query_id: [(doc_id, answer.score) for doc_id, answer in sorted(ranked, key=_best_first)]
            for query_id, ranked in found.items()
        }
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "part"
            write_run(path, run, TAG)
            return path.read_bytes()

    def close(self) -> None:
        """Nothing stays open."""


def _refuse_again(query: str, seen: set[str], place: str) -> None:
    if query in seen:
        message = (
            f"{place}: query {shown(query)} comes again after another; put the lines of each query "
            "together, as with sort -s -k1,1"
        )
        raise InputError(message)
    seen.add(query)


def _entry(columns: Sequence[str], seen: set[tuple[str, str]]) -> tuple[str, str]:
    if len(columns) != COLUMNS:
        raise ValueError(
            f"has {len(columns)} columns, not {COLUMNS} (query, Q0, document, rank, score, tag)"
        )
    pair = columns[0], columns[2]
    if pair in seen:
        raise ValueError(f"names document {shown(pair[1])} a second time for its query")
    seen.add(pair)
    return pair


def _best_first(ranked: tuple[str, Answer]) -> float:
    """Order by logit, which tells apart what the score rounds to one number."""
    logit = ranked[1].logit
    return float("inf") if logit is None else -logit
