"""`zelo train fit`: from preferences to ratings."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zelo.cli.options import OUTPUT, AsOneJson, as_usage_error
from zelo.cli.progress import steps
from zelo.cli.render import note
from zelo.cli.train_figures import reading, show
from zelo.cli.train_options import JudgedPairs
from zelo.corpora.fields import shown

__all__ = ["EPILOG", "fit"]

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
    preferences: JudgedPairs,
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
    as_json: AsOneJson = False,
) -> None:
    """Rate every document by its comparisons: by maximum likelihood, with sum 0 for each query.

    All of a query's documents must be connected by judged pairs; a query where they are not is an
    error that names the groups, and then nothing is written.
    """
    from zelo.training.ratings.fitting import check_prior
    from zelo.training.stages.ratings import rate

    with as_usage_error():
        check_prior(prior)
    with steps() as tell:
        found = rate(
            preferences,
            to,
            add=add,
            method=method.value,
            prior=prior,
            skip_disconnected=skip_disconnected,
            on_read=reading(tell),
        )
    figures = found._asdict()
    del figures["left_out"]  # they are named below
    show(figures, as_json=as_json)
    if found.left_out:
        names = ", ".join(map(shown, found.left_out))
        unnamed = found.queries_left_out - len(found.left_out)
        more = f" and {unnamed:,} more" if unnamed else ""
        note(f"left out, as their documents are not connected by judged pairs: {names}{more}")
    if found.not_converged:
        note(f"{found.not_converged:,} queries did not converge; their records say so")
