"""Weights as integers that are widened at each use, and activations as they are.

Saves memory on small cards and runs on every device, because only plain operations are used. It
saves no time: the product is the unquantised one, and the widening comes on top.

Scales have the weights' own number type, and integers are chosen with the scale as rounded to it.
"""

import torch
import torch.nn.functional as F

from zelo.local.quantization.layer import (
    SMALLEST,
    QuantizedLinear,
    by_rows,
    nearest,
    symmetric_scale,
)

__all__ = ["GROUP", "Int4WeightLinear", "Int8WeightLinear"]

GROUP = 128
"""Columns of a row that share scale and offset. Divides every width of the zerank models."""


class Int8WeightLinear(QuantizedLinear):
    """Eight bits a weight, symmetric, one scale for each output."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__(linear)
        weight, scale = by_rows(_to_int8, linear.weight.detach())
        self.weight: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("weight", weight)  # (out, in)
        self.register_buffer("scale", scale)  # (out, 1)

    def product(self, rows: torch.Tensor) -> torch.Tensor:
        """Widen the weights and multiply in the number type of the rows."""
        return F.linear(rows, self.weight.to(rows.dtype) * self.scale.to(rows.dtype))


class Int4WeightLinear(QuantizedLinear):
    """Four bits a weight: in each group of columns, 16 evenly spaced values from least to largest.

    A row's columns are cut into groups of 128, or one of an even number where there are fewer; the
    last group is filled with zeros. Byte i of a group holds the code of its column i in the low
    four bits, and that of column i + half a group in the high ones. A weight is code x scale +
    offset of its group.
    """

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__(linear)
        weight, scale, offset = by_rows(_to_int4, linear.weight.detach())
        self.weight: torch.Tensor
        self.scale: torch.Tensor
        self.offset: torch.Tensor
        self.register_buffer("weight", weight)  # (out, groups, columns / 2)
        self.register_buffer("scale", scale)  # (out, groups, 1)
        self.register_buffer("offset", offset)

    def product(self, rows: torch.Tensor) -> torch.Tensor:
        """Widen the weights and multiply in the number type of the rows."""
        codes = torch.cat((self.weight & 15, self.weight >> 4), dim=-1).to(rows.dtype)
        groups = codes * self.scale.to(rows.dtype) + self.offset.to(rows.dtype)
        return F.linear(rows, groups.flatten(1)[:, : self.in_features])


def _to_int8(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows (M, K) as int8, and the scales (M, 1) that give them back."""
    scale = symmetric_scale(rows, 127.0).to(rows.dtype)
    codes = nearest(rows.float() / scale.float()).clamp(-127, 127)
    return codes.to(torch.int8), scale


def _to_int4(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return rows (M, K) as bytes (M, groups, columns / 2), and their scales and offsets."""
    groups = _grouped(rows)  # (M, groups, columns), float32
    least, largest = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    offset = least.to(rows.dtype)
    scale = ((largest - least).clamp(min=SMALLEST) / 15).to(rows.dtype)
    codes = nearest((groups - offset.float()) / scale.float()).clamp(0, 15)
    low, high = codes.to(torch.uint8).chunk(2, dim=-1)
    return low | high << 4, scale, offset


def _grouped(weight: torch.Tensor) -> torch.Tensor:
    """Cut rows (out, in) into groups of columns, the last filled up with zeros."""
    columns = min(GROUP, weight.shape[1] + weight.shape[1] % 2)
    filled = F.pad(weight.float(), (0, -weight.shape[1] % columns))
    return filled.view(len(filled), -1, columns)
