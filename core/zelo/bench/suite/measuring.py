"""Measuring zelo: calls one after the other, many at once, and the memory that they take.

Knows the side that is measured and its workloads; knows no shapes, plans or figures asked for.
"""

import gc
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any, NamedTuple

import torch

from zelo.bench.memory import peak_growth
from zelo.bench.peers import ZeloPeer
from zelo.bench.suite.idle import idle_share, kernel_spans
from zelo.bench.suite.results import PeakMemory, Speed, Stream
from zelo.bench.workloads import Workload
from zelo.local.prompt import PromptEncoder
from zelo.scoring.options import Limits

__all__ = [
    "Counted",
    "compiled_graphs",
    "counted",
    "measure_peak",
    "measure_speed",
    "measure_stream",
]

THREADS = 8
"""Callers of a stream: enough that some of them wait while others tokenise."""
PROFILED = 2
"""One call in so many is repeated under the profiler, whose records take a while to read."""
NO_LIMIT = Limits(max_tokens=2**31)


class Counted(NamedTuple):
    """A workload in tokens of its prompts."""

    unique: int
    """With the query's prefix counted once."""
    unshared: int
    encoding_seconds: float
    """Median time to tokenise it."""


def counted(encoder: PromptEncoder, workload: Workload, times: int = 3) -> Counted:
    """Encode a workload as zelo does."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        encoded = encoder.encode(workload.query, workload.documents, None, NO_LIMIT)
        seconds.append(time.perf_counter() - start)
    own, prefix = sum(map(len, encoded.suffixes)), len(encoded.prefix)
    return Counted(prefix + own, own + prefix * len(encoded.suffixes), median(seconds))


def measure_speed(
    zelo: ZeloPeer,
    workload: Workload,
    tokens: Counted,
    *,
    calls: int,
    projection_weights: int,
    ceiling: float,
) -> Speed:
    """Time so many calls, after two that are not: the first may compile, the second is warm."""
    first, _ = _calls(zelo, workload, 1), _calls(zelo, workload, 1)
    before = compiled_graphs()
    gc.collect()
    seconds = _calls(zelo, workload, calls)
    return Speed(
        seconds=tuple(seconds),
        first_seconds=first[0],
        compiled=compiled_graphs() - before,
        encoding_seconds=tokens.encoding_seconds,
        documents=len(workload.documents),
        text_bytes=sum(len(text.encode()) for text in workload.documents),
        unique_tokens=tokens.unique,
        unshared_tokens=tokens.unshared,
        projection_weights=projection_weights,
        ceiling=ceiling,
    )


def measure_stream(
    zelo: ZeloPeer, workloads: Sequence[Workload], tokens: Sequence[Counted]
) -> Stream:
    """Let several threads score one workload after the other; then watch the card at it."""
    work = list(workloads)
    _all_at_once(zelo, work[:THREADS])  # warm
    gc.collect()
    seconds = _seconds(lambda: _all_at_once(zelo, work))
    spans = kernel_spans(lambda: _all_at_once(zelo, work[::PROFILED]))
    return Stream(
        calls=len(work),
        threads=THREADS,
        seconds=seconds,
        documents=sum(len(one.documents) for one in work),
        unique_tokens=sum(of.unique for of in tokens),
        idle_share=idle_share(spans),
    )


def measure_peak(
    zelo: ZeloPeer, workload: Workload, pack_tokens: int, device: torch.device
) -> PeakMemory:
    """Score a workload, and return the most that was allocated above the level before it."""
    zelo.score(workload.query, workload.documents)  # what is kept for good is kept by now
    before = zelo.stats()

    def work() -> object:
        return zelo.score(workload.query, workload.documents)

    if device.type == "cuda":
        grown, method = _allocated(work, device), "torch.cuda.max_memory_allocated"
    else:
        grown, method = peak_growth(work)
    after = zelo.stats()
    packs, tokens = after.packs - before.packs, after.tokens - before.tokens
    return PeakMemory(grown, pack_tokens, packs, tokens, method)


def _allocated(work: Callable[[], object], device: torch.device) -> int:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    level = torch.cuda.memory_allocated(device)
    work()
    return int(torch.cuda.max_memory_allocated(device) - level)


def _calls(zelo: ZeloPeer, workload: Workload, times: int) -> list[float]:
    def call() -> object:
        return zelo.score(workload.query, workload.documents)

    return [_seconds(call) for _ in range(times)]


def _all_at_once(zelo: ZeloPeer, workloads: Sequence[Workload]) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda one: zelo.score(one.query, one.documents), workloads))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compiled_graphs() -> int:
    """Return how many graphs torch compiled in this process so far."""
    dynamo: Any = sys.modules.get("torch._dynamo.utils")  # there once something was compiled
    return int(dynamo.counters["stats"]["unique_graphs"]) if dynamo else 0
