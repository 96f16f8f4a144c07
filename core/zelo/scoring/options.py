"""The settings of local scoring, as values. Light: neither torch nor a tokenizer is imported."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

from zelo._common.checks import at_least_zero, one_of
from zelo.errors import InputError
from zelo.scoring.catalog import ModelSource

if TYPE_CHECKING:
    import torch

__all__ = [
    "ACCELERATOR_BATCH_TOKENS",
    "CPU_BATCH_TOKENS",
    "Dtype",
    "Head",
    "InstanceKey",
    "Limits",
    "LongDocuments",
    "Quantization",
    "ReadingOptions",
    "device_name",
    "dtype_name",
]

CPU_BATCH_TOKENS = 2_048
"""Small packs keep activations in the CPU's cache: 8,000 tokens were a third slower than 2,000
on two EPYC cores (Qwen3 of 4 layers, 512 wide)."""
ACCELERATOR_BATCH_TOKENS = 16_384
"""Throughput is flat from 7,000 to 118,000 tokens on an H200; this keeps memory low."""

Dtype = Literal["float32", "bfloat16", "float16"]
Head = Literal["trained"]
"""Where the score row is read other than as the family has it: `trained` takes a classifier's
`score.weight` as it is."""
LongDocuments = Literal["truncate", "chunk"]
Quantization = Literal["fp8", "int8", "int8-weights", "int4-weights"]
"""How the layers' projections are stored and multiplied: `fp8` and `int8` for speed, where the
hardware multiplies in them, the other two for less memory."""


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """All that decides which weights are loaded and how they are run."""

    source: ModelSource
    family: str | None = None
    head: Head | None = None
    device: str | None = None
    """A torch device, or `all`: a copy of the weights on every accelerator of the machine."""
    dtype: str | None = None
    quantization: Quantization | None = None
    compile: bool | None = None
    """Compile the layers; None does so on CUDA."""
    max_batch_tokens: int | None = None
    cache_dir: str | None = None
    local_files_only: bool = False


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How much of the texts is read, as the caller said it; needs no other copy of the weights."""

    max_tokens: int | None = None
    max_document_tokens: int | None = None
    long_documents: LongDocuments = "truncate"
    strip: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a prompt is read, in tokens, for one model."""

    max_tokens: int
    """Longest whole prompt: frame, query and document."""
    max_document_tokens: int | None = None
    """Longest document, where that is to be shorter than what the prompt leaves."""
    long_documents: LongDocuments = "truncate"
    """`truncate` reads the beginning; `chunk` reads overlapping windows, the best one counts."""


def device_name(device: "str | int | torch.device | None") -> str | None:
    """Return what torch calls a device; a number, or its text, is that of a CUDA device.

    Raises:
        InputError: it is neither a name, a number nor torch's own.
    """
    if device is None or isinstance(device, str):
        return f"cuda:{device}" if device and device.isdecimal() else device
    if _of_torch(device, "device"):
        return str(device)
    if isinstance(device, SupportsIndex):
        return f"cuda:{at_least_zero('device', device)}"
    kind = type(device).__name__
    raise InputError(f"device is of type {kind}; it must be a name such as 'cuda:0', or a number")


def dtype_name(dtype: "str | torch.dtype | None") -> Dtype | None:
    """Return the name of a number type.

    Raises:
        InputError: weights are not loaded in that type.
    """
    if dtype is None:
        return None
    name: Any = str(dtype).removeprefix("torch.") if _of_torch(dtype, "dtype") else dtype
    found: Dtype = one_of("dtype", name, Dtype)
    return found


def _of_torch(value: object, name: str) -> bool:
    """Whether it is of a type of torch's, which is imported if somebody has one."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, name))
