"""How large the suite is: the true shapes on a card, small ones where there is none."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["CARD", "SMALL", "Scale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Which models are measured, on how much work, and how often."""

    name: Literal["card", "small"]
    shapes: tuple[str, ...]
    dtype: str
    quantizations: tuple[str, ...]
    fewer: int
    """Divides numbers of documents and of calls."""
    shorter: int
    """Divides lengths in tokens, and a payload's bytes."""
    peer_batch_sizes: tuple[int, ...]
    pack_tokens: int
    """Of the packs whose memory is measured."""
    calls: int
    """Timed calls for each workload."""
    small_calls: int
    """Timed calls of the workload `small`, whose median is asked for."""
    stream_calls: int
    rounds: int
    """Alternating pairs of runs with a peer."""
    ceiling_size: int
    """Rows and columns of the matrices whose product is the ceiling."""


CARD = Scale(
    name="card",
    shapes=("zerank-2", "zerank-1-small"),
    dtype="bfloat16",
    quantizations=("none", "fp8"),
    fewer=1,
    shorter=1,
    peer_batch_sizes=(8, 32, 100),
    pack_tokens=32_768,
    calls=5,
    small_calls=100,
    stream_calls=64,
    rounds=3,
    ceiling_size=8_192,
)
SMALL = Scale(
    name="small",
    shapes=("cpu-small",),
    dtype="float32",
    quantizations=("none",),
    fewer=10,
    shorter=4,
    peer_batch_sizes=(4, 8),
    pack_tokens=2_048,
    calls=3,
    small_calls=10,
    stream_calls=8,
    rounds=2,
    ceiling_size=1_024,
)
