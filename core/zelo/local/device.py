"""Which device, number type and pack size to use when the caller does not say."""

import math

import torch

from zelo.errors import InputError
from zelo.local.checkpoint import CheckpointFiles
from zelo.local.options import ACCELERATOR_BATCH_TOKENS, CPU_BATCH_TOKENS

__all__ = ["choose_batch_tokens", "choose_device", "choose_dtype"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

SMALL_HIDDEN_SIZE = 256
"""Up to this width a model computes in float32 (zelo-nano has 128). bfloat16's 8 significant bits
leave it too few different scores: 25 documents had 3 of them where float32 told all 25 apart. It is
half as fast then on a CPU that computes in bfloat16, but there is little to compute."""


def choose_device(wanted: str | None) -> torch.device:
    """Return the device asked for, else the accelerator that torch finds, else the CPU.

    Raises:
        InputError: torch knows no such device, or cannot use it here.
    """
    if wanted is None:
        if not torch.accelerator.is_available():
            return torch.device("cpu")
        wanted = str(torch.accelerator.current_accelerator())
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except Exception as error:  # torch raises RuntimeError, AssertionError, NotImplementedError
        message = f"device={wanted!r} cannot be used here: {str(error).splitlines()[0]}"
        raise InputError(message) from error
    return device


def choose_dtype(wanted: str | None, device: torch.device, files: CheckpointFiles) -> torch.dtype:
    """Return the number type asked for, else bfloat16 where the hardware computes in it.

    A small model gets float32 everywhere, wherever it was loaded from: see `SMALL_HIDDEN_SIZE`.
    float16 is never chosen: Qwen3's activations overflow it on some inputs, and on a CPU it was
    15 times slower than bfloat16.
    """
    if wanted is None:
        small = (files.config.get("hidden_size") or math.inf) <= SMALL_HIDDEN_SIZE
        return torch.bfloat16 if not small and _computes_bfloat16(device) else torch.float32
    if wanted not in DTYPES:
        raise InputError(f"dtype={wanted!r}; choose one of {', '.join(DTYPES)}, or leave it out")
    return DTYPES[wanted]


def choose_batch_tokens(wanted: int | None, device: torch.device) -> int:
    """Return the most tokens of one pack."""
    if wanted is not None:
        return wanted
    return CPU_BATCH_TOKENS if device.type == "cpu" else ACCELERATOR_BATCH_TOKENS


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return True
