"""What bulk scoring returns."""

from collections.abc import Mapping
from dataclasses import dataclass

from zelo.bulk.ledger import Done

__all__ = ["BulkResult"]


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What lies in the output folder, and what it took."""

    output: str
    files: int
    """Of the input."""
    rows: int
    """Written with their scores."""
    pairs: int
    """Documents scored: one per row, or as many as each row's list has."""
    queries: int
    """Counted in each block: a query whose rows lie in several counts in each."""
    rejects: int
    """Rows left out, all of them listed in `_rejects.jsonl`."""
    empty: int
    """Documents without any text, which score 0 without being read."""
    truncated: int
    """Documents of which only the beginning was read."""
    blocks: int
    blocks_before: int
    """Blocks that an earlier start had done."""
    blocks_again: int
    """Times that this start began a block again, because a worker had died over it."""
    pairs_now: int
    """Documents scored by this start."""
    seconds: float
    """From the call to the end, with planning and loading."""

    @classmethod
    def of(
        cls,
        output: str,
        files: int,
        before: Mapping[int, Done],
        now: Mapping[int, Done],
        seconds: float,
    ) -> "BulkResult":
        """Sum up the blocks that were done before, and those of this start."""
        every = [*before.values(), *now.values()]
        return cls(
            output=output,
            files=files,
            rows=sum(one.rows for one in every),
            pairs=sum(one.pairs for one in every),
            queries=sum(one.queries for one in every),
            rejects=sum(len(one.rejects) for one in every),
            empty=sum(one.empty for one in every),
            truncated=sum(one.truncated for one in every),
            blocks=len(every),
            blocks_before=len(before),
            blocks_again=sum(one.tries - 1 for one in now.values()),
            pairs_now=sum(one.pairs for one in now.values()),
            seconds=seconds,
        )

    @property
    def blocks_now(self) -> int:
        """Blocks that this start did."""
        return self.blocks - self.blocks_before

    @property
    def pairs_per_second(self) -> float:
        """Of this start, planning and loading included."""
        return self.pairs_now / self.seconds if self.seconds else 0.0
