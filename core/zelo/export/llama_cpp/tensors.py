"""A backbone's tensors by llama.cpp's names and in its number types, a piece at a time.

Knows nothing of tokenizers, of the head or of how a GGUF file is laid out.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import quantize
from numpy.typing import NDArray

from zelo._common.checks import one_of
from zelo.errors import InputError, ModelFileError, UnsupportedModelError
from zelo.local.loading.tensors import StoredTensor

__all__ = ["GgufTensor", "GgufType", "gguf_tensors", "gguf_type"]

GgufType = Literal["f32", "bf16", "q8_0"]
"""How matrices are stored; norms and the head are float32 always. There is no f16: llama.cpp
multiplies float16 weights with activations rounded to float16, which Qwen3's overflow."""

BY_NAME = {
    "f32": GGMLQuantizationType.F32,
    "bf16": GGMLQuantizationType.BF16,
    "q8_0": GGMLQuantizationType.Q8_0,
}
NUMBERS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""NumPy's types for those of safetensors; bfloat16 is read as its bits."""

ROW = 2**15
"""Weights that are changed in one go; a multiple of every type's block."""

ENDS = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""llama.cpp's names (MODEL_ARCH.QWEN3 in gguf-py/gguf/constants.py) by those of transformers."""
IN_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.weight")


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor of a GGUF file, and where its numbers come from."""

    name: str
    type: GGMLQuantizationType
    stored: StoredTensor

    @property
    def size(self) -> int:
        """Bytes in the GGUF file."""
        together, size = GGML_QUANT_SIZES[self.type]
        return math.prod(self.stored.shape) // together * size

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield its numbers as the GGUF file holds them.

        Raises:
            ModelFileError: one is NaN or infinite, or the file became shorter.
        """
        for piece in self.stored.pieces():  # a whole number of blocks, as the tensor is
            weights = _float32(piece, self.stored.kind)
            if not np.isfinite(weights).all():
                message = (
                    f"tensor {self.stored.name} of {self.stored.path} holds NaN or infinity; the "
                    "file is damaged, fetch it again"
                )
                raise ModelFileError(message)
            # quantize() goes by 16 rows at a time, so they had better be long
            yield quantize(weights.reshape(-1, math.gcd(len(weights), ROW)), self.type)


def gguf_type(wanted: str | None, tensors: Iterable[StoredTensor]) -> GgufType:
    """Return the type asked for, else the smallest that changes no weight.

    Raises:
        InputError: `wanted` is none of the types.
    """
    if wanted is not None:
        one_of("dtype", wanted, GgufType)
        return next(name for name in get_args(GgufType) if name == wanted)
    kinds = {tensor.kind for tensor in tensors if len(tensor.shape) > 1}
    return "bf16" if kinds == {"BF16"} else "f32"


def gguf_tensors(tensors: Iterable[StoredTensor], dtype: GgufType) -> list[GgufTensor]:
    """Return the tensors of a GGUF file, without the head's.

    Raises:
        UnsupportedModelError: llama.cpp's Qwen3 has no place for one of them.
        InputError: `dtype` needs rows of a multiple of 32 weights, and this model has others.
    """
    return [GgufTensor(_name(tensor), _type(tensor, dtype), tensor) for tensor in tensors]


def _name(tensor: StoredTensor) -> str:
    match = IN_LAYER.fullmatch(tensor.name)
    if tensor.name in ENDS:
        return ENDS[tensor.name]
    if match is None or match[2] not in LAYER:
        message = f"llama.cpp's Qwen3 has no place for tensor {tensor.name} of {tensor.path}"
        raise UnsupportedModelError(message)
    return f"blk.{match[1]}.{LAYER[match[2]]}.weight"


def _type(tensor: StoredTensor, dtype: GgufType) -> GGMLQuantizationType:
    if len(tensor.shape) == 1:  # llama.cpp's norms take no other
        return GGMLQuantizationType.F32
    together = GGML_QUANT_SIZES[BY_NAME[dtype]][0]
    if tensor.shape[-1] % together:
        message = (
            f"dtype={dtype!r} stores weights by {together}, and {tensor.name} has rows of "
            f"{tensor.shape[-1]}; choose 'bf16' or 'f32'"
        )
        raise InputError(message)
    return BY_NAME[dtype]


def _float32(piece: bytes, kind: str) -> NDArray[np.float32]:
    numbers = np.frombuffer(piece, NUMBERS[kind])
    if kind == "BF16":  # the upper half of a float32
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers.astype(np.float32)
