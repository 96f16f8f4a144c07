"""TREC run files: `query Q0 document rank score tag`, divided by white space.

trec_eval ignores the rank: it orders by falling score, which it holds in single precision, and
documents of equal score by falling id. Both functions keep to that.
"""

import ctypes
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Real

from zelo._common.atomic_write import writing
from zelo._common.checks import check_text, file_path, in_order, instance_of
from zelo.corpora.fields import shown
from zelo.corpora.grades import number_of
from zelo.corpora.problems import bad_lines, refuse
from zelo.corpora.rows import BadLine, column_rows, opened
from zelo.errors import InputError

__all__ = ["Run", "read_run", "write_run"]

Run = dict[str, list[tuple[str, float]]]
"""Per query id, its documents with their scores, best first, none twice."""

COLUMNS = 6
LARGEST = 3.4028234663852886e38  # of a float in single precision


def read_run(path: str | os.PathLike[str]) -> Run:
    """Return the rankings of a run file in trec_eval's order.

    Raises:
        InputError: it cannot be read, or a line has another number of columns, a score that is no
            finite number or a document that its query has already; it names all such lines.
    """
    found = file_path("path", path)
    bad: list[BadLine] = []
    run: dict[str, dict[str, float]] = {}
    for line, columns in column_rows(opened(found), bad, []):
        try:
            query_id, doc_id, score = _entry(columns)
            ranking = run.setdefault(query_id, {})
            if doc_id in ranking:
                raise ValueError(f"document {shown(doc_id)} stands twice under {shown(query_id)}")
        except ValueError as error:
            bad.append(BadLine(line, str(error)))
        else:
            ranking[doc_id] = score
    refuse(bad_lines(found, bad), str(found), "mend it, or let the system write it anew")
    return {query_id: _in_order(ranking) for query_id, ranking in run.items()}


def write_run(
    path: str | os.PathLike[str], run: Mapping[str, Sequence[tuple[str, float]]], tag: str
) -> None:
    """Write rankings, best first, so that trec_eval reads each in exactly this order.

    A score is written as it is where that is below the score before it, in single precision. Where
    it ties or does not fall, the next lower number in single precision is written in its place.
    White space in `tag` becomes an underscore. A query without documents leaves no line.

    Raises:
        InputError: an id holds white space, which divides the columns, or is empty; a score is not
            finite or beyond single precision; or a query has a document twice. Nothing is written.
        OutputError: the file cannot be written.
    """
    check_text("tag", tag)
    name = "_".join(tag.split()) or "run"
    lines = [
        f"{query_id} Q0 {doc_id} {rank} {score} {name}\n"
        for query_id, ranking in instance_of("run", run, Mapping).items()
        for rank, (doc_id, score) in enumerate(_falling(query_id, ranking), start=1)
    ]
    place = file_path("path", path)
    with writing(place):
        place.write_bytes("".join(lines).encode())


def _entry(columns: Sequence[str]) -> tuple[str, str, float]:
    if len(columns) != COLUMNS:
        message = (
            f"{len(columns)} columns, not {COLUMNS} (query, Q0, document, rank, score, tag); they "
            "are divided by white space, so no id can hold any"
        )
        raise ValueError(message)
    query_id, _, doc_id, _, score, _ = columns
    try:
        return query_id, doc_id, number_of(score)
    except ValueError as error:
        raise ValueError(f"the score {error}") from None


def _in_order(ranking: Mapping[str, float]) -> list[tuple[str, float]]:
    def place(entry: tuple[str, float]) -> tuple[float, str]:
        doc_id, score = entry
        return _single(score), doc_id  # Python and strcmp order UTF-8 alike

    return sorted(ranking.items(), key=place, reverse=True)


def _falling(query_id: str, ranking: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """Yield the documents with scores of which each is below the one before."""
    _refuse_id(query_id)
    last = math.inf
    seen: set[str] = set()
    name = f"run[{query_id!r}]"
    for entry in in_order(name, ranking, "a list of (id, score) pairs", of_mapping="its items()"):
        doc_id, score = _pair(name, entry)
        _refuse_id(doc_id)
        if doc_id in seen:
            raise InputError(f"document {shown(doc_id)} stands twice under {shown(query_id)}")
        seen.add(doc_id)
        written = score if _single(score) < last else _below(last)
        if not (abs(score) <= LARGEST and abs(written) <= LARGEST):
            pair = f"query {shown(query_id)}, document {shown(doc_id)}"
            raise InputError(f"{pair}: no run file holds the score {score}, so none was written")
        last = _single(written)
        yield doc_id, written


def _pair(name: str, entry: tuple[str, float]) -> tuple[str, float]:
    if isinstance(entry, tuple | list) and len(entry) == 2:
        doc_id, score = entry
        if isinstance(doc_id, str) and isinstance(score, Real):
            return doc_id, float(score)
    raise InputError(f"{name} holds what is no pair of a document's id and a number")


def _single(score: float) -> float:
    """Return a number as single precision holds it."""
    return ctypes.c_float(score).value


def _below(single: float) -> float:
    """Return the next lower number in single precision: its bits count up from zero both ways."""
    value = single or -0.0
    (bits,) = struct.unpack("<i", struct.pack("<f", value))
    (below,) = struct.unpack("<f", struct.pack("<i", bits - 1 if value > 0 else bits + 1))
    return float(below)


def _refuse_id(name: str) -> None:
    if not name or any(character.isspace() for character in name):
        message = (
            f"id {shown(name)} is empty or holds white space, which divides the columns of a run "
            "file, so it cannot be written there"
        )
        raise InputError(message)
