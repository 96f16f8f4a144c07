"""`zelo train calibrate`: from ratings to targets that are comparable across queries."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zelo.cli.options import OUTPUT
from zelo.cli.progress import steps
from zelo.cli.render import note
from zelo.cli.train_figures import counted, show

if TYPE_CHECKING:  # brings numpy
    from zelo.training.calibration import Curve, Offsets

__all__ = ["EPILOG", "calibrate"]

EPILOG = """
**Examples**

zelo train calibrate ratings.jsonl --across preferences-across.jsonl --out targets.jsonl

zelo train calibrate ratings.jsonl --across preferences-across.jsonl
--candidates candidates.jsonl --out targets.jsonl
"""


def calibrate(
    ratings: Annotated[
        Path,
        typer.Argument(
            metavar="RATINGS.jsonl", help="Of zelo train fit.", exists=True, dir_okay=False
        ),
    ],
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
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Write the figures as one JSON object.", rich_help_panel=OUTPUT
        ),
    ] = False,
) -> None:
    """Add to each query's ratings what it takes to compare them with other queries' ratings.

    Then one rising curve turns them into targets in [0, 1]; within a query their order stays.
    """
    from zelo.training import calibration
    from zelo.training.records import (
        Candidates,
        Preferences,
        Ratings,
        read_records,
        write_records,
    )

    with steps() as tell:
        rated = list(counted(read_records(ratings, Ratings), tell, "ratings"))
        pairs = counted(read_records(across, Preferences), tell, "pairs of queries")
        found = calibration.offsets(rated, pairs, prior=prior)
        if candidates is None:
            curve = calibration.by_quantiles(rated, found.by_query)
        else:
            judged = counted(read_records(candidates, Candidates), tell, "candidates")
            curve = calibration.anchored(rated, found.by_query, judged)
        write_records(to, calibration.calibrate(rated, found.by_query, curve))
    show(_figures(found, curve), as_json=as_json)
    if not found.converged:
        note("the offsets did not converge; the targets are of little use")


def _figures(found: "Offsets", curve: "Curve") -> dict[str, int | float | str | None]:
    values = found.by_query.values()
    return {
        "queries": len(found.by_query),
        "comparisons_across": found.comparisons,
        "converged": "yes" if found.converged else "no",
        "loss": found.loss,
        "offset_min": min(values),
        "offset_max": max(values),
        "scale": curve.scale,
        "shift": curve.shift,
        "relevant": curve.relevant or None,
        "not_relevant": curve.other or None,
    }
