"""Attention in two calls, own tokens and shared prefix, merged by their log-sum-exp.

With o1 and l1 the result and the log-sum-exp over own keys, o2 and l2 over the prefix's, softmax
over both is o1 (1 - w) + o2 w, where w = exp(l2) / (exp(l1) + exp(l2)) = sigmoid(l2 - l1): the
split of Hydragen (Juravsky et al. 2024, arXiv:2402.05099) for two parts. No key or value is
copied, and the prefix's are read by all documents together.
"""

import torch
from torch import Tensor

from zelo.local.attention import kernel
from zelo.local.ragged import Merged

__all__ = ["attend"]


def attend(query: Tensor, key: Tensor, value: Tensor, layout: Merged, scaling: float) -> Tensor:
    """Attend as the layout says: query (Q, H, D), key and value (T, H_kv, D) to (Q, H, D)."""
    prefix = layout.prefix_rows
    if layout.pruned:
        own = query, key[prefix:], value[prefix:]
        asking = query
    else:
        own = query, key, value
        asking = query[prefix:]
    out, own_lse = kernel.attend(*own, layout.own, scaling, causal=True)
    shared, lse = kernel.attend(
        asking, key[:prefix], value[:prefix], layout.prefix, scaling, causal=False
    )
    if layout.pruned:
        return _merge(out, own_lse, shared, lse)
    return torch.cat((out[:prefix], _merge(out[prefix:], own_lse[:, prefix:], shared, lse)))


def _merge(own: Tensor, own_lse: Tensor, shared: Tensor, lse: Tensor) -> Tensor:
    """Merge results (Q, H, D), in float32 at least, by their log-sum-exps (H, Q)."""
    weight = torch.sigmoid(lse - own_lse).T[..., None]  # (Q, H, 1)
    # in place, or copies in float32 would be the largest of all that a layer keeps alive
    mixed = shared.to(weight.dtype).sub_(own).mul_(weight).add_(own)
    return mixed.to(own.dtype)
