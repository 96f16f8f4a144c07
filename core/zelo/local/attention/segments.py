"""Attention segment by segment, each through torch's scaled_dot_product_attention on its own.

It works on every device and in every number type, and with gradients.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zelo.local.ragged import Segment

__all__ = ["attend", "causal"]

BLOCK = 1_024
"""Query rows per call. A mask then has at most BLOCK x keys entries, whatever the length."""


def attend(
    query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment], scaling: float
) -> Tensor:
    """Attend within each segment: query (1, H, Q, D), key and value (1, H_kv, T, D).

    Returns (1, Q, H, D).
    """
    dtype = query.dtype
    if query.requires_grad and query.device.type == "cpu":
        # torch's backward pass in bfloat16 takes 1.7 times as long there (110 rows, 130 keys)
        query, key, value = query.float(), key.float(), value.float()
    spans = _spans(segments)
    # split, not narrow: its backward pass writes each row once, not all rows for each segment
    lengths = [length for _, length in spans]
    keys = dict(zip(spans, torch.split(key, lengths, dim=2), strict=True))
    values = dict(zip(spans, torch.split(value, lengths, dim=2), strict=True))
    queries = torch.split(query, [segment.query_length for segment in segments], dim=2)
    out = []
    for segment, rows in zip(segments, queries, strict=True):
        own = segment.own_start, segment.own_length
        seen = keys[own], values[own]
        if segment.prefix_length:
            prefix = segment.prefix_start, segment.prefix_length
            seen = torch.cat((keys[prefix], seen[0]), 2), torch.cat((values[prefix], seen[1]), 2)
        out.append(causal(rows, *seen, scaling))
    return torch.cat(out, dim=2).transpose(1, 2).to(dtype)


def causal(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Causal attention aligned at the end, the last query row sees every key: (1, H, Q, D)."""
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


def _spans(segments: Sequence[Segment]) -> list[tuple[int, int]]:
    """Return start and length of every prefix and suffix: together all key rows, in order."""
    spans = {(segment.own_start, segment.own_length) for segment in segments}
    spans |= {(segment.prefix_start, segment.prefix_length) for segment in segments}
    return sorted(span for span in spans if span[1])


def _attend(query: Tensor, key: Tensor, value: Tensor, scaling: float, **mask: Any) -> Tensor:
    return F.scaled_dot_product_attention(
        query, key, value, scale=scaling, enable_gqa=query.shape[1] != key.shape[1], **mask
    )
