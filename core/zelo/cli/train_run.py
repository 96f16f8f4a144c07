"""`zelo train run`: every stage of zELO, from one configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zelo._common.terminal import printable
from zelo.cli.options import OUTPUT, AsOneJson
from zelo.cli.progress import stages
from zelo.cli.render import errors_to, json_line, note, out, symbols

if TYPE_CHECKING:  # these bring numpy and torch
    from zelo.evaluation.reporting.grids import Grid
    from zelo.training.pipeline import Plan
    from zelo.training.pipeline.stage import Done

__all__ = ["EPILOG", "run"]

EPILOG = """
**Example**

    # mine.toml: paths are relative to this file
    collections = ["scifact/", { path = "cosqa/", queries = 500 }]
    model = "zelo-nano"
    judges = ["bm25", "embedding:all-MiniLM-L6-v2/", "mini=chat:gpt-4.1-mini"]

zelo train run --reference

zelo train run mine.toml --plan

zelo train run mine.toml
"""


GUESSED = (
    "Where nothing is spent yet, what is to come is guessed from the lengths of the texts and a "
    "short answer; a model that reasons at length costs more."
)


def _show_reference(wanted: bool) -> None:
    if wanted:
        from zelo.training.pipeline import reference

        typer.echo(reference(), nl=False)
        raise typer.Exit


def run(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.toml", help="What to train on what.", exists=True, dir_okay=False
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="The work folder. Default: that of the configuration, or beside it, CONFIG-run.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Show the stages, which are done, how much the others are, which votes are there "
            "and what the rest costs; no work.",
        ),
    ] = False,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Stop behind this stage; --plan names them.")
    ] = None,
    redo: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="Do this stage again, though nothing changed."),
    ] = None,
    reference: Annotated[
        bool,
        typer.Option(
            "--reference",
            callback=_show_reference,
            is_eager=True,
            help="Show every key of CONFIG.toml with its default, as TOML, and exit.",
        ),
    ] = False,
    as_json: AsOneJson = False,
) -> None:
    """Train a reranker by zELO: candidates, pairs, judging, ratings, targets, training, evaluation.

    The work folder keeps what every stage leaves, the trained reranker, and a report. Give the same
    command again to go on after a stop, or after a change of the configuration: what is done and
    not affected stays as it is.
    """
    from zelo.training.pipeline import plan as plan_run
    from zelo.training.pipeline import read_config
    from zelo.training.pipeline import run as run_stages

    wanted = read_config(config, out=folder)
    if plan:
        _show_plan(plan_run(wanted), as_json=as_json)
        return
    try:
        with stages() as on_stage:
            report = run_stages(
                wanted, until=until, redo=redo, on_stage=on_stage, on_done=_tell_unless_seen
            )
    except KeyboardInterrupt as stop:  # an error's notes are shown with it
        for told in getattr(stop, "__notes__", []):
            note(told)
        raise
    if as_json:
        json_line(report)
    else:
        screen = out()
        screen.print(_rendered(report, symbols=symbols(screen)))
    _tell_where(report, Path(wanted.out))


def _tell_unless_seen(name: str, done: "Done", before: bool) -> None:
    """Tell how a run in the background goes; on a terminal there are bars."""
    if not errors_to().is_terminal:
        note(f"{name}: done before" if before else f"{name}: done in {done.seconds:,.1f} s")


def _tell_where(report: dict[str, Any], folder: Path) -> None:
    """Name what the run leaves, and what an earlier one left that is not to be taken for it."""
    from zelo.training.pipeline.report import outdated

    reranker = report["reranker"]
    note(f"reranker in {folder / reranker}" if reranker else "no reranker yet")
    for place in outdated(report, folder):
        note(f"{folder / place} is older, of other settings or data; do not use it for this run")
    note(f"report in {folder / 'report.md'}")


def _rendered(report: dict[str, Any], *, symbols: bool) -> RenderableType:
    from zelo.evaluation.reporting.table import Blocks
    from zelo.training.pipeline.grids import overview, stages_of
    from zelo.training.pipeline.remarks import remarks

    parts: list[RenderableType] = []
    for grid in overview(report):
        parts += [_title(grid), Blocks(grid, symbols), Text("")]
    stages = stages_of(report)
    told = (Text(f"\n{printable(remark)}") for remark in remarks(report))
    return Group(*parts, _title(stages), _listed(stages, symbols), *told)


def _show_plan(plan: "Plan", *, as_json: bool) -> None:
    from zelo.training.pipeline.grids import planned_judges, planned_stages

    if as_json:
        stages, judges = ([one._asdict() for one in some] for some in (plan.stages, plan.judges))
        json_line({"stages": stages, "judges": judges, "budget_usd": plan.budget_usd})
        return
    screen = out()
    parts: list[RenderableType] = [_listed(planned_stages(plan), symbols(screen))]
    if plan.judges:
        grid = planned_judges(plan)
        parts += [Text(""), _title(grid), _listed(grid, symbols(screen))]
    if any(one.to_come_usd and not one.spent_usd for one in plan.judges):
        parts.append(Text(f"\n{GUESSED}"))
    if plan.budget_usd is not None:
        parts.append(Text(f"\nJudging stops before {plan.budget_usd:,.2f} USD are spent in all."))
    screen.print(Group(*parts))


def _title(grid: "Grid") -> Text:
    return Text(printable(grid.title), style="bold")


def _listed(grid: "Grid", symbols: bool) -> Table:
    """Lay out a grid whose cells are text."""
    style = box.SIMPLE_HEAD if symbols else box.ASCII2
    table = Table(box=style, show_edge=False, pad_edge=False)
    for head in grid.heads:
        table.add_column(head.name, overflow="fold")
    for row in grid.rows:
        table.add_row(*(Text(printable(entry.text)) for entry in row))
    return table
