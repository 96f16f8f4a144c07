"""What all quantised projections have in common: shapes, bias, and how they replace a Linear.

Knows nothing of number formats.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch

__all__ = ["QuantizedLinear", "by_rows", "nearest", "symmetric_scale"]

SMALLEST = 1e-12
"""Least magnitude that a scale is made of, so that a row of zeros is not divided by zero."""
ROUNDING = 1.5 * 2.0**23
SLICE = 2**14
"""Weights that are converted in one go: what torch computes in one thread (fewer than 32,768), so
that no slice waits for others. Of whole projections several float32 copies would be needed, which
leave holes in the heap as large as the results."""


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


def nearest(numbers: torch.Tensor) -> torch.Tensor:
    """Round to the nearest whole number, ties to the even one: torch.round for |x| < 2**22.

    float32; what is added leaves no bits behind the point. torch.round shares even a slice among
    threads, and on a busy machine waits for them a thousand times longer than it computes.
    """
    return (numbers + ROUNDING) - ROUNDING


def symmetric_scale(rows: torch.Tensor, largest: float) -> torch.Tensor:
    """Return what to divide each row by, so that its largest magnitude becomes `largest`.

    rows (M, K); returns (M, 1), float32. NaN or infinity in a row makes its scale NaN or infinity,
    which carries them to its results: casts to integers would lose them.
    """
    return rows.abs().amax(-1, keepdim=True).float().clamp(min=SMALLEST) / largest
