"""`zelo export`: a model for another engine, with the command that serves it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from zelo._common.terminal import printable
from zelo.cli.options import (
    OUTPUT,
    AsOneJson,
    Family,
    LocalFilesOnly,
    Revision,
    as_usage_error,
)
from zelo.cli.render import errors_to, json_line, out, symbols

if TYPE_CHECKING:
    from zelo.export import Export

__all__ = ["EPILOG", "export"]

EPILOG = """
**Examples**

zelo export zerank-2 zerank-2-vllm --for vllm

zelo export runs/mine/model mine-st --for sentence-transformers --dtype float32

zelo export qwen3-reranker-0.6b qwen3-gguf --for llama.cpp --dtype q8_0 --json
"""
Report = Callable[[int, int], None]


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Alias, hub id or folder, as --model elsewhere.")
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write; it appears when it is whole.")
    ],
    engine: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="ENGINE",
            help="vllm, sglang, baseten, sentence-transformers or llama.cpp.",
            rich_help_panel=OUTPUT,
        ),
    ],
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How weights are stored: bfloat16 or float32; for llama.cpp f32, bf16 or q8_0. "
            "Default: the smallest that changes no number.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    family: Family = None,
    revision: Revision = None,
    local_files_only: LocalFilesOnly = False,
    probes: Annotated[
        bool,
        typer.Option(
            "--probes/--no-probes",
            help="Compute the scores that a server has to give, for zelo doctor --known: one pass "
            "over the weights. They are compared with what another program reads in the model's "
            "folder, where there is room for it in float32.",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Replace OUT if it exists.", rich_help_panel=OUTPUT)
    ] = False,
    as_json: AsOneJson = False,
) -> None:
    """Write a model for an engine that serves it with zelo's scores, and say how to start it.

    Weights are copied piece by piece, so memory stays small for a model of any size. What could
    not be tried with the engine itself is marked unproven; zelo doctor tells of a running server.
    """
    from zelo.export import export as make

    with as_usage_error(), _bars() as begin:
        found = make(
            model,
            folder,
            engine,
            dtype=dtype,
            family=family,
            revision=revision,
            local_files_only=local_files_only,
            probes=probes,
            force=force,
            on_stage=begin,
        )
    if as_json:
        json_line(found.as_json())
    else:
        _show(found)


def _show(found: "Export") -> None:
    screen = out()
    title = f"{found.model} for {found.engine}: {len(found.files)} files, {_size(found.size)}"
    screen.print(Text(printable(f"{title}, in {found.folder}"), style="bold"))
    _section("Use", found.usage)
    if found.serving is not None:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        for flag in found.serving.flags:
            words = Text(printable(" ".join(flag.words)), overflow="fold")
            table.add_row(words, Text(flag.reason, style="dim"))
        screen.print(table)
    if found.check:
        _section("Ask, from Python", found.client)
        _section("Check", found.check)
    screen.print()
    marks = ("✓ shown", "? unproven") if symbols(screen) else ("shown", "unproven")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for claim, proven, how in found.statements:
        mark = Text(marks[0], "green") if proven else Text(marks[1], "yellow")
        table.add_row(mark, Text.assemble(printable(claim), "\n", (printable(how), "dim")))
    screen.print(table)
    screen.print()
    for note in found.notes:
        screen.print(Text(f"! {printable(note)}"))


def _section(name: str, lines: str) -> None:
    """Print lines that are to be copied, which no wrapping may break."""
    out().print(Text(f"\n{name}", style="bold"))
    for line in lines.split("\n"):
        typer.echo(f"  {printable(line)}")


def _size(count: int) -> str:
    units = ("bytes", "kB", "MB", "GB")
    size, unit = float(count), 0
    while size >= 1000 and unit + 1 < len(units):
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {units[unit]}"


@contextmanager
def _bars() -> Iterator[Callable[[str], Report]]:
    """Show a bar for each piece of work: bytes of weights, or layers."""
    console = errors_to()
    if not console.is_terminal:
        yield lambda name: lambda done, total: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:

        def begin(name: str) -> Report:
            task = bars.add_task(printable(name), total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield begin
