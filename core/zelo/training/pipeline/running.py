"""Carrying out a run: stage after stage, what is done left alone, and the report at the end.

A work folder belongs to one process at a time. What was killed goes on with the same call: a stage
leaves its outputs whole or not at all, and votes, rankings, scores and training steps are kept as
they come in.
"""

import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from zelo._common.journal import Journal
from zelo.errors import InputError, ScoringError, ZeloError
from zelo.training.learning.launched import is_one_of_several
from zelo.training.pipeline.asking import Asking, asking
from zelo.training.pipeline.chain import Chain
from zelo.training.pipeline.expecting import expected
from zelo.training.pipeline.remarks import standings
from zelo.training.pipeline.report import Report, report_of
from zelo.training.pipeline.stage import Done, Ledger, Stage, Tell
from zelo.training.pipeline.tables import Config

__all__ = ["Plan", "Planned", "plan", "run"]

LEDGER = "stages.sqlite"


class Planned(NamedTuple):
    """A stage of a run, before anything is done."""

    stage: str
    done: bool
    """With the inputs and settings of now. One whose inputs are yet to be made is not, even if it
    will turn out that they did not change."""
    amount: Mapping[str, int]
    """How much it is: what it came to, or else at most; of what, by name."""


class Plan(NamedTuple):
    """A run, before anything is done."""

    stages: tuple[Planned, ...]
    judges: tuple[Asking, ...]
    """What each is asked, and what it costs; BM25, which costs nothing, is left out."""
    budget_usd: float | None


def run(
    config: Config,
    *,
    until: str | None = None,
    redo: str | None = None,
    on_stage: Tell | None = None,
    on_done: Callable[[str, Done, bool], None] | None = None,
) -> Report:
    """Carry out a run, as far as it is not done, and write its report, also where it is stopped.

    Before the first stage everything is checked that can be checked without work: names, files,
    splits, judges, prices, measures, and that the models can be trained; one of the hub is fetched.
    What stops a stage has notes that say how to go on.

    Args:
        config: what `read_config` returned.
        until: the last stage; default, all.
        redo: a stage to do again, as if it had not been done.
        on_stage: told of each piece of long work.
        on_done: told of each stage at its end: its name, how it ended, and whether it had been
            done before.

    Raises:
        InputError: something cannot be used, or another process is at work in the folder.
        BudgetError: the budget for judging is spent; a higher one goes on from there.
        ScoringError: a judge or a model failed. What was done is kept.
        ModelError: a model cannot be read.
        MissingExtraError: a package for what is to be done is not installed.
    """
    from zelo.training.pipeline.reporting import write_report  # brings matplotlib

    _check_alone()
    chain = Chain(config)
    wanted = chain.stages[: _place(chain, until) + 1] if until is not None else chain.stages
    again = chain.stages[_place(chain, redo)] if redo is not None else None
    with Journal(chain.folder / LEDGER) as journal:
        for partial in chain.folder.rglob(".*.partial"):  # of a process that was killed
            partial.unlink(missing_ok=True)
        ledger = Ledger(journal, chain.folder)
        if again is not None:
            ledger.forget(again)
        _check(chain.stages, ledger)  # what lies behind `until` is wanted some day
        for stage in wanted:
            if ledger.done(stage) is None:
                stage.fetch()
        for stage in wanted:
            found = ledger.done(stage)
            try:
                done = found or ledger.carry_out(stage, _telling(stage.name, on_stage))
            except (ZeloError, KeyboardInterrupt) as stop:
                _stopped(stop, stage, report_of(chain, ledger), chain.folder)
                raise
            chain.readings.forget()  # what comes next needs the memory
            if on_done is not None:
                on_done(stage.name, done, found is not None)
        report = report_of(chain, ledger)
    write_report(report, chain.folder)
    return report


def plan(config: Config) -> Plan:
    """Return the stages of a run, which of them are done, and what judging costs; no work is done.

    What is not done is checked as `run` does, but for a model on the hub, which is not fetched.

    Raises:
        InputError: as `run`.
        ModelError: as `run`.
    """
    chain = Chain(config)
    if not (chain.folder / LEDGER).exists():
        return _planned(chain, Ledger(None, chain.folder))
    with Journal(chain.folder / LEDGER) as journal:
        return _planned(chain, Ledger(journal, chain.folder))


def _planned(chain: Chain, ledger: Ledger) -> Plan:
    _check(chain.stages, ledger)
    found = ledger.standing(chain.stages)
    figures = {name: done.figures for name, done in found.items() if done is not None}
    amounts = expected(chain.config, chain.readings, list(found), figures)
    return Plan(
        tuple(Planned(name, done is not None, amounts[name]) for name, done in found.items()),
        tuple(asking(chain, found, amounts)),
        chain.config.judge.budget_usd,
    )


def _check(stages: Iterable[Stage], ledger: Ledger) -> None:
    for stage in stages:
        if ledger.done(stage) is None:
            stage.check()


def _stopped(stop: BaseException, stage: Stage, report: Report, folder: pathlib.Path) -> None:
    """Write the report of what is done, and say in notes of the error how to go on."""
    from zelo.training.pipeline.reporting import write_report

    if stage.name.startswith("calibrate"):  # perhaps it is the judge that cannot be calibrated
        for sentence in standings(report):
            stop.add_note(sentence)
    try:
        write_report(report, folder)
        stop.add_note(f"report so far in {folder / 'report.md'}")
    except OSError as error:
        stop.add_note(f"the report could not be written: {error.strerror or error}")
    begin = f"{stage.name} is not done; what was done before it is kept"
    if isinstance(stop, ScoringError | KeyboardInterrupt):
        stop.add_note(f"{begin}, and the same command goes on")
    else:
        stop.add_note(f"{begin}; when the cause is mended, the same command goes on")


def _place(chain: Chain, name: str) -> int:
    names = [stage.name for stage in chain.stages]
    if name not in names:
        message = f"this run has no stage {name!r}; it has {', '.join(names)}"
        raise InputError(message)
    return names.index(name)


def _telling(name: str, on_stage: Tell | None) -> Tell:
    if on_stage is None:
        return lambda _: lambda done, total: None
    return lambda what: on_stage(f"{name}: {what}")


def _check_alone() -> None:
    if is_one_of_several():
        message = (
            "zelo train run is one process, so that every pair is judged once; start it without "
            "accelerate or torchrun, and for several cards set processes= in [pointwise]"
        )
        raise InputError(message)
