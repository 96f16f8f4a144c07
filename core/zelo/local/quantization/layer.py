"""What all quantised projections have in common: shapes, bias, and how they replace a Linear.

Knows nothing of number formats.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch

__all__ = ["QuantizedLinear", "by_rows", "symmetric_scale"]

SMALLEST = 1e-12
"""Least magnitude that a scale is made of, so that a row of zeros is not divided by zero."""
SLICE = 2**17
"""Weights that are converted in one go. It takes several float32 copies of them, which are a small
part of a projection then; and whole ones would leave holes in the heap as large as the results."""


class QuantizedLinear(torch.nn.Module, ABC):
    """A projection with weights in fewer bits, in place of a `torch.nn.Linear`; for inference."""

    multiple: ClassVar[int] = 1
    """What the kernel needs both widths to be a multiple of."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias: torch.Tensor | None
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    @abstractmethod
    def product(self, rows: torch.Tensor) -> torch.Tensor:
        """Map rows (M, in), at least one, to (M, out) in the same number type, without the bias."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in) to (..., out). A row that holds NaN or infinity gives no finite number."""
        # the kernels take two dimensions, row after row
        rows = x.reshape(-1, self.in_features).contiguous()
        out = self.product(rows) if rows.shape[0] else rows.new_empty(0, self.out_features)
        if self.bias is not None:
            out = out + self.bias
        return out.view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Return what stands between the brackets when a model is printed."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


def by_rows(
    convert: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], weight: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return what a conversion of rows makes of a matrix (out, in), a slice of rows at a time."""
    step = max(1, SLICE // weight.shape[1])
    found = [part.new_empty(len(weight), *part.shape[1:]) for part in convert(weight[:1])]
    for start in range(0, len(weight), step):
        rows = slice(start, start + step)
        for whole, part in zip(found, convert(weight[rows]), strict=True):
            whole[rows] = part
    return tuple(found)


def symmetric_scale(rows: torch.Tensor, largest: float) -> torch.Tensor:
    """Return what to divide each row by, so that its largest magnitude becomes `largest`.

    rows (M, K); returns (M, 1), float32. NaN or infinity in a row makes its scale NaN or infinity,
    which carries them to its results: casts to integers would lose them.
    """
    return rows.abs().amax(-1, keepdim=True).float().clamp(min=SMALLEST) / largest
