"""`zelo train across`: which documents of different queries are to be compared."""

from pathlib import Path
from typing import Annotated

import typer

from zelo.cli.options import OUTPUT
from zelo.cli.progress import steps
from zelo.cli.train_figures import counted, show

__all__ = ["EPILOG", "across"]

EPILOG = """
**Examples**

zelo train across ratings.jsonl --out pairs-across.jsonl

**See also** zelo train calibrate --help, which takes these pairs once they are judged
"""


def across(
    ratings: Annotated[
        Path,
        typer.Argument(
            metavar="RATINGS.jsonl", help="Of zelo train fit.", exists=True, dir_okay=False
        ),
    ],
    to: Annotated[
        Path,
        typer.Option("--out", metavar="PAIRS.jsonl", help="To write.", rich_help_panel=OUTPUT),
    ],
    cycles: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Random cycles over the queries; each meets twice as many."
        ),
    ] = 4,
    each: Annotated[
        int, typer.Option(metavar="N", min=1, help="Pairs for each two queries that meet.")
    ] = 4,
    seed: Annotated[int, typer.Option(metavar="N", help="Of chance.")] = 0,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Write the figures as one JSON object.", rich_help_panel=OUTPUT
        ),
    ] = False,
) -> None:
    """Choose pairs of documents of different queries, to learn how far apart the queries are.

    Ratings say which of a query's documents are better, not whether any is good. Documents of like
    standing are drawn from both queries, from the worst to the best.
    """
    from zelo.training.pairs import across as choose
    from zelo.training.records import Ratings, read_records, write_records

    queries = chosen = 0
    with steps() as tell:
        records = counted(read_records(ratings, Ratings), tell, "queries")
        found = list(choose(records, cycles=cycles, each=each, seed=seed))
        queries = len({name for record in found for name in (record.query, record.against)})
        chosen = sum(len(record.pairs) for record in found)
        write_records(to, found)
    show(
        {"queries": queries, "pairs": chosen, "pairs_per_query": 2 * chosen / queries},
        as_json=as_json,
    )
