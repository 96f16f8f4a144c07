"""How much of a card's published peak zelo's path reaches: what was measured, and where.

One NVIDIA H200, torch 2.11.0, transformers 5.17.0, random weights of zerank-2's shape in bfloat16,
1 query and 100 documents with log-normal lengths, host work and copies timed, tokenisation not,
the last layer whole. One run each: the shares carry over, times only roughly.

That card's largest matrix multiplication reached 776 of the published 989 TFLOP/s.

It was a forerunner of the present path: the stock layers, one ragged kernel for the whole pack
(`torch.nn.attention.varlen`), prefixes gathered, layers compiled. The path itself has not been
measured on a card yet; `zelo bench --suite gpu` does it.
"""

from dataclasses import dataclass

from zelo.bulk.plan.cards import CARDS
from zelo.bulk.plan.models import NAMED

__all__ = ["COMPILED", "EAGER", "MEASURED_MODEL", "MEASURED_ON", "Measurement", "Share"]

MEASURED_ON, MEASURED_MODEL = "h200", "zerank-2"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One workload on one path."""

    name: str
    unique_tokens: int
    """With each query's prefix counted once."""
    seconds: float

    @property
    def share(self) -> float:
        """2 x projection weights x tokens / seconds, of the published peak."""
        weights = NAMED[MEASURED_MODEL].projection_weights
        peak = CARDS[MEASURED_ON].tflops * 1e12
        return 2 * weights * self.unique_tokens / self.seconds / peak


@dataclass(frozen=True, slots=True)
class Share:
    """A path, and what it reached."""

    path: str
    measurements: tuple[Measurement, ...]

    @property
    def value(self) -> float:
        """The lowest of its measurements, as a share of the published peak."""
        return min(one.share for one in self.measurements)


EAGER = Share(
    "layers that are not compiled",
    (
        Measurement("40 + 100 x ~128 tokens", 13_229, 0.262),
        Measurement("40 + 100 x ~400 tokens", 39_251, 0.759),
        Measurement("512 + 100 x ~256 tokens", 25_632, 0.533),
    ),
)
"""What `compile=False` costs."""
COMPILED = Share(
    "compiled layers",
    (
        Measurement("40 + 100 x ~128 tokens", 13_229, 0.177),
        Measurement("40 + 100 x ~400 tokens", 39_251, 0.523),
        Measurement("512 + 100 x ~256 tokens", 25_632, 0.375),
    ),
)
"""What a plan assumes."""
