"""Attention in one call: every document's keys are preceded by a copy of its query's prefix."""

from torch import Tensor

from zelo.local.attention import kernel
from zelo.local.ragged import Gathered

__all__ = ["attend"]


def attend(query: Tensor, key: Tensor, value: Tensor, layout: Gathered, scaling: float) -> Tensor:
    """Attend as the layout says: query (Q, H, D), key and value (T, H_kv, D) to (Q, H, D)."""
    rows = layout.key_rows
    return kernel.attend(query, key[rows], value[rows], layout.segments, scaling, causal=True)[0]
