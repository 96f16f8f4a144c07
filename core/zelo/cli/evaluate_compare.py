"""`zelo evaluate compare`: the queries on which two systems differ most, with their texts."""

from pathlib import Path
from typing import Annotated

import typer

from zelo.cli.options import OUTPUT, as_usage_error
from zelo.cli.render import json_line, out, symbols

__all__ = ["EPILOG", "compare"]

EPILOG = """
**Examples**

zelo evaluate compare results/queries/scifact.bm25.jsonl
results/queries/scifact.bm25_zelo-nano.jsonl

zelo evaluate compare A.jsonl B.jsonl --measure RR@10 --top-n 20 --json
"""


def compare(
    a: Annotated[
        Path,
        typer.Argument(
            metavar="A.jsonl", help="One system's queries.", exists=True, dir_okay=False
        ),
    ],
    b: Annotated[
        Path,
        typer.Argument(metavar="B.jsonl", help="Another's.", exists=True, dir_okay=False),
    ],
    measure: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What differs. Default: the evaluation's main measure."),
    ] = None,
    top_n: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Show so many queries.", rich_help_panel=OUTPUT),
    ] = 10,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write one JSON object to stdout, with every query.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
) -> None:
    """Show the queries that changed most from A to B, and which documents moved there.

    The files are those in the folder `queries` that `zelo evaluate` writes.
    """
    from zelo.evaluation.comparing import compare as compare_files
    from zelo.evaluation.reporting import comparison

    with as_usage_error():
        found = compare_files(a, b, measure)
    if as_json:
        json_line(comparison.as_json(found))
        return
    screen = out()
    screen.print(comparison.rendered(found, queries=top_n, symbols=symbols(screen)))
