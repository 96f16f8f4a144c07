"""How much of the time a card had nothing to do, from the spans in which its kernels ran."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

__all__ = ["idle_share", "kernel_spans"]

Span = tuple[float, float]
"""Start and end, in any unit."""
ANNOTATIONS = ("Torch-Compiled Region", "## Call CompiledFxGraph", "ProfilerStep")
"""Names of spans that stand for kernels and for the gaps between them."""


def idle_share(spans: Iterable[Span]) -> float | None:
    """Return the share of the time, from the first start to the last end, in no span.

    None where that time is no time at all. Spans may overlap: kernels of several streams do.
    """
    ordered = sorted(spans)
    if not ordered:
        return None
    busy, (start, end) = 0.0, ordered[0]
    for begun, ended in ordered[1:]:
        if begun > end:
            busy += end - start
            start, end = begun, ended
        else:
            end = max(end, ended)
    whole = end - ordered[0][0]
    return 1 - (busy + end - start) / whole if whole > 0 else None


def kernel_spans(work: Callable[[], object]) -> list[Span]:
    """Do some work under torch's profiler, and return when the card's kernels ran (microseconds).

    Empty where the profiler sees none, as on a machine without a card.
    """
    from torch.profiler import ProfilerActivity, profile

    if not torch.cuda.is_available():
        work()
        return []
    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        work()
        torch.cuda.synchronize()
    events: Any = recorded.events()
    return [(event.time_range.start, event.time_range.end) for event in events if _is_kernel(event)]


def _is_kernel(event: Any) -> bool:
    on_card = event.device_type.name == "CUDA"
    annotation = getattr(event, "is_user_annotation", False)
    return on_card and not annotation and not event.name.startswith(ANNOTATIONS)
