"""What a benchmark found, as values. No model, no clock, no screen."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, NamedTuple

__all__ = ["Comparison", "Device", "Machine", "Memory", "Report", "Spread", "WorkloadResult"]


class Spread(NamedTuple):
    """A median and the range around it."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise at least one value."""
        return cls(median(values), min(values), max(values))


class Memory(NamedTuple):
    """Peak resident memory of a process while it scored, above its level with the model loaded."""

    growth_bytes: int
    method: str
    """`kernel high-water mark`, exact, or `sampled`, which may miss a short peak."""


class Device(NamedTuple):
    """What computes."""

    name: str
    memory_bytes: int | None = None
    """Its own memory; None for a processor, which has none."""
    capability: str | None = None
    """CUDA's compute capability, such as `9.0`."""


BUSY = 0.5
"""Load per core from which other work is likely to have disturbed the measurement."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured, and with what."""

    cpu: str
    cores: int
    threads: int
    """Threads that torch computes with."""
    load: float | None
    """Processes that wanted to run in the minute before, where the system tells."""
    versions: dict[str, str]

    def warnings(self) -> list[str]:
        """What a reader must know of it to judge the figures."""
        if self.load is None or self.load <= BUSY * self.cores:
            return []
        return [
            f"The machine was busy (load {self.load:.1f} on {self.cores} cores): times and "
            "ratios are not to be relied on. Measure on an idle machine."
        ]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One peer against zelo on one workload. Runs alternate: zelo, peer, zelo, peer, ..."""

    peer: str
    batch_size: int | None
    """Pairs per forward pass, for peers that have such a setting."""
    zelo_seconds: tuple[float, ...]
    peer_seconds: tuple[float, ...]
    """Time of run i, measured right after `zelo_seconds[i]`."""
    max_logit_difference: float | None
    """Largest absolute difference of raw logits; None where the peer gave no finite number."""
    tolerance: float | None
    """Largest difference at which the two count as having done the same work; None where they are
    not meant to (rounded weights here, other weights there), and times alone are compared."""

    @property
    def agrees(self) -> bool | None:
        """Both sides computed the same scores; None where they were not meant to."""
        if self.tolerance is None:
            return None
        difference = self.max_logit_difference
        return difference is not None and difference <= self.tolerance

    @property
    def ratio(self) -> Spread | None:
        """Peer time divided by zelo time, pair by pair; None if they should agree and do not."""
        if self.agrees is False:
            return None
        pairs = zip(self.peer_seconds, self.zelo_seconds, strict=True)
        return Spread.of([peer / zelo for peer, zelo in pairs])

    def as_json(self) -> dict[str, Any]:
        """Return plain values, with what the properties say written out."""
        ratio = self.ratio
        return asdict(self) | {
            "zelo": Spread.of(self.zelo_seconds)._asdict(),
            "peer_time": Spread.of(self.peer_seconds)._asdict(),
            "agrees": self.agrees,
            "ratio": ratio._asdict() if ratio else None,
        }


@dataclass(frozen=True, slots=True)
class WorkloadResult:
    """All comparisons on one workload."""

    name: str
    documents: int
    query_tokens: int
    document_tokens: int
    """Tokens of all documents, without the prompt's frame."""
    document_tokens_median: float
    document_tokens_longest: int
    logit_spread: float
    """Standard deviation of zelo's logits: what a difference of logits is to be seen against."""
    comparisons: tuple[Comparison, ...]
    memory: dict[str, Memory] = field(default_factory=dict)
    """Growth by side: `zelo` and peers' names; empty where it was not measured."""

    @property
    def best(self) -> Comparison | None:
        """The comparison with the fastest peer."""
        pairs = [c for c in self.comparisons if c.ratio is not None]
        return min(pairs, key=lambda c: c.ratio or Spread(0, 0, 0), default=None)

    def at_batch_size(self, batch_size: int) -> Comparison | None:
        """Return the comparison with the peer at this batch size, if there is one."""
        return next((c for c in self.comparisons if c.batch_size == batch_size), None)


@dataclass(frozen=True, slots=True)
class Report:
    """A whole benchmark."""

    model: str
    """Shape name, or the folder's name."""
    shape: dict[str, int]
    """Layers, hidden size and the like, from the model's own config."""
    dtype: str
    machine: Machine
    rounds: int
    default_batch_size: int
    workloads: tuple[WorkloadResult, ...]

    @property
    def agrees(self) -> bool:
        """Every comparison computed the same scores on both sides."""
        return all(c.agrees is not False for w in self.workloads for c in w.comparisons)

    def as_json(self) -> dict[str, Any]:
        """Return plain values, with what the properties say written out."""
        content = asdict(self)
        content["ratio_means"] = "peer seconds / zelo seconds, median of alternating pairs of runs"
        content["agrees"] = self.agrees
        content["workloads"] = [self._workload(workload) for workload in self.workloads]
        return content

    def _workload(self, workload: WorkloadResult) -> dict[str, Any]:
        default = workload.at_batch_size(self.default_batch_size)
        return asdict(workload) | {
            "comparisons": [c.as_json() for c in workload.comparisons],
            "default": _headline(default),
            "best": _headline(workload.best),
            "memory": {side: memory._asdict() for side, memory in workload.memory.items()},
        }


def _headline(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None or comparison.ratio is None:
        return None
    return {"peer": comparison.peer, "ratio": comparison.ratio.median}
