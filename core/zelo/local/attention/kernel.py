"""The ragged kernel: attention over segments of any length in one call.

On a CUDA device it is torch's `varlen_attn`, pinned to FlashAttention; elsewhere the same contract
is kept by an operator of ours, exact and without haste. Both are one node in a compiled graph.
"""

import importlib.util
import inspect
import logging
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import AuxRequest, varlen_attn

from zelo.local.ragged import Segments

__all__ = ["attend", "prefer_newest", "runs_on"]

log = logging.getLogger("zelo")

FLASH_3 = "flash_attn_interface"
PINNED = {
    name: value
    for name, value in {"enable_gqa": True, "num_splits": 1}.items()
    if name in inspect.signature(varlen_attn).parameters
}
"""What torch 2.11 has no name for, and does anyway. One split keeps a score what it is whatever
else is in the pack, and from torch 2.15 on the kernel FlashAttention, which aligns at the end."""


def runs_on(device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Whether FlashAttention takes it: NVIDIA's cards from the A100 on, in 16 bits.

    On AMD's cards torch 2.11 returns the log-sum-exp in another layout, so they are left out.
    """
    return (
        device.type == "cuda"
        and torch.version.hip is None
        and dtype in (torch.bfloat16, torch.float16)
        and head_dim <= 256
        and head_dim % 8 == 0
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def prefer_newest(device: torch.device) -> None:
    """Let torch run FlashAttention-3 on a Hopper card if its package is installed.

    torch brings version 2 along, and can hold one other for the whole process: one that somebody
    has chosen stays.
    """
    torch_attention: Any = torch.nn.attention  # a prototype there, which may change
    activate = getattr(torch_attention, "activate_flash_attention_impl", None)
    current = getattr(torch_attention, "current_flash_attention_impl", None)
    hopper = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] == 9
    if not (hopper and activate and current and importlib.util.find_spec(FLASH_3)) or current():
        return
    try:
        activate("FA3")
    except Exception as error:  # built for another torch, say
        log.warning("FlashAttention-3 is installed and cannot be used: %s", error)
    else:
        log.info("attention runs on FlashAttention-3")


def attend(
    query: Tensor, key: Tensor, value: Tensor, bounds: Segments, scaling: float, *, causal: bool
) -> tuple[Tensor, Tensor]:
    """Attend within each segment; what is in none of them is not seen.

    Args:
        query: (Q, H, D).
        key: (K, H_kv, D), H_kv divides H.
        value: the same.
        bounds: the segments; each has a query row and a key row or more.
        scaling: what products are multiplied by before the softmax.
        causal: query row i of m sees key rows up to `n - m + i` of n, aligned at the end; or all.

    Returns:
        The mixed values (Q, H, D), and the natural logarithm of each softmax's denominator (H, Q)
        in float32, or float64 if that is what queries are in.
    """
    found: tuple[Tensor, Tensor]
    if query.device.type != "cuda":
        found = _attend_exactly(query, key, value, *bounds, scaling, causal)
        return found
    # rows may lie with strides, but compiled code is free to put heads before them
    kernel: Any = varlen_attn  # its signature is another one in each version of torch
    found = kernel(
        query.contiguous(),
        key.contiguous(),
        value.contiguous(),
        *bounds,
        return_aux=AuxRequest(lse=True),
        scale=scaling,
        window_size=(-1, 0) if causal else (-1, -1),
        **PINNED,
    )
    return found


@torch.library.custom_op("zelo::ragged_attention", mutates_args=())
def _attend_exactly(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_q: Tensor,
    cu_k: Tensor,
    max_q: int,
    max_k: int,
    scaling: float,
    causal: bool,
) -> tuple[Tensor, Tensor]:
    """Loop over the segments, with whole matrices of products, in float32 at least."""
    wide = torch.promote_types(query.dtype, torch.float32)
    out = torch.empty_like(query)
    lse = query.new_empty(query.shape[1], query.shape[0], dtype=wide)
    queries, keys = cu_q.tolist(), cu_k.tolist()
    group = query.shape[1] // key.shape[1]
    bounds = zip(map(slice, queries, queries[1:]), map(slice, keys, keys[1:]), strict=True)
    for rows, seen in bounds:
        asked = query[rows].to(wide).reshape(-1, key.shape[1], group, key.shape[2])
        products = scaling * torch.einsum("mhgd,nhd->hgmn", asked, key[seen].to(wide))
        if causal:
            hidden = torch.ones(products.shape[2:], dtype=torch.bool, device=query.device)
            hidden = hidden.triu(1 + products.shape[3] - products.shape[2])
            products = products.masked_fill(hidden, -torch.inf)
        denominators = products.logsumexp(3, keepdim=True)
        weights = (products - denominators).exp()
        mixed = torch.einsum("hgmn,nhd->mhgd", weights, value[seen].to(wide))
        out[rows] = mixed.flatten(1, 2).to(query.dtype)
        lse[:, rows] = denominators.flatten(0, 1)[..., 0]
    return out, lse


@_attend_exactly.register_fake
def _shapes(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_q: Tensor,
    cu_k: Tensor,
    max_q: int,
    max_k: int,
    scaling: float,
    causal: bool,
) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(query.dtype, torch.float32)
    return torch.empty_like(query), query.new_empty(query.shape[1], query.shape[0], dtype=wide)
