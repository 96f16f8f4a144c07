"""Bulk scoring as one function: from the names of files to a folder of scored rows."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

from zelo._common.checks import (
    at_least_one,
    callable_or_none,
    check_text,
    instance_of,
    path_text,
    positive,
    text_or_none,
    true_or_false,
)
from zelo.bulk.asked import AnyPath, Asked, refuse_changed
from zelo.bulk.blocks import Block, Limits, cut
from zelo.bulk.errors import OtherWorkError
from zelo.bulk.here import score_here
from zelo.bulk.identity import differences
from zelo.bulk.layout import Wishes
from zelo.bulk.ledger import Done, Ledger, Plan
from zelo.bulk.on_ray import refuse_unfit, score_on_ray
from zelo.bulk.result import BulkResult
from zelo.bulk.storage import explained, folder_at
from zelo.bulk.worker import Job
from zelo.errors import InputError
from zelo.scoring import Progress

__all__ = ["BLOCK_ROWS", "score"]

BLOCK_ROWS = 4096
"""Seconds of work on a card; what a kill costs at most, for each worker."""


def score(
    inputs: AnyPath | Sequence[AnyPath],
    output: AnyPath,
    model: AnyPath = "zerank-2",
    *,
    reranker: Mapping[str, Any] | None = None,
    instruction: str | None = None,
    collection: AnyPath | None = None,
    columns: Mapping[str, str] | None = None,
    logit: bool = False,
    block_rows: int = BLOCK_ROWS,
    skip_bad: bool = False,
    restart: bool = False,
    ray: bool = False,
    workers: int | None = None,
    address: str | None = None,
    progress: Progress | None = None,
) -> BulkResult:
    """Score every row of files into a folder; called again after a stop, go on where it stopped.

    Args:
        inputs: files, folders or patterns such as `s3://bucket/*.parquet`, all of one format:
            JSON Lines, Parquet or TREC runs. Rows are pairs, or queries with lists of documents.
        output: folder for the parts, in the format of the input, in the order of the input.
        model: alias, hub id or folder, as of `Reranker`.
        reranker: further arguments of `Reranker`.
        instruction: what counts as relevant, for models that take it.
        collection: folder in BEIR layout; the rows hold ids of its queries and documents.
        columns: names of columns by role, `query`, `document`, `score`, `logit`, where they are
            not the usual ones.
        logit: write the model's raw output beside the score.
        block_rows: documents in a block, which is scored, written and counted as done as one.
        skip_bad: leave rows out that cannot be scored, and list them, instead of stopping.
        restart: remove what the folder holds of earlier work, and begin anew.
        ray: spread the blocks over actors of Ray, instead of doing them here.
        workers: actors; default, one per card, and without cards one.
        address: of a running Ray cluster; default, one on this machine for this call.
        progress: called with pairs done and in all, from any thread; in all is an estimate for
            lists in Parquet files.

    Raises:
        OtherWorkError: the folder holds results of another input, model or setting.
        BadRowsError: rows cannot be scored.
        InputError: files, columns or options cannot be used.
        ModelError: the model cannot be loaded.
        ScoringError: the model gave no score.
        OutputError: the folder cannot be written.
        MissingExtraError: Parquet, another store or Ray needs a package.
    """
    begun = time.monotonic()
    true_or_false("ray", ray)
    text_or_none("address", address)
    if not ray and (workers is not None or address is not None):
        raise InputError("workers= and address= are Ray's; give ray=True (--ray) with them")
    workers = positive("workers", workers)
    block_rows = at_least_one("block_rows", block_rows)
    for name, flag in (("logit", logit), ("skip_bad", skip_bad), ("restart", restart)):
        true_or_false(name, flag)
    check_text("instruction", "" if instruction is None else instruction)
    callable_or_none("progress", progress)
    columns = {} if columns is None else dict(instance_of("columns", columns, Mapping))
    reranker = {} if reranker is None else dict(instance_of("reranker", reranker, Mapping))
    wishes = Wishes(columns, ids=collection is not None, logit=logit)
    settings = {"instruction": instruction, "block_rows": block_rows}
    model = path_text("model", model)
    asked = Asked.of(inputs, output, model, reranker, collection, wishes, settings)
    if ray:
        refuse_unfit(asked)
    ledger = Ledger(folder_at(asked.output))
    plan = _planned(ledger, asked, Limits(block_rows), restart)
    before = ledger.done(plan)
    left = [block for block in plan.blocks if block.number not in before]
    job = Job(asked, plan.names, instruction, skip_bad)
    report = _Report(plan, before, progress)
    with closing(_executed(job, left, report, ray, workers, address)) as finished:
        now = {one.block: one for one in finished}
    refuse_changed(asked.sources)
    ledger.finish(plan, [source.name for source in asked.sources], before | now)
    seconds = time.monotonic() - begun
    return BulkResult.of(ledger.folder.url, len(asked.sources), before, now, seconds)


def _planned(ledger: Ledger, asked: Asked, limits: Limits, restart: bool) -> Plan:
    """Return the folder's plan if it is of this work, or make it one."""
    plan = ledger.plan()
    if plan is not None and restart:
        ledger.clear()
        plan = None
    if plan is None:
        plan = Plan(asked.work, asked.form.suffix, _blocks(asked, limits))
        ledger.begin(plan)
    elif found := differences(plan.work, asked.work):
        raise OtherWorkError(ledger.folder.url, found)
    return plan


def _blocks(asked: Asked, limits: Limits) -> list[Block]:
    blocks: list[Block] = []
    for place, source in enumerate(asked.sources):
        with explained(source.name, "read", InputError):
            pieces = asked.form.pieces(source, asked.layout, limits)
            blocks.extend(cut(pieces, limits, place, len(blocks)))
    return blocks


class _Report:
    """Turns steps into pairs done of all."""

    def __init__(self, plan: Plan, done: Mapping[int, Done], progress: Progress | None) -> None:
        self._total = sum(block.pairs for block in plan.blocks)
        self._done = sum(block.pairs for block in plan.blocks if block.number in done)
        self._progress = progress
        self(0)

    def __call__(self, count: int) -> None:
        """Count further pairs; estimates of a plan never make it more than all."""
        self._done = min(self._done + count, self._total)
        if self._progress is not None:
            self._progress(self._done, self._total)


def _executed(
    job: Job,
    blocks: Sequence[Block],
    report: _Report,
    ray: bool,
    workers: int | None,
    address: str | None,
) -> Generator[Done]:
    if not blocks:
        return
    if not ray:
        yield from score_here(job, blocks, report)
        return
    yield from score_on_ray(job, blocks, report, workers=workers, address=address)
