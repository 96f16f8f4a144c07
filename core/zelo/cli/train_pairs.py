"""`zelo train pairs`: which documents of a query are to be compared."""

from enum import StrEnum
from typing import Annotated

import typer

from zelo.cli.options import AsOneJson
from zelo.cli.progress import steps
from zelo.cli.train_figures import reading, show
from zelo.cli.train_options import CandidatesFile, Seed, ToPairs

__all__ = ["EPILOG", "pairs"]

EPILOG = """
**Examples**

zelo train pairs candidates.jsonl --out pairs.jsonl

zelo train pairs candidates.jsonl --out pairs.jsonl --cycles 2

**See also** zelo train across --help, for pairs of documents of different queries
"""


class Method(StrEnum):
    """How pairs are chosen."""

    CYCLES = "cycles"
    RANDOM = "random"
    FULL = "full"


def pairs(
    candidates: CandidatesFile,
    to: ToPairs,
    method: Annotated[
        Method,
        typer.Option(
            help="Random cycles through a query's documents; as many random pairs; or every pair."
        ),
    ] = Method.CYCLES,
    cycles: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="So many pairs for each document; it meets twice as many."
        ),
    ] = 4,
    seed: Seed = 0,
    as_json: AsOneJson = False,
) -> None:
    """Choose the pairs of documents that are to be judged, query by query.

    Four cycles through 100 documents are 400 of 4,950 pairs. They connect all documents, and each
    meets 8 others. More cycles add to what fewer choose. A query with a single document has no pair
    and is left out.
    """
    from zelo.training.stages.pairs import choose_pairs

    with steps() as tell:
        found = choose_pairs(
            candidates, to, method=method.value, cycles=cycles, seed=seed, on_read=reading(tell)
        )
    show(found._asdict(), as_json=as_json)
