"""Whether a model and one pack of prompts fit on a card."""

from typing import NamedTuple

from zelo.planning.models import ModelShape

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
    """Return what a model needs with packs of so many tokens.

    The most is alive in the MLP: its gate's activation, its other half and their product, three
    times the MLP's width for each token, beside four hidden states (the layer's input, the
    residual, its norm, the output) and the rotary embedding's cosines and sines. Keys and values
    are not kept. Counted alive on the packed path on a CPU, it was within 2 % of this.
    """
    weights = {name: size * shape.parameters for name, size in BYTES.items()}
    numbers = 3 * shape.intermediate + 4 * shape.hidden + 2 * shape.head_dim
    return Memory(weights, numbers * pack_tokens * BYTES["bfloat16"])
