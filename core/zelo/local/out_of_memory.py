"""Running out of memory: how it is told from other failures, and how memory is given back."""

import traceback

import torch

__all__ = ["free_cached", "is_out_of_memory", "without_tensors"]

SAYS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
"""What errors that are no `torch.OutOfMemoryError` say: Apple's and older allocators, the CPU's,
and NVIDIA's libraries, which allocate for themselves."""


def is_out_of_memory(error: BaseException) -> bool:
    """Memory did not suffice, so that less at once may succeed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in SAYS)


def without_tensors(error: Exception) -> Exception:
    """Let go of the tensors in the frames that an error passed through: it may live for long."""
    at: BaseException | None = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        traceback.clear_frames(at.__traceback__)
        at = at.__cause__ or at.__context__
    return error


def free_cached(device: torch.device) -> None:
    """Return to a device what torch keeps of it without using it."""
    if device.type != "cpu":
        torch.get_device_module(device).empty_cache()
