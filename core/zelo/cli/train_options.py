"""What several commands of `zelo train` take, with its help: files between stages, and the seed."""

from pathlib import Path
from typing import Annotated

import typer

from zelo.cli.options import OUTPUT

__all__ = [
    "CandidatesFile",
    "JudgedPairs",
    "ModelFolder",
    "RatingsFile",
    "Seed",
    "Texts",
    "ToPairs",
]

CandidatesFile = Annotated[
    Path,
    typer.Argument(
        metavar="CANDIDATES.jsonl", help="Queries and documents.", exists=True, dir_okay=False
    ),
]
Texts = Annotated[
    Path,
    typer.Option(
        "--candidates",
        metavar="FILE",
        help="The texts: what zelo train candidates writes.",
        exists=True,
        dir_okay=False,
    ),
]
JudgedPairs = Annotated[
    Path,
    typer.Argument(
        metavar="PREFERENCES.jsonl",
        help="Judged pairs: what zelo train judge writes.",
        exists=True,
        dir_okay=False,
    ),
]
RatingsFile = Annotated[
    Path,
    typer.Argument(
        metavar="RATINGS.jsonl", help="What zelo train fit writes.", exists=True, dir_okay=False
    ),
]
ToPairs = Annotated[
    Path,
    typer.Option("--out", metavar="PAIRS.jsonl", help="To write.", rich_help_panel=OUTPUT),
]
ModelFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="For the model and its learning curve. The same command goes on from the checkpoint "
        "that a stopped one left there.",
        file_okay=False,
        rich_help_panel=OUTPUT,
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Of chance.")]
