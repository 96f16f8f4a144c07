"""The blocks spread over a pool of Ray Data actors, one scorer each.

The dataset that Ray sees is the plan: its items are block descriptors, a few numbers each. An actor
reads its block, scores it, writes the part and the mark, and hands back the mark. So no row goes
through Ray's object store, and there is nothing to hold back: an actor knows of one block beyond
the one in work, and reads it when it begins with it.

Why not Ray Data's own readers and writers: it runs a task whose actor died again, by default for
ever, which is at-least-once; its writers name files after the task and leave what a failed try
wrote; and its checkpoints (2.60) are of rows, by a column of unique ids that all have to fit into
memory. Here a task may run twice as well, but writes the same name whole, after a look whether the
block is done already, which makes at-least-once exactly-once for whoever reads the output.

An actor that dies takes the block in work with it; Ray starts another one, which begins that block
anew, and would do so for ever. `Tries` counts, for the block that kills whoever touches it.
"""

import json
import logging
import os
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from zelo.bulk.asked import Asked
from zelo.bulk.blocks import Block
from zelo.bulk.calls import OnPairs
from zelo.bulk.ledger import Done
from zelo.bulk.storage import without_key
from zelo.bulk.worker import Job, Worker
from zelo.errors import InputError, MissingExtraError, ScoringError, ZeloError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["refuse_unfit", "score_on_ray"]

MOST_TRIES = 4
"""Of one block. What kills a worker by chance, a lost machine or another's hunger for memory, does
not hit the same block so often."""
BLOCKS_AHEAD = 2
"""Blocks that an actor knows of: the one in work, and the next."""
MOST_ITEMS = 10_000
"""Objects that the driver puts into Ray for the plan; a longer plan has several blocks in each."""
CPUS_OF_A_GPU_WORKER = 1
"""For reading, tokenising and writing."""


class Tries:
    """How often each block was begun; an actor of its own, which outlives those of the pool."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, block: int) -> int:
        """Count one more, and return how many that makes."""
        self._begun[block] += 1
        return self._begun[block]


class BlockActor:
    """What an actor of the pool holds: a worker, and with it the model."""

    def __init__(self, job: Job, tries: Any) -> None:
        self._job = job
        self._tries = tries
        self._worker: Worker | None = None  # made by the first block, whose outcome tells errors

    def __call__(self, batch: "dict[str, np.ndarray]") -> dict[str, list[bytes]]:
        """Do the blocks of a batch, which has one."""
        return {"outcome": [pickle.dumps(self._outcome(text)) for text in batch["block"]]}

    def _outcome(self, text: str) -> "Done | tuple[ZeloError, list[str]]":
        import ray

        block = Block(*json.loads(text))
        try:
            self._worker = self._worker or Worker(self._job)
            if (done := self._worker.found(block)) is not None:
                return done
            tries = ray.get(self._tries.begin.remote(block.number))
            if tries > MOST_TRIES:
                raise ScoringError(_deadly(block, MOST_TRIES))
            return self._worker.do(block, tries)
        except ZeloError as error:  # as a value: Ray wraps what is raised in errors of its own
            return error, getattr(error, "__notes__", [])


def score_on_ray(
    job: Job,
    blocks: Sequence[Block],
    on_pairs: OnPairs,
    *,
    workers: int | None,
    address: str | None,
) -> Iterator[Done]:
    """Yield each block as it is done, in any order.

    Args:
        job: what to do.
        blocks: which blocks are still to be done.
        on_pairs: told the size of each block when it is done.
        workers: actors; default, one per card of the cluster, and without cards one in all.
        address: of a running cluster; default, one of this machine, for as long as it takes.

    Raises:
        ScoringError: workers died again and again over the same blocks, or Ray itself failed.
        ZeloError: as `Worker.do`.
    """
    import ray
    import ray.data

    with _cluster(ray, address):
        pool = _pool(ray, job, workers, len(blocks))
        tries = ray.remote(num_cpus=0)(Tries).remote()
        items = [{"block": json.dumps(block)} for block in blocks]
        plan = ray.data.from_items(items, override_num_blocks=min(len(items), MOST_ITEMS))
        outcomes = plan.map_batches(
            BlockActor,
            batch_size=1,
            fn_constructor_args=(job, tries),
            **pool,
        )
        planned = {block.number: block.pairs for block in blocks}
        for done in _outcomes(ray, outcomes):
            on_pairs(planned[done.block])
            yield done


def _deadly(block: Block, tries: int) -> str:
    last = block.first + block.lines - 1
    return (
        f"{tries} workers died over block {block.number}, rows {block.first} to {last} of file "
        f"{block.source + 1}. That memory ran out is the usual cause: fewer --workers, or a "
        "smaller --block-rows in another folder. What is done is kept"
    )


def _outcomes(ray: Any, outcomes: Any) -> Iterator[Done]:
    try:
        for row in outcomes.iter_rows():
            outcome = pickle.loads(row["outcome"])  # noqa: S301  our own actor's
            if not isinstance(outcome, Done):
                error, notes = outcome
                for note in notes:
                    if note not in getattr(error, "__notes__", []):
                        error.add_note(note)
                raise error
            yield outcome
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # of an error in a task the last line says what it was, of any other the first
        reason = lines[-1 if isinstance(error, ray.exceptions.RayTaskError) else 0]
        message = f"Ray gave up: {reason}. What is done is kept; start again to go on"
        raise ScoringError(message) from error


@contextmanager
def _cluster(ray: Any, address: str | None) -> Iterator[None]:
    """Connect to a cluster, and let go of it at the end; one that the caller uses stays."""
    mine = not ray.is_initialized()
    if mine:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unasked
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's next default
        try:
            ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # Ray raises it bare, where a node does not start in 30 s
            where = f"the cluster at {address}" if address else "a cluster on this machine"
            raise ScoringError(f"{where} could not be reached or started: {error}") from error
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
    try:
        yield
    finally:
        if mine:
            ray.shutdown()


def _pool(ray: Any, job: Job, workers: int | None, blocks: int) -> dict[str, Any]:
    """Return the arguments of map_batches that make the pool of actors."""
    there = ray.cluster_resources()
    cards, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 1))
    elsewhere = "base_url" in job.asked.options or job.asked.options.get("device") == "cpu"
    on_cards = cards > 0 and not elsewhere
    size = min(workers or (cards if on_cards else 1), blocks)
    if on_cards and size > cards:
        raise InputError(f"workers={size}, but the cluster has {cards} cards; one worker needs one")
    if size > cpus:
        raise InputError(f"workers={size}, but the cluster has {cpus} CPUs; one worker needs one")
    nodes = sum(node["Alive"] for node in ray.nodes())
    # a node may not have an equal share of all CPUs, so several nodes get the least
    share = CPUS_OF_A_GPU_WORKER if on_cards or nodes > 1 else max(1, cpus // size)
    return {
        "compute": ray.data.ActorPoolStrategy(
            size=size, max_tasks_in_flight_per_actor=BLOCKS_AHEAD
        ),
        "num_cpus": share,
        "num_gpus": 1 if on_cards else 0,
    }


def refuse_unfit(asked: Asked) -> None:
    """Refuse what other processes cannot reach or may not choose, before anything is planned.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: names what cannot be.
    """
    try:
        import ray.data  # noqa: F401  its own dependencies with it
    except ImportError as error:
        raise MissingExtraError("scoring with --ray", "ray") from error
    for url in (asked.output, *(source.url for source in asked.sources)):
        if url.startswith("memory:"):
            message = f"{without_key(url)} is known to this process alone; leave --ray out"
            raise InputError(message)
    device = asked.options.get("device")
    if device is not None and ":" in device:
        message = (
            f"device={device!r}: Ray gives each worker a card of its own; leave the number out"
        )
        raise InputError(message)
