"""`zelo plan`: what scoring so many pairs takes, before anything is bought or started."""

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from zelo.bulk.plan import (
    CARDS,
    Card,
    MeasuredRun,
    Workload,
    card_named,
    frame_of,
    own_card,
    read_measured,
    shape_of,
)
from zelo.bulk.plan import plan as make_plan
from zelo.bulk.plan.rendering import rendered
from zelo.cli.options import MODEL, OUTPUT, AsOneJson, as_usage_error
from zelo.cli.render import json_line, out
from zelo.errors import InputError

__all__ = ["EPILOG", "plan"]

EPILOG = """
**Examples**

zelo plan --pairs 1e9 --document-tokens 300 --query-tokens 20 --gpu h100

zelo plan --pairs 2e7 --document-tokens 500 --query-tokens 30 --gpu l4 --price 0.80 --deadline 24h

zelo bench -m zelo-nano --json > mine.json
&& zelo plan -m zelo-nano --pairs 1e6 --document-tokens 150 --query-tokens 8 --measured mine.json
"""
WORK, WHERE = "Work", "Where"  # headings in --help
HOURS = {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0}
DEADLINE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")


def _whole(value: str) -> int:
    """Read 1e9, 1_000 or 1000."""
    try:
        number = float(value.replace(",", ""))
    except ValueError:
        number = math.nan
    if not number.is_integer() or number < 1:
        raise typer.BadParameter(f"{value!r}; give a whole number of at least 1, such as 1e9")
    return int(number)


def _hours(value: str) -> float:
    found = DEADLINE.fullmatch(value.strip().lower())
    if found is None:
        raise typer.BadParameter(f"{value!r}; give a time such as 24h, 90m or 7d")
    return float(found[1]) * HOURS[found[2]]


def plan(
    pairs: Annotated[
        int,
        typer.Option(
            parser=_whole,
            metavar="N",
            help="Pairs of query and document; 1e9 is a thousand million.",
            rich_help_panel=WORK,
        ),
    ],
    document_tokens: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Of a document, on average.", rich_help_panel=WORK),
    ],
    query_tokens: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Of a query, on average.", rich_help_panel=WORK),
    ],
    documents_per_query: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Scored in one call, where they share the query's computation.",
            rich_help_panel=WORK,
        ),
    ] = 100,
    instruction_tokens: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="For models that take one.", rich_help_panel=WORK),
    ] = 0,
    deadline: Annotated[
        float | None,
        typer.Option(
            parser=_hours,
            metavar="TIME",
            help="In which it must be done, such as 24h: how many cards?",
            rich_help_panel=WORK,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="zerank-2, zerank-1, zerank-1-small, zelo-nano, or a folder with config.json.",
            rich_help_panel=MODEL,
        ),
    ] = "zerank-2",
    family: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Kind of model, for a folder that does not tell; it decides about the prompt.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    max_batch_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Tokens of one forward pass. Default: zelo's own.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"{', '.join(CARDS)}.", rich_help_panel=WHERE),
    ] = None,
    tflops: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Of another card: its published peak, dense bfloat16.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(metavar="GB", help="Of another card.", rich_help_panel=WHERE),
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Instead of a card, a speed of your own: what zelo bench --json or zelo score "
            "--json wrote.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Of the card's peak, 0 to 1. Default: what was measured on an H200.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Of an hour of one card or machine, in your currency. Default: no cost is told.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: AsOneJson = False,
) -> None:
    """Say what scoring takes: tokens, operations, hours, memory, cost and cards.

    Nothing is loaded or run. Hours come from a card's published peak and the share of it that was
    measured on one H200, or from a measurement of yours; every assumption is listed.
    """
    with as_usage_error():
        workload = Workload(
            pairs=pairs,
            query_tokens=query_tokens,
            document_tokens=document_tokens,
            documents_per_query=documents_per_query,
            instruction_tokens=instruction_tokens,
        )
        shape = shape_of(model, family)
        frame = frame_of(shape, instructed=instruction_tokens > 0)
        card = _card(gpu, tflops, memory, measured)
        on: Card | MeasuredRun = card or read_measured(measured or Path(), shape, frame)
        made = make_plan(
            workload,
            shape,
            frame,
            on,
            share=share,
            price=price,
            deadline_hours=deadline,
            pack_tokens=max_batch_tokens,
        )
    if as_json:
        json_line(made.as_json())
    else:
        out().print(rendered(made))


def _card(
    gpu: str | None, tflops: float | None, memory: float | None, measured: Path | None
) -> Card | None:
    """Return the card that is meant, or None where a measured run is."""
    own = tflops is not None or memory is not None
    if sum((gpu is not None, own, measured is not None)) != 1:
        message = "say where: one of --gpu, --tflops with --memory, and --measured"
        raise InputError(message)
    if gpu is not None:
        return card_named(gpu)
    if measured is not None:
        return None
    if tflops is None or memory is None:
        raise InputError("of another card, give both --tflops and --memory")
    return own_card(tflops, memory)
