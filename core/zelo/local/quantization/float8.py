"""Weights and activations in eight-bit floating point, each row of either with a scale of its own.

Dynamic: the scale of an activation's row is taken from the row, so nothing is calibrated and a
token's result does not depend on the others of its pack.
"""

import torch

from zelo.local.quantization.layer import QuantizedLinear, by_rows, symmetric_scale

__all__ = ["Float8Linear"]

LARGEST = 448.0
"""The largest finite number of e4m3: four bits of exponent, three of mantissa (Micikevicius et al.
2022, "FP8 formats for deep learning", arXiv 2209.05433)."""


class Float8Linear(QuantizedLinear):
    """Products of e4m3 numbers, summed in the hardware and scaled by row and column."""

    multiple = 16  # of torch._scaled_mm on a card

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__(linear)
        weight, scale = by_rows(_to_float8, linear.weight.detach())
        self.weight: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("weight", weight)  # (out, in)
        self.register_buffer("scale", scale)  # (out, 1), float32

    def product(self, rows: torch.Tensor) -> torch.Tensor:
        """Multiply; sums are kept in fewer bits than float32 on Hopper (`use_fast_accum`)."""
        values, scale = _to_float8(rows)
        return torch._scaled_mm(
            values,
            self.weight.t(),
            scale_a=scale,
            scale_b=self.scale.t(),
            out_dtype=rows.dtype,
            use_fast_accum=True,
        )


def _to_float8(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows (M, K) as e4m3, and the scales (M, 1) that give them back."""
    scale = symmetric_scale(rows, LARGEST)
    return (rows.float() / scale).to(torch.float8_e4m3fn), scale
