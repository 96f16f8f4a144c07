"""Progress on stderr, for people only: nothing is shown unless stderr is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from zelo._common.terminal import printable
from zelo.cli.render import errors_to, symbols
from zelo.scoring import Progress as Report

__all__ = ["scoring", "stages", "steps", "working"]


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show a spinner until the block ends."""
    console = errors_to()
    if not console.is_terminal:
        yield
        return
    with console.status(printable(what), spinner="dots"):
        yield


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Show a spinner with the name of the step at hand, which the block tells."""
    console = errors_to()
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("starting", spinner="dots") as status:
        yield lambda step: status.update(printable(step))


@contextmanager
def scoring(loading: str | None) -> Iterator[Report | None]:
    """Show a bar from the first report on, and until then a spinner, if `loading` names a model.

    A model that may have to be downloaded shows the download's own bars instead of the spinner.
    """
    console = errors_to()
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("scoring", total=None, visible=False)
        spinner = bar.add_task(f"loading {printable(loading)}", total=None) if loading else None

        def report(done: int, total: int) -> None:
            if spinner is not None:
                bar.update(spinner, visible=False)
            bar.update(task, completed=done, total=total, visible=True)

        yield report


@contextmanager
def stages(shown: bool = True) -> Iterator[Callable[[str], Report]]:
    """Show a bar for each piece of long work, with the time that it still takes, if at all `shown`.

    The block names a piece as it begins, and reports to what that returns. One that reports is done
    when it says so; of pieces side by side, each reports as it begins. One that does not report is
    done when the next begins, or when the block ends without an error. Finished bars stay in sight,
    with the time they took.
    """
    console = errors_to()
    if not (shown and console.is_terminal):
        yield lambda _: lambda done, total: None
        return
    columns = (
        SpinnerColumn(finished_text="✓" if symbols(console) else "*"),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as bar:
        silent: set[TaskID] = set()

        def close_silent() -> None:
            while silent:
                bar.update(silent.pop(), total=1, completed=1)

        def begin(name: str) -> Report:
            close_silent()
            task = bar.add_task(printable(name), total=None)
            silent.add(task)

            def report(done: int, total: int) -> None:
                silent.discard(task)
                bar.update(task, completed=done, total=total)

            return report

        yield begin
        close_silent()
