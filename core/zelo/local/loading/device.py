"""Which devices, number type and pack size to use when the caller does not say."""

import math
from typing import Any, get_args

import torch

from zelo.errors import InputError
from zelo.local.loading.checkpoint import CheckpointFiles
from zelo.local.memory import numbers_per_token
from zelo.scoring.options import (
    ACCELERATOR_BATCH_TOKENS,
    CPU_BATCH_TOKENS,
    Dtype,
    device_name,
    dtype_name,
)

__all__ = ["choose_batch_tokens", "choose_device", "choose_devices", "choose_dtype"]

DTYPES = {name: getattr(torch, name) for name in get_args(Dtype)}

SMALL_HIDDEN_SIZE = 256
"""Up to this width a model computes in float32 (zelo-nano has 128). bfloat16's 8 significant bits
leave it too few different scores: 25 documents had 3 of them where float32 told all 25 apart. It is
half as fast then on a CPU that computes in bfloat16, but there is little to compute."""
PACK_SHARE = 1 / 2
"""Of the memory that is free beside the weights, so much is a pack's. The rest is for what is not
counted by `numbers_per_token`, above all prefixes' keys and values copied for each document and
activations in eight bits, and for the allocator's gaps. Estimated, not measured."""


def choose_devices(wanted: str | None) -> list[torch.device]:
    """Return the devices that get a copy of the weights: one, or with `all` each accelerator.

    Raises:
        InputError: torch knows no such device, or cannot use it here.
    """
    if wanted != "all" or not torch.accelerator.is_available():
        return [choose_device(None if wanted == "all" else wanted)]
    kind = str(torch.accelerator.current_accelerator())
    return [choose_device(f"{kind}:{i}") for i in range(torch.accelerator.device_count())]


def choose_device(wanted: str | int | torch.device | None) -> torch.device:
    """Return the device asked for, else the accelerator that torch finds, else the CPU.

    Raises:
        InputError: torch knows no such device, or cannot use it here.
    """
    wanted = device_name(wanted)
    if wanted is None:
        if not torch.accelerator.is_available():
            return torch.device("cpu")
        wanted = str(torch.accelerator.current_accelerator())
    try:
        device = torch.device(wanted)
        probe = torch.zeros(1, device=device)
        probe.item()  # "meta" makes tensors, and holds no numbers
        usable = probe.device
    except Exception as error:  # torch raises RuntimeError, AssertionError, NotImplementedError
        message = f"device={wanted!r} cannot be used here: {str(error).splitlines()[0]}"
        raise InputError(message) from error
    # the number of a thread's present card is filled in here: other threads have other ones
    return usable if device.index is None else device


def choose_dtype(wanted: str | None, device: torch.device, files: CheckpointFiles) -> torch.dtype:
    """Return the number type asked for, else bfloat16 where the hardware computes in it.

    A small model gets float32 everywhere, wherever it was loaded from: see `SMALL_HIDDEN_SIZE`.
    float16 is never chosen: Qwen3's activations overflow it on some inputs, and on a CPU it was
    15 times slower than bfloat16.
    """
    if wanted is None:
        small = (files.config.get("hidden_size") or math.inf) <= SMALL_HIDDEN_SIZE
        return torch.bfloat16 if not small and _computes_bfloat16(device) else torch.float32
    found: torch.dtype = DTYPES[dtype_name(wanted)]
    return found


def choose_batch_tokens(wanted: int | None, backbone: Any) -> int:
    """Return the most tokens of one pack for a loaded model, by what is free on its device.

    Larger packs than `ACCELERATOR_BATCH_TOKENS` would not be faster. On a device with little free
    memory a pack may come out shorter than a prompt; the prompt is tried all the same.
    """
    if wanted is not None:
        return wanted
    if backbone.device.type == "cpu":
        return CPU_BATCH_TOKENS
    free = _free_bytes(backbone.device)
    if free is None:
        return ACCELERATOR_BATCH_TOKENS
    config = backbone.config
    numbers = numbers_per_token(
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        head_dim=config.head_dim,
    )
    fitting = free * PACK_SHARE / (numbers * backbone.dtype.itemsize)
    return max(1, int(min(ACCELERATOR_BATCH_TOKENS, fitting)))


def _free_bytes(device: torch.device) -> int | None:
    """Return what may still be allocated on an accelerator; None where torch cannot tell."""
    module = torch.get_device_module(device)
    try:
        free, _ = module.mem_get_info(device)
        unused = module.memory_reserved(device) - module.memory_allocated(device)
    except (AttributeError, RuntimeError):  # Apple's has no such function, old drivers refuse
        return None
    return int(free + unused)


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return True
