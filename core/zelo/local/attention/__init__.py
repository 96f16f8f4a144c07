"""Attention over a pack, registered with transformers under the name `zelo_packed`.

Three ways, all exact, told by the layout that a pack brings along: segment by segment, gathered
and merged. No mask function is registered under the name, so transformers builds no mask.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

from zelo.local.attention import gathered, merged, segments
from zelo.local.ragged import Gathered, Merged, Segment

__all__ = ["NAME", "packed_attention"]

NAME = "zelo_packed"


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    layout: Sequence[Segment] | Gathered | Merged,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend as the layout says; called by every layer of the stock model.

    query (1, H, Q, D), key and value (1, H_kv, T, D), rotary embedding applied; H_kv divides H.
    Returns (1, Q, H, D) and no weights.
    """
    if not isinstance(layout, Gathered | Merged):
        return segments.attend(query, key, value, layout, scaling), None
    queries, keys, values = (heads[0].transpose(0, 1) for heads in (query, key, value))
    if isinstance(layout, Merged):
        return merged.attend(queries, keys, values, layout, scaling)[None], None
    return gathered.attend(queries, keys, values, layout, scaling)[None], None


AttentionInterface.register(NAME, packed_attention)
