"""Whether a model and one pack of prompts fit on a card."""

from typing import NamedTuple

from zelo.bulk.plan.models import ModelShape
from zelo.local.memory import numbers_per_token

__all__ = ["Memory", "memory_of"]

BYTES = {"bfloat16": 2, "float32": 4}
RESERVE = 1_000_000_000
"""Bytes for the driver's context and the allocator's gaps: assumed, not measured."""


class Memory(NamedTuple):
    """Bytes on one card."""

    weights: dict[str, int]
    """By number type."""
    workspace: int
    """Activations of one pack, in bfloat16."""
    reserve: int = RESERVE

    @property
    def needed(self) -> int:
        """All of it, with weights in bfloat16, which is what zelo computes in on a card."""
        return self.weights["bfloat16"] + self.workspace + self.reserve


def memory_of(shape: ModelShape, pack_tokens: int) -> Memory:
    """Return what a model needs with packs of so many tokens."""
    weights = {name: size * shape.parameters for name, size in BYTES.items()}
    numbers = numbers_per_token(
        hidden=shape.hidden, intermediate=shape.intermediate, head_dim=shape.head_dim
    )
    return Memory(weights, numbers * pack_tokens * BYTES["bfloat16"])
