"""Rating documents, from files to files."""

import os
from collections.abc import Iterator
from typing import NamedTuple

from zelo.training.merging import merged
from zelo.training.ratings import PRIOR, Method, Quality, fit
from zelo.training.ratings.fitting import Disconnected
from zelo.training.records import Preferences, Ratings, read_records, write_records
from zelo.training.stages.reading import OnRead, counted, silent

__all__ = ["Rated", "rate"]

AnyPath = str | os.PathLike[str]
NAMED = 20  # of the queries that are left out


class Rated(NamedTuple):
    """How well the ratings of all queries fit; see `ratings.Quality`."""

    queries: int
    documents: int
    comparisons: int
    comparisons_per_document: float
    converged_share: float
    iterations_mean: float
    iterations_max: int
    loss: float
    not_converged: int
    """Queries."""
    queries_left_out: int
    """Their documents are not connected by judged pairs."""
    left_out: list[str]
    """The first of them."""


def rate(
    preferences: AnyPath,
    out: AnyPath,
    *,
    add: AnyPath | None = None,
    method: Method = "thurstone",
    prior: float = PRIOR,
    skip_disconnected: bool = False,
    on_read: OnRead = silent,
) -> Rated:
    """Fit the ratings of every query.

    Args:
        preferences: file of `records.Preferences`.
        out: file of `records.Ratings`, written whole or not at all.
        add: file of further preferences of the same queries; see `merging.merged`.
        method: see `ratings.fit`, as for `prior`.
        prior: precision of the normal prior.
        skip_disconnected: leave out a query whose documents are not connected by judged pairs.
        on_read: told of the queries read.

    Raises:
        InputError: a file or an option is not as it must be, or the documents of a query are not
            connected and it is not to be left out.
    """
    quality = Quality()
    left_out: list[Disconnected] = []

    def watched() -> Iterator[Ratings]:
        records = counted(read_records(preferences, Preferences), "queries", on_read)
        for record in fit(
            records if add is None else merged(records, read_records(add, Preferences)),
            method=method,
            prior=prior,
            on_disconnected=left_out.append if skip_disconnected else None,
        ):
            quality.add(record)
            yield record

    write_records(out, watched())
    return Rated(
        quality.queries,
        quality.documents,
        quality.comparisons,
        quality.degree_mean,
        quality.converged_share,
        quality.iterations_mean,
        quality.iterations_max,
        quality.loss,
        quality.queries - quality.converged,
        len(left_out),
        [one.query for one in left_out[:NAMED]],
    )
