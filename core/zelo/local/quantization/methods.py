"""The ways to quantise, by the name that a caller gives."""

from zelo.local.quantization.float8 import Float8Linear
from zelo.local.quantization.int8 import Int8Linear
from zelo.local.quantization.layer import QuantizedLinear
from zelo.local.quantization.weights_only import Int4WeightLinear, Int8WeightLinear
from zelo.scoring.options import Quantization

__all__ = ["METHODS"]

METHODS: dict[Quantization, type[QuantizedLinear]] = {
    "fp8": Float8Linear,
    "int8": Int8Linear,
    "int8-weights": Int8WeightLinear,
    "int4-weights": Int4WeightLinear,
}
