"""All blocks in this process, one after the other."""

from collections.abc import Iterator, Sequence

from zelo.bulk.blocks import Block
from zelo.bulk.calls import OnPairs
from zelo.bulk.ledger import Done
from zelo.bulk.worker import Job, Worker

__all__ = ["score_here"]


def score_here(job: Job, blocks: Sequence[Block], on_pairs: OnPairs) -> Iterator[Done]:
    """Yield each block as it is done."""
    worker = Worker(job, on_pairs)
    try:
        for block in blocks:
            yield worker.do(block)
    finally:
        worker.close()
