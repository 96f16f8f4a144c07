"""Choosing pairs, from files to files: within queries, and of documents of different queries."""

import os
from collections.abc import Iterator
from typing import NamedTuple

from zelo.training.pairs import CYCLES, PER_QUERIES, Method, Shape, across, sample
from zelo.training.records import Candidates, Pairs, Ratings, read_records, write_records
from zelo.training.stages.reading import OnRead, counted, silent

__all__ = ["Across", "Within", "choose_across", "choose_pairs"]

AnyPath = str | os.PathLike[str]


class Within(NamedTuple):
    """The pairs within queries; what a field means is told by `pairs.Shape`."""

    queries: int
    documents: int
    pairs: int
    degree_min: int | None
    degree_mean: float
    degree_max: int | None
    diameter_max: int | None
    queries_left_out: int
    """They have no two documents."""


class Across(NamedTuple):
    """The pairs across queries."""

    queries: int
    pairs: int
    pairs_per_query: float
    """In which it is on either side."""


def choose_pairs(
    candidates: AnyPath,
    out: AnyPath,
    *,
    method: Method = "cycles",
    cycles: int = CYCLES,
    seed: int = 0,
    on_read: OnRead = silent,
) -> Within:
    """Choose the pairs of every query that has at least two documents.

    Args:
        candidates: file of `records.Candidates`.
        out: file of `records.Pairs`, written whole or not at all.
        method: see `pairs.sample`, as for `cycles` and `seed`.
        cycles: through the documents of a query.
        seed: of chance.
        on_read: told of the queries read.

    Raises:
        InputError: the file is not as it must be, or `pairs.sample` refuses a query.
    """
    shape = Shape()
    left_out = 0

    def chosen() -> Iterator[Pairs]:
        nonlocal left_out
        for record in counted(read_records(candidates, Candidates), "queries", on_read):
            doc_ids = [document.id for document in record.documents]
            if len(doc_ids) < 2:
                left_out += 1
                continue
            found = sample(record.query.id, doc_ids, method=method, cycles=cycles, seed=seed)
            shape.add(found, doc_ids)
            yield found

    write_records(out, chosen())
    return Within(
        shape.queries,
        shape.documents,
        shape.pairs,
        shape.degree_min,
        shape.degree_mean,
        shape.degree_max,
        shape.diameter_max,
        left_out,
    )


def choose_across(
    ratings: AnyPath,
    out: AnyPath,
    *,
    cycles: int = CYCLES,
    each: int = PER_QUERIES,
    seed: int = 0,
    on_read: OnRead = silent,
) -> Across:
    """Choose pairs of documents of different queries.

    Args:
        ratings: file of `records.Ratings`.
        out: file of `records.Pairs`, written whole or not at all.
        cycles: over the queries.
        each: pairs for each two queries that meet.
        seed: of chance.
        on_read: told of the queries read.

    Raises:
        InputError: the file is not as it must be, or `pairs.across` refuses its ratings.
    """
    records = counted(read_records(ratings, Ratings), "queries", on_read)
    found = list(across(records, cycles=cycles, each=each, seed=seed))
    queries = len({name for record in found for name in (record.query, record.against)})
    pairs = sum(len(record.pairs) for record in found)
    write_records(out, found)
    return Across(queries, pairs, 2 * pairs / queries)
