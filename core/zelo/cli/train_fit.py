"""`zelo train fit`: from preferences to ratings."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zelo.cli.options import OUTPUT, as_usage_error
from zelo.cli.progress import steps
from zelo.cli.render import note
from zelo.cli.train_figures import counted, show
from zelo.collections.fields import shown

if TYPE_CHECKING:  # these bring numpy
    from zelo.training.ratings import Quality
    from zelo.training.ratings.fitting import Disconnected
    from zelo.training.records import Ratings

__all__ = ["EPILOG", "fit"]

NAMED = 20  # of the queries that are left out
EPILOG = """
**Examples**

zelo train fit preferences.jsonl --out ratings.jsonl

zelo train fit preferences.jsonl --out ratings.jsonl --method bradley-terry

zelo train fit preferences.jsonl --add refined.jsonl --out ratings-refined.jsonl

**See also** zelo train refine --help
"""


class Method(StrEnum):
    """How ratings explain preferences."""

    THURSTONE = "thurstone"
    BRADLEY_TERRY = "bradley-terry"


def fit(
    preferences: Annotated[
        Path,
        typer.Argument(
            metavar="PREFERENCES.jsonl", help="Judged pairs.", exists=True, dir_okay=False
        ),
    ],
    to: Annotated[
        Path,
        typer.Option("--out", metavar="RATINGS.jsonl", help="To write.", rich_help_panel=OUTPUT),
    ],
    method: Annotated[
        Method, typer.Option(help="Normal noise, as in the paper's final run, or Elo's logistic.")
    ] = Method.THURSTONE,
    prior: Annotated[
        float,
        typer.Option(
            metavar="X",
            min=0,
            help="Pull of ratings towards 0, which keeps one finite that won everything.",
        ),
    ] = 0.1,
    add: Annotated[
        Path | None,
        typer.Option(
            metavar="PREFERENCES.jsonl",
            help="Further judged pairs of the same queries, by the same judges: those of zelo "
            "train refine.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    skip_disconnected: Annotated[
        bool,
        typer.Option(
            "--skip-disconnected",
            help="Leave out queries whose documents are not connected by judged pairs, and name "
            "them. They have no ratings then, and no targets.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Write the figures as one JSON object.", rich_help_panel=OUTPUT
        ),
    ] = False,
) -> None:
    """Rate every document by its comparisons: by maximum likelihood, with sum 0 for each query.

    All of a query's documents must be connected by judged pairs; a query where they are not is an
    error that names the groups, and then nothing is written.
    """
    from zelo.training.merging import merged
    from zelo.training.ratings import Quality
    from zelo.training.ratings import fit as rate
    from zelo.training.records import Preferences, read_records, write_records

    quality = Quality()
    left_out: list[Disconnected] = []

    def watched(rated: "Iterable[Ratings]") -> "Iterator[Ratings]":
        for record in rated:
            quality.add(record)
            yield record

    with steps() as tell:
        records = counted(read_records(preferences, Preferences), tell, "queries")
        if add is not None:
            records = merged(records, read_records(add, Preferences))
        with as_usage_error():
            rated = rate(
                records,
                method=method.value,
                prior=prior,
                on_disconnected=left_out.append if skip_disconnected else None,
            )
        write_records(to, watched(rated))
    show({**_figures(quality), "queries_left_out": len(left_out)}, as_json=as_json)
    if left_out:
        names = ", ".join(shown(one.query) for one in left_out[:NAMED])
        more = f" and {len(left_out) - NAMED:,} more" if len(left_out) > NAMED else ""
        note(f"left out, as their documents are not connected by judged pairs: {names}{more}")
    if missed := quality.queries - quality.converged:
        note(f"{missed:,} queries did not converge; their records say so")


def _figures(quality: "Quality") -> dict[str, int | float]:
    return {
        "queries": quality.queries,
        "documents": quality.documents,
        "comparisons": quality.comparisons,
        "comparisons_per_document": quality.degree_mean,
        "converged_share": quality.converged_share,
        "iterations_mean": quality.iterations_mean,
        "iterations_max": quality.iterations_max,
        "loss": quality.loss,
    }
