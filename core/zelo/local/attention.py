"""Attention over a pack, registered with transformers under the name `zelo_packed`.

Each segment of the pack runs through torch's scaled_dot_product_attention on its own, which works
on every device and in every number type. No mask function is registered under the name, so
transformers builds no mask.
"""

from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from zelo.local.packing import Segment

__all__ = ["NAME", "packed_attention"]

NAME = "zelo_packed"

BLOCK = 1_024
"""Query rows per call. A mask then has at most BLOCK x keys entries, whatever the length."""


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    segments: list[Segment],
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each segment; called by every layer of the stock model.

    query (1, H, Q, D), key and value (1, H_kv, T, D), rotary embedding applied; H_kv divides H.
    Returns (1, Q, H, D) and no weights.
    """
    out = torch.empty_like(query)
    for segment in segments:
        start, length = segment.own_start, segment.own_length
        keys, values = key.narrow(2, start, length), value.narrow(2, start, length)
        if segment.prefix_length:
            start, length = segment.prefix_start, segment.prefix_length
            keys = torch.cat((key.narrow(2, start, length), keys), dim=2)
            values = torch.cat((value.narrow(2, start, length), values), dim=2)
        start, length = segment.query_start, segment.query_length
        out.narrow(2, start, length).copy_(
            _causal(query.narrow(2, start, length), keys, values, scaling)
        )
    return out.transpose(1, 2), None


def _causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Causal attention aligned at the end: the last query row sees every key."""
    queries, keys = query.shape[2], key.shape[2]
    if queries == keys <= BLOCK:
        return _attend(query, key, value, scaling, is_causal=True)
    blocks = []
    for start in range(0, queries, BLOCK):
        rows = min(BLOCK, queries - start)
        seen = keys - queries + start + rows
        mask = None
        if rows > 1:
            mask = query.new_ones(rows, seen, dtype=torch.bool).tril(seen - rows)
        block = query.narrow(2, start, rows)
        visible = key.narrow(2, 0, seen), value.narrow(2, 0, seen)
        blocks.append(_attend(block, *visible, scaling, attn_mask=mask))
    return torch.cat(blocks, dim=2) if len(blocks) > 1 else blocks[0]


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float, **mask: Any
) -> torch.Tensor:
    return F.scaled_dot_product_attention(
        query, key, value, scale=scaling, enable_gqa=query.shape[1] != key.shape[1], **mask
    )


AttentionInterface.register(NAME, packed_attention)
