"""`zelo train calibrate`: from ratings to targets that are comparable across queries."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zelo.cli.options import OUTPUT, AsOneJson
from zelo.cli.progress import steps
from zelo.cli.render import note
from zelo.cli.train_figures import reading, show
from zelo.cli.train_options import RatingsFile

if TYPE_CHECKING:  # brings numpy
    from zelo.training.stages.targets import Calibrated

__all__ = ["EPILOG", "calibrate"]

EPILOG = """
**Examples**

zelo train calibrate ratings.jsonl --across preferences-across.jsonl --out targets.jsonl

zelo train calibrate ratings.jsonl --across preferences-across.jsonl
--candidates candidates.jsonl --out targets.jsonl
"""


def calibrate(
    ratings: RatingsFile,
    across: Annotated[
        Path,
        typer.Option(
            metavar="PREFERENCES.jsonl",
            help="Judged pairs across queries: those of zelo train across.",
            exists=True,
            dir_okay=False,
        ),
    ],
    to: Annotated[
        Path,
        typer.Option("--out", metavar="TARGETS.jsonl", help="To write.", rich_help_panel=OUTPUT),
    ],
    candidates: Annotated[
        Path | None,
        typer.Option(
            metavar="CANDIDATES.jsonl",
            help="With grades, for targets that are probabilities of relevance. Default: the "
            "median document of all gets 0.1, and the best twentieth at least 0.9.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    prior: Annotated[
        float, typer.Option(metavar="X", min=0, help="Pull of the offsets towards 0.")
    ] = 0.1,
    as_json: AsOneJson = False,
) -> None:
    """Add to each query's ratings what it takes to compare them with other queries' ratings.

    Then one rising curve turns them into targets in [0, 1]; within a query their order stays.
    """
    from zelo.training.stages.targets import calibrate as make

    with steps() as tell:
        found = make(ratings, across, to, candidates=candidates, prior=prior, on_read=reading(tell))
    show(_figures(found), as_json=as_json)
    if not found.converged:
        note("the offsets did not converge; the targets are of little use")


def _figures(found: "Calibrated") -> dict[str, int | float | str | None]:
    figures = {**found._asdict(), "converged": "yes" if found.converged else "no"}
    del figures["targets"]  # a histogram is for charts
    return figures
