"""A speed of your own: what `zelo bench --json` or `zelo score --json` measured on your machine."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from zelo.bulk.plan.arithmetic import Workload, operations_of, tokens_of
from zelo.bulk.plan.frames import Frame
from zelo.bulk.plan.models import ModelShape
from zelo.errors import InputError
from zelo.scoring.options import CPU_BATCH_TOKENS

__all__ = ["MeasuredRun", "read_measured"]

UNREADABLE = (KeyError, TypeError, ValueError, IndexError, AttributeError)
"""What a report that is not as it should be raises."""


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """What one run did, and in what time."""

    source: str
    """The command and the workload."""
    machine: str
    pairs: int
    seconds: float
    flop: int | None
    """Floating-point operations, counted as a plan counts them; None where the report does not tell
    what was scored."""
    warnings: tuple[str, ...] = ()

    def seconds_for(self, pairs: int, flop: float) -> float:
        """Return how long other work takes at the same speed: by operations, else by pairs.

        Tokens would mislead: on two cores, an earlier zelo-nano measured at about 190 tokens a
        document took 22 to 25 % less time than by tokens for documents of 30 to 80, and a third
        more for 600, but -1 to 14 % less than by operations.
        """
        if self.flop is None:
            return self.seconds * pairs / self.pairs
        return self.seconds * flop / self.flop


def read_measured(path: Path, shape: ModelShape, frame: Frame) -> MeasuredRun:
    """Read a report of a run with this model.

    Raises:
        InputError: the file cannot be read, is no such report, or is one of another model.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if "workloads" in report:
            return _of_bench(report, shape, frame)
        run = MeasuredRun(
            "zelo score",
            "the machine or cluster of that run",
            int(report["pairs_now"]),
            float(report["seconds"]),
            None,
        )
    except OSError as error:
        raise InputError(f"{path}: it cannot be read: {error.strerror}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except UNREADABLE as error:
        message = f"{path} is no report of `zelo bench --json` or `zelo score --json`"
        raise InputError(message) from error
    if run.pairs < 1 or not run.seconds > 0:
        raise InputError(f"{path}: nothing was scored in that run")
    return run


def _of_bench(report: dict[str, Any], shape: ModelShape, frame: Frame) -> MeasuredRun:
    """Take the largest workload, and the median of zelo's own times."""
    known = {field.name for field in fields(ModelShape)}
    for name, size in report["shape"].items():
        if name in known and getattr(shape, name) != size:
            message = (
                f"it measured {report['model']} ({name} {size:,}), and the plan is for "
                f"{shape.name} ({getattr(shape, name):,}); measure that model"
            )
            raise InputError(message)
    largest = max(report["workloads"], key=lambda workload: int(workload["documents"]))
    documents, tokens = int(largest["documents"]), int(largest["document_tokens"])
    workload = Workload(
        pairs=documents,
        documents_per_query=documents,
        query_tokens=int(largest["query_tokens"]),
        document_tokens=round(tokens / documents),
    )
    packed = tokens_of(workload, frame, CPU_BATCH_TOKENS, shape.context)
    seconds = [t for comparison in largest["comparisons"] for t in comparison["zelo_seconds"]]
    machine = report["machine"]
    busy = machine["load"] is not None and machine["load"] > machine["cores"] / 2
    return MeasuredRun(
        f"zelo bench, {documents} documents of {tokens / documents:.0f} tokens, {report['dtype']}",
        f"{machine['cpu']}, {machine['threads']} threads",
        documents,
        median(map(float, seconds)),
        operations_of(shape, packed).total,
        ("The machine was busy when that was measured",) if busy else (),
    )
