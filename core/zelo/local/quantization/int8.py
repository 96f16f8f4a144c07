"""Weights and activations as eight-bit integers, each row of either with a scale of its own.

Dynamic and symmetric: a row's largest magnitude becomes 127, and zero stays zero. The sums of
products are exact 32-bit integers.
"""

import torch
import torch.nn.functional as F

from zelo.local.quantization.layer import QuantizedLinear, by_rows, symmetric_scale

__all__ = ["Int8Linear"]

LARGEST = 127.0
PADDING = 17
"""Rows of zeros behind the others on a card, whose kernel refuses fewer than 17 (pytorch#178469).
They are always there, so that a compiled layer needs no second form for short packs."""


class Int8Linear(QuantizedLinear):
    """Products of integers, summed exactly and scaled by row and column."""

    multiple = 8  # of torch._int_mm on a card

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__(linear)
        weight, scale = by_rows(_to_int8, linear.weight.detach())
        self.weight: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("weight", weight)  # (out, in)
        self.register_buffer("scale", scale)  # (out, 1), float32

    def product(self, rows: torch.Tensor) -> torch.Tensor:
        """Multiply; only the two roundings to integers lose anything."""
        values, scale = _to_int8(rows)
        if rows.is_cuda:
            values = F.pad(values, (0, 0, 0, PADDING))
        sums = torch._int_mm(values, self.weight.t())[: rows.shape[0]]
        return (sums.float() * scale * self.scale.t()).to(rows.dtype)


def _to_int8(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows (M, K) as int8, and the scales (M, 1) that give them back."""
    scale = symmetric_scale(rows, LARGEST)
    return (rows.float() / scale).round().to(torch.int8), scale
