"""`zelo bench`: speed and memory beside sentence-transformers, on the same weights.

A group of commands that is itself one: `zelo bench http` measures a server.
"""

from pathlib import Path
from typing import Annotated

import typer

from zelo.cli.bench_http import EPILOG as HTTP_EXAMPLES
from zelo.cli.bench_http import http
from zelo.cli.options import as_usage_error
from zelo.cli.progress import steps
from zelo.cli.render import json_line, out
from zelo.errors import MissingExtraError, ScoringError

__all__ = ["bench_commands"]

EPILOG = """
**Examples**

zelo bench

zelo bench --documents 100 --peer-batch-sizes 32 --rounds 5

zelo bench --model zelo-nano --no-memory --json
"""


bench_commands = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")
bench_commands.command(epilog=HTTP_EXAMPLES)(http)


@bench_commands.callback(epilog=EPILOG)
def bench(
    context: typer.Context,
    shape: Annotated[
        str, typer.Option(metavar="NAME", help="Random weights of this shape: cpu-small.")
    ] = "cpu-small",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="FOLDER",
            help="A model in the sentence-transformers form, instead of random weights.",
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Where the random model's tokenizer.json is. Default: zelo-nano's.",
        ),
    ] = None,
    documents: Annotated[
        str, typer.Option(metavar="N,...", help="How many documents a query has.")
    ] = "10,100,300",
    peer_batch_sizes: Annotated[
        str,
        typer.Option(metavar="N,...", help="Batch sizes of sentence-transformers; 32 is its own."),
    ] = "4,8,16,32",
    rounds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Alternating pairs of runs per batch size.")
    ] = 3,
    dtype: Annotated[
        str, typer.Option(metavar="NAME", help="float32, bfloat16 or float16, on both sides.")
    ] = "float32",
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads of torch. Default: its own.")
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Also measure peak memory growth.")
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object to stdout.")
    ] = False,
) -> None:
    """Compare zelo with sentence-transformers on the same weights, on this machine's CPU.

    Runs alternate, and ratios are taken pair by pair; a ratio is given only where both sides
    computed the same logits. Keep the machine idle meanwhile: with the defaults on two cores it
    takes about a quarter of an hour.
    """
    if context.invoked_subcommand is not None:
        return
    counts = _numbers("--documents", documents)
    sizes = _numbers("--peer-batch-sizes", peer_batch_sizes)
    try:
        from zelo.bench import Settings, run_bench, shape_named
        from zelo.bench.report import rendered
    except ImportError as error:
        raise MissingExtraError("benchmarking", "bench") from error
    with as_usage_error(), steps() as on_step:
        report = run_bench(
            Settings(
                shape=shape_named(shape),
                model=model,
                tokenizer=tokenizer,
                documents=counts,
                peer_batch_sizes=sizes,
                rounds=rounds,
                dtype=dtype,
                threads=threads,
                memory=memory,
            ),
            on_step,
        )
    if as_json:
        json_line(report.as_json())
    else:
        out().print(rendered(report))
    if not report.agrees:
        raise ScoringError("the two sides computed different logits, so there is no ratio")


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        message = f"{option} {text!r}: give whole numbers with commas between, such as 10,100"
        raise typer.BadParameter(message) from error
