"""Many small tensors, from the host to a device in one copy."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = ["join", "move", "part"]

ALIGNMENT = 16
"""Bytes. What torch.compile makes first copies an input that is aligned to less."""

Tree = TypeVar("Tree")


def move(tree: Tree, device: torch.device) -> Tree:
    """Return (named) tuples of tensors and plain values with the tensors on a device.

    To a CUDA device they go as one block of pinned memory, and the host does not wait for it.
    """
    if device.type == "cpu":
        return tree
    here = list({id(leaf): leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}.values())
    if device.type == "cuda":
        there = part(join(here, pinned=True).to(device, non_blocking=True), here)
    else:
        there = [tensor.to(device) for tensor in here]
    moved = {id(old): new for old, new in zip(here, there, strict=True)}
    result: Tree = tree_map_only(Tensor, lambda tensor: moved[id(tensor)], tree)
    return result


def join(tensors: Sequence[Tensor], *, pinned: bool = False) -> Tensor:
    """Return one block of bytes that holds all of them."""
    starts = _starts(tensors)
    block = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=pinned)
    for start, tensor in zip(starts, tensors, strict=False):
        block[start : start + tensor.nbytes].view(tensor.dtype).copy_(tensor.flatten())
    return block


def part(block: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors that a block holds; those joined had these shapes and number types.

    They share its memory, but to torch they are no views of it: torch.compile traces those with
    all that they are views of.
    """
    storage = block.untyped_storage()
    return [
        torch.empty(0, dtype=tensor.dtype, device=block.device).set_(
            storage, start // tensor.itemsize, tensor.shape, tensor.stride()
        )
        for start, tensor in zip(_starts(like), like, strict=False)
    ]


def _starts(tensors: Sequence[Tensor]) -> list[int]:
    """Where each tensor begins in the block, in bytes, and last the block's length."""
    starts = [0]
    for tensor in tensors:
        starts.append(-(-(starts[-1] + tensor.nbytes) // ALIGNMENT) * ALIGNMENT)
    return starts
