"""`zelo score`: files of queries and documents in, a folder of scored rows out."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from zelo._common.terminal import one_line
from zelo.cli.options import (
    DEFAULT_MODEL,
    OUTPUT,
    AsOneJson,
    Compile,
    Device,
    DocumentLimit,
    Dtype,
    Family,
    Head,
    Instruction,
    LocalFilesOnly,
    LongDocuments,
    LongDocumentsRead,
    Model,
    Quantization,
    Revision,
    as_usage_error,
)
from zelo.cli.render import errors_to, json_line, note, out
from zelo.scoring import Progress as Report

if TYPE_CHECKING:
    from zelo.bulk import BulkResult

__all__ = ["EPILOG", "score"]

EPILOG = """
**Examples**

zelo score --input "pairs/*.parquet" --output scored/ --model zerank-2

zelo score --input "s3://bucket/pairs/*.parquet" --output s3://bucket/scored --ray --address auto

zelo score --input bm25.trec --collection scifact/ --output reranked/

zelo score --input pairs.jsonl --output scored/ --columns query=question,document=body --logit
"""
BLOCK_ROWS = 4096  # as `zelo.bulk.scoring` has it, which --help does without
INPUT, WORKERS = "Input", "Ray"  # headings in --help


def score(
    inputs: Annotated[
        list[str],
        typer.Option(
            "--input",
            "-i",
            metavar="FILES",
            help="A file, a folder or a pattern in quotes, here or at any address that fsspec "
            "reaches: .parquet, .jsonl or .trec. May be given several times.",
            rich_help_panel=INPUT,
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="For the scored rows: a part for each block, in the input's format and order.",
            rich_help_panel=OUTPUT,
        ),
    ],
    collection: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="In BEIR layout: the rows, or the lines of a run, hold ids of its texts.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE=NAME,...",
            help="Columns of other names than usual, by role: query, document, score, logit.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Leave out rows that cannot be scored, and list them in _rejects.jsonl.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    model: Model = DEFAULT_MODEL,
    family: Family = None,
    head: Head = None,
    device: Device = None,
    dtype: Dtype = None,
    quantization: Quantization = None,
    compile: Compile = None,
    revision: Revision = None,
    instruction: Instruction = None,
    max_document_tokens: DocumentLimit = None,
    long_documents: LongDocumentsRead = LongDocuments.TRUNCATE,
    local_files_only: LocalFilesOnly = False,
    logit: Annotated[
        bool,
        typer.Option("--logit", help="Write the model's raw output too.", rich_help_panel=OUTPUT),
    ] = False,
    block_rows: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Documents in a block: what a stop costs at most, for each worker.",
            rich_help_panel=OUTPUT,
        ),
    ] = BLOCK_ROWS,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Remove what the folder holds of earlier work, and begin anew.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray", help="Spread the blocks over workers of Ray.", rich_help_panel=WORKERS
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Default: one for each card, and without cards one.",
            rich_help_panel=WORKERS,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Of a running cluster, or auto. Default: one of this machine, for this command.",
            rich_help_panel=WORKERS,
        ),
    ] = None,
    as_json: AsOneJson = False,
) -> None:
    """Score every row of large inputs, on this machine or on many.

    A row is a pair (columns query and document) or a query with a list of documents. It is written
    as it was read, with the probability as score beside it; a run is written in its new order.
    Results are written block by block. Give the same command again to go on after a stop: what is
    done is kept, nothing is lost and nothing stands twice.
    """
    from zelo.bulk import score as run_scoring
    from zelo.bulk.layout import parse_columns

    options = {
        "family": family,
        "head": head,
        "device": device,
        "dtype": dtype,
        "quantization": quantization,
        "compile": compile,
        "revision": revision,
        "max_document_tokens": max_document_tokens,
        "long_documents": long_documents.value,
        "local_files_only": local_files_only,
    }
    if not ray and (workers is not None or address is not None):
        raise typer.BadParameter("--workers and --address are Ray's; add --ray")
    with as_usage_error():
        named = parse_columns(columns)
    if model == DEFAULT_MODEL:
        note("using zelo-nano, a small model for trying out; for quality, --model zerank-2")
    with _bar() as progress:
        result = run_scoring(
            inputs,
            output,
            model,
            reranker={name: value for name, value in options.items() if value is not None},
            instruction=instruction,
            collection=collection,
            columns=named,
            logit=logit,
            block_rows=block_rows,
            skip_bad=skip_bad,
            restart=restart,
            ray=ray,
            workers=workers,
            address=address,
            progress=progress,
        )
    if as_json:
        json_line(_figures(result))
    else:
        out().print(_table(result))
    if result.rejects:
        count = "1 row was" if result.rejects == 1 else f"{result.rejects:,} rows were"
        note(f"{count} left out: {result.output}/_rejects.jsonl says which")


def _figures(result: "BulkResult") -> dict[str, Any]:
    return dataclasses.asdict(result) | {
        "blocks_now": result.blocks_now,
        "pairs_per_second": result.pairs_per_second,
    }


def _table(result: "BulkResult") -> Table:
    laid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_header=False)
    laid.add_column(style="bold", no_wrap=True)
    laid.add_column()
    blocks = f"{result.blocks:,}"
    if result.blocks_before:
        blocks += f", {result.blocks_before:,} of them before"
    for name, value in (
        ("output", result.output),
        ("files read", f"{result.files:,}"),
        ("rows written", f"{result.rows:,}"),
        ("rows left out", f"{result.rejects:,}"),
        ("pairs scored", f"{result.pairs:,}"),
        ("queries", f"{result.queries:,}"),
        ("empty documents", f"{result.empty:,}"),
        ("cut documents", f"{result.truncated:,}"),
        ("blocks", blocks),
        ("blocks begun again", f"{result.blocks_again:,}"),
        ("seconds", f"{result.seconds:,.1f}"),
        ("pairs/s", f"{result.pairs_per_second:,.1f}"),
    ):
        laid.add_row(name, one_line(value))
    return laid


@contextmanager
def _bar() -> Iterator[Report | None]:
    """Show pairs done, their rate since the first of this start, and the time that is left."""
    console = errors_to()
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[pairs]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("planning", total=None, pairs="")
        before: int | None = None
        begun = 0.0

        def report(done: int, total: int) -> None:
            nonlocal before, begun
            if before is None:
                before, begun = done, time.monotonic()
            seconds = time.monotonic() - begun
            rate = f", {(done - before) / seconds:,.0f}/s" if done > before and seconds else ""
            told = f"{done:,} of {total:,} pairs{rate}"
            bar.update(task, description="scoring", completed=done, total=total, pairs=told)

        yield report
