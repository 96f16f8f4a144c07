"""`zelo bench`: speed and memory beside sentence-transformers, on the same weights.

A group of commands that is itself one: `zelo bench http` measures a server, `zelo bench fidelity`
what rounded weights change. With `--suite gpu` it measures all that a card is asked to reach.
"""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zelo.cli.bench_fidelity import EPILOG as FIDELITY_EXAMPLES
from zelo.cli.bench_fidelity import fidelity
from zelo.cli.bench_http import EPILOG as HTTP_EXAMPLES
from zelo.cli.bench_http import http
from zelo.cli.bench_suite import measure_suite
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

zelo bench --suite gpu --out results

zelo bench --suite gpu --shape zerank-2 --peer-url http://127.0.0.1:8000 --peer-scale logit
"""

SUITE = "A suite"  # heading in --help
COMPARISON_ALONE = ("documents", "peer_batch_sizes", "rounds", "dtype", "threads", "memory")
SUITE_ALONE = ("minutes", "folder", "peer_url", "peer_model", "peer_dialect", "peer_scale")


class Suite(StrEnum):
    """Sets of measurements that are made in one run."""

    GPU = "gpu"


bench_commands = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")
bench_commands.command(epilog=HTTP_EXAMPLES)(http)
bench_commands.command(epilog=FIDELITY_EXAMPLES)(fidelity)


@bench_commands.callback(epilog=EPILOG)
def bench(
    context: typer.Context,
    shape: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Random weights of this shape: cpu-small, zerank-2, zerank-1, zerank-1-small.",
        ),
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
    suite: Annotated[
        Suite | None,
        typer.Option(
            help="Instead: all that a card is asked to reach, on the shapes of zerank-2 and "
            "zerank-1-small; on small ones where there is no card.",
            rich_help_panel=SUITE,
        ),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(
            metavar="M", min=0.1, help="What does not fit is left out.", rich_help_panel=SUITE
        ),
    ] = 8.0,
    folder: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FOLDER",
            file_okay=False,
            help="Gets JSON after every measurement, and tables and a chart at the end.",
            rich_help_panel=SUITE,
        ),
    ] = Path("zelo-bench-suite"),
    peer_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A server whose times are measured too, such as vLLM; its key is ZELO_API_KEY's.",
            rich_help_panel=SUITE,
        ),
    ] = None,
    peer_model: Annotated[
        str,
        typer.Option(metavar="NAME", help="What it calls its model.", rich_help_panel=SUITE),
    ] = "zerank-2",
    peer_dialect: Annotated[
        str, typer.Option(metavar="NAME", help="What it speaks.", rich_help_panel=SUITE)
    ] = "auto",
    peer_scale: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What its scores are, if it does not say: probability, logit, logit/5.",
            rich_help_panel=SUITE,
        ),
    ] = None,
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
    if suite is not None:
        _refuse(context, COMPARISON_ALONE, "does not belong to --suite")
        named = (model or shape,) if model or _given(context, "shape") else ()
        measure_suite(
            minutes=minutes,
            folder=folder,
            models=named,
            tokenizer=tokenizer,
            peer_url=peer_url,
            peer_model=peer_model,
            peer_dialect=peer_dialect,
            peer_scale=peer_scale,
            as_json=as_json,
        )
        return
    _refuse(context, SUITE_ALONE, "belongs to --suite")
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


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse options of the other kind of benchmark, rather than ignore them."""
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    given = [options[name] for name in names if _given(context, name)]
    if given:
        raise typer.BadParameter(f"{given[0]} {why}; leave it out")


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        message = f"{option} {text!r}: give whole numbers with commas between, such as 10,100"
        raise typer.BadParameter(message) from error
