"""What the machine makes of one large product of two matrices: all that a model could reach."""

import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import torch

from zelo.bench.suite.results import Ceiling

__all__ = ["measured_ceiling"]

WARM_S = 0.5
"""Long enough for a card's clocks to come to where they stay."""
RUNS = 50


def measured_ceiling(device: torch.device, dtype: str, size: int) -> Ceiling:
    """Multiply random square matrices, and return the rate of the median run.

    Random, not constant: a card draws less power for zeros, and is faster.
    """
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(size, size, generator=generator, device=device) for _ in range(2))
    operations = 2 * size**3
    one, other = (of.to(getattr(torch, dtype)) for of in (left, right))
    plain = operations / _seconds(lambda: one @ other, device)
    return Ceiling(size, dtype, plain, _fp8_rate(left, right, operations, device))


def _fp8_rate(
    left: torch.Tensor, right: torch.Tensor, operations: int, device: torch.device
) -> float | None:
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 9):
        return None
    size = left.shape[0]
    one, other = left.to(torch.float8_e4m3fn), right.to(torch.float8_e4m3fn)
    rows, columns = (torch.ones(of, device=device) for of in ((size, 1), (1, size)))

    def product() -> torch.Tensor:
        found: torch.Tensor = torch._scaled_mm(
            one,
            other.t(),
            scale_a=rows,
            scale_b=columns,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        return found

    try:
        return operations / _seconds(product, device)
    except RuntimeError:  # this torch has no kernel with a scale per row for this card
        return None


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the median time of one run, with the clocks warm."""
    end = time.perf_counter() + WARM_S
    while time.perf_counter() < end:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    if device.type != "cuda":
        return median(_one(work) for _ in range(RUNS // 10))
    events: Any = torch.cuda.Event
    marks = [events(enable_timing=True) for _ in range(RUNS + 1)]
    marks[0].record()
    for mark in marks[1:]:  # one behind the other, as in a model
        work()
        mark.record()
    torch.cuda.synchronize(device)
    return median(float(a.elapsed_time(b)) / 1_000 for a, b in pairwise(marks))  # it tells ms


def _one(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
