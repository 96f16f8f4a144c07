"""Whether a device can compute a quantisation: by what it is, and by trying once.

The kernels differ with card, driver and torch; what a table promises, a product of two small
matrices shows.
"""

from typing import NamedTuple

import torch

from zelo._common.checks import one_of
from zelo.errors import InputError
from zelo.local.quantization.methods import METHODS
from zelo.scoring.options import Quantization

__all__ = ["check_quantization"]


class _Need(NamedTuple):
    """What a kernel needs of an NVIDIA card."""

    capability: tuple[int, int]
    cards: str
    dtype: torch.dtype | None = None
    """The only number type that it gives results in everywhere."""


NEEDS: dict[str, _Need] = {
    # torch's row-wise kernel (RowwiseScaledMM.cu) is built for 8.9, 9.x, 10.x, 11.x and 12.x, and
    # gives bfloat16; other types come from cuBLAS, on 9.0 alone
    "fp8": _Need((8, 9), "Ada (RTX 40, L4, L40S), Hopper (H100, H200) or newer", torch.bfloat16),
    "int8": _Need((8, 0), "Ampere (A100, RTX 30) or newer"),
}
"""The others are made of plain operations, which every device has."""

ANYWHERE = "'int8-weights' and 'int4-weights' run anywhere, and save memory"
WIDTH, ROWS = 32, 20
TOLERANCE = 0.15
"""Of the trial's result, relative: twice what four bits lose, far below that of a wrong product."""


def check_quantization(name: Quantization, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse a quantisation that cannot run on a device, before a model is loaded.

    Args:
        name: as `quantize` takes it.
        device: where the model is to run.
        dtype: what the rest of the model computes in.

    Raises:
        InputError: the device or the number type cannot; the message says what can.
    """
    one_of("quantization", name, Quantization)
    need = NEEDS.get(name)
    if need is not None and device.type != "cpu":
        _check_card(name, need, device)
        if need.dtype not in (None, dtype):
            wanted = str(need.dtype).removeprefix("torch.")
            message = (
                f"quantization={name!r} gives {wanted} on a card, and this model is to compute in "
                f"{str(dtype).removeprefix('torch.')}; give dtype={wanted!r}, or leave it out"
            )
            raise InputError(message)
    _try(name, device, dtype)


def _check_card(name: str, need: _Need, device: torch.device) -> None:
    nvidia = device.type == "cuda" and torch.version.hip is None
    if nvidia and torch.cuda.get_device_capability(device) >= need.capability:
        return
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    message = (
        f"quantization={name!r} cannot run on {device} ({card}): it needs an NVIDIA card, "
        f"{need.cards}, or a CPU. {ANYWHERE}"
    )
    raise InputError(message)


@torch.inference_mode()
def _try(name: Quantization, device: torch.device, dtype: torch.dtype) -> None:
    """Multiply once as the layers will, and compare with the unquantised product."""
    generator = torch.Generator().manual_seed(0)
    linear = torch.nn.Linear(WIDTH, WIDTH, bias=False)
    linear.weight.copy_(torch.randn(WIDTH, WIDTH, generator=generator))
    linear = linear.to(device, dtype)
    rows = torch.randn(ROWS, WIDTH, generator=generator).to(device, dtype)
    try:
        error = (METHODS[name](linear)(rows) - linear(rows)).float().norm()
        relative = float(error / linear(rows).float().norm())
    except (RuntimeError, ValueError, TypeError) as failed:  # torch knows no closer ones
        message = (
            f"quantization={name!r} does not run on {device} with torch {torch.__version__}: "
            f"{str(failed).splitlines()[0]}. {ANYWHERE}"
        )
        raise InputError(message) from failed
    if not relative < TOLERANCE:
        message = (
            f"quantization={name!r} gives wrong products on {device} with torch "
            f"{torch.__version__} (relative error {relative:.2g}); leave it out"
        )
        raise InputError(message)
