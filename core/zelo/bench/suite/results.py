"""What a suite found: one row per measurement. No model, no clock, no screen."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from zelo.bench.results import Comparison, Device, Machine, Spread

__all__ = [
    "BFLOAT16",
    "FP8",
    "Against",
    "Ceiling",
    "Key",
    "Loading",
    "Measure",
    "PeakMemory",
    "Result",
    "Row",
    "Speed",
    "Stream",
    "SuiteReport",
]

Measure = Literal["loading", "speed", "stream", "against", "memory"]
BFLOAT16, FP8 = "none", "fp8"
"""Quantisation of the weights: none, which is bfloat16 on a card, or fp8."""
GIB = 2**30


class Key(NamedTuple):
    """Which measurement a row is."""

    model: str
    """Name of a shape, or of a folder."""
    quantization: str
    """`none` or `fp8`."""
    measure: Measure
    workload: str = ""
    peer: str = ""

    def __str__(self) -> str:
        parts = (self.model, self.quantization, self.workload or self.measure)
        return ", ".join(parts) + (f", against {self.peer}" if self.peer else "")


@dataclass(frozen=True, slots=True)
class Loading:
    """Getting a model ready: reading it, moving it, compiling it, one pass."""

    seconds: float
    compiled: int
    """Graphs that torch compiled meanwhile; on a card there should be some."""

    @property
    def figures(self) -> dict[str, float | None]:
        """What a figure can be asked of, by name."""
        return {"seconds": self.seconds}


@dataclass(frozen=True, slots=True)
class Speed:
    """Calls of `Reranker.score`, tokenisation included, one after the other."""

    seconds: tuple[float, ...]
    """Of each timed call."""
    first_seconds: float
    """Of the first call with this workload, which is not timed: it may have had to compile."""
    compiled: int
    """Graphs that were compiled during the timed calls; there should be none."""
    encoding_seconds: float
    """Tokenisation alone, which is part of each call."""
    documents: int
    text_bytes: int
    """UTF-8 of the documents."""
    unique_tokens: int
    """Tokens that must go through the model, the query's prefix counted once."""
    unshared_tokens: int
    """Tokens of all prompts, each with its prefix."""
    projection_weights: int
    """Of all layers, without embeddings."""
    ceiling: float
    """Floating-point operations per second of the measured matrix product."""

    @property
    def spread(self) -> Spread:
        """Median and range of the timed calls."""
        return Spread.of(self.seconds)

    @property
    def figures(self) -> dict[str, float | None]:
        """What a figure can be asked of, by name."""
        seconds = self.spread.median
        return {
            "seconds": seconds,
            "share": self.share(seconds),
            "tokens_per_s": self.unique_tokens / seconds,
            "pairs_per_s": self.documents / seconds,
        }

    def share(self, seconds: float) -> float:
        """Return 2 x projection weights x unique tokens / time, as a share of the ceiling."""
        return 2 * self.projection_weights * self.unique_tokens / seconds / self.ceiling


@dataclass(frozen=True, slots=True)
class Stream:
    """Many calls from several threads at once."""

    calls: int
    threads: int
    seconds: float
    documents: int
    unique_tokens: int
    idle_share: float | None
    """Of the time between the first kernel and the end of the last, the share in which none ran;
    None where there is no card, or its profiler saw nothing."""

    @property
    def figures(self) -> dict[str, float | None]:
        """What a figure can be asked of, by name."""
        return {
            "idle_share": self.idle_share,
            "pairs_per_s": self.documents / self.seconds,
            "tokens_per_s": self.unique_tokens / self.seconds,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Against:
    """zelo and a peer in turn, on one workload."""

    comparison: Comparison
    probes: dict[int, float]
    """Seconds of one run at each batch size; the fastest is compared with."""
    logit_spread: float
    """Standard deviation of zelo's logits: what a difference of logits is to be seen against."""
    note: str = ""
    """What a reader must know of the comparison."""

    @property
    def figures(self) -> dict[str, float | None]:
        """What a figure can be asked of, by name."""
        ratio = self.comparison.ratio
        return {
            "ratio": ratio.median if ratio else None,
            "seconds": Spread.of(self.comparison.zelo_seconds).median,
            "peer_seconds": Spread.of(self.comparison.peer_seconds).median,
        }


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """The most that was held at once while scoring, above what lay there with the model loaded."""

    bytes: int
    pack_tokens: int
    """The most tokens of one pack, as it was set."""
    packs: int
    tokens: int
    """Of all packs."""
    method: str

    @property
    def figures(self) -> dict[str, float | None]:
        """What a figure can be asked of, by name."""
        return {"gib": self.bytes / GIB}


Result = Loading | Speed | Stream | Against | PeakMemory
Kind = TypeVar("Kind", Loading, Speed, Stream, Against, PeakMemory)


class Row(NamedTuple):
    """One measurement, or why there is none."""

    key: Key
    result: Result | None
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain values, with the figures written out."""
        told = self.key._asdict() | {"problem": self.problem}
        if self.result is None:
            return told | {"figures": None, "result": None}
        content = asdict(self.result)
        if isinstance(self.result, Against):
            content["comparison"] = self.result.comparison.as_json()
        return told | {"figures": self.result.figures, "result": content}


class Ceiling(NamedTuple):
    """What the machine makes of one large product of two matrices."""

    size: int
    """Rows and columns of both."""
    dtype: str
    flops: float
    """Floating-point operations per second in `dtype`."""
    fp8_flops: float | None
    """The same in fp8 with a scale per row; None where that is not possible."""


@dataclass(frozen=True, slots=True)
class SuiteReport:
    """A whole run of the suite, or as much as there is of it."""

    scale: str
    """`card`, or `small` where there is none."""
    dtype: str
    device: Device
    machine: Machine
    weights: str
    """Whether they are random."""
    minutes: float
    """What it was allowed."""
    seconds: float
    """What it took so far."""
    ceiling: Ceiling | None
    rows: tuple[Row, ...]

    def results(self, kind: type[Kind]) -> list[tuple[Key, Kind]]:
        """Return all results of one kind."""
        return [(row.key, row.result) for row in self.rows if isinstance(row.result, kind)]

    def problems(self) -> Sequence[Row]:
        """Return the rows without a result."""
        return [row for row in self.rows if row.result is None]
