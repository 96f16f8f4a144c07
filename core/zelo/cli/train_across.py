"""`zelo train across`: which documents of different queries are to be compared."""

from typing import Annotated

import typer

from zelo.cli.options import AsOneJson
from zelo.cli.progress import steps
from zelo.cli.train_figures import reading, show
from zelo.cli.train_options import RatingsFile, Seed, ToPairs

__all__ = ["EPILOG", "across"]

EPILOG = """
**Examples**

zelo train across ratings.jsonl --out pairs-across.jsonl

**See also** zelo train calibrate --help, which takes these pairs once they are judged
"""


def across(
    ratings: RatingsFile,
    to: ToPairs,
    cycles: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Random cycles over the queries; each meets twice as many."
        ),
    ] = 4,
    each: Annotated[
        int, typer.Option(metavar="N", min=1, help="Pairs for each two queries that meet.")
    ] = 4,
    seed: Seed = 0,
    as_json: AsOneJson = False,
) -> None:
    """Choose pairs of documents of different queries, to learn how far apart the queries are.

    Ratings say which of a query's documents are better, not whether any is good. Documents of like
    standing are drawn from both queries, from the worst to the best.
    """
    from zelo.training.stages.pairs import choose_across

    with steps() as tell:
        found = choose_across(
            ratings, to, cycles=cycles, each=each, seed=seed, on_read=reading(tell)
        )
    show(found._asdict(), as_json=as_json)
