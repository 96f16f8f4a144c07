"""Timing two sides in turn, and checking that they computed the same thing.

Other work on a machine slows both sides of an adjacent pair of runs about equally, so ratios are
taken pair by pair and never from times measured minutes apart.
"""

import gc
import math
import time
from collections.abc import Callable, Sequence

from zelo.bench.peers import Peer
from zelo.bench.results import Comparison
from zelo.bench.workloads import Workload

__all__ = ["TOLERANCES", "compare", "largest_difference", "timed"]

TOLERANCES = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.25}
"""Largest difference of raw logits, by number type. Packing is exact; bfloat16's noise between
any two ways to batch zerank-2 was measured at up to 0.19, float16 keeps 8 times finer steps."""


def compare(
    zelo: Peer,
    peers: Sequence[Peer],
    workload: Workload,
    *,
    rounds: int,
    tolerance: float | None,
    on_run: Callable[[str], None] = lambda _: None,
) -> tuple[list[Comparison], list[float]]:
    """Time zelo and each peer in alternation; return the comparisons and zelo's logits.

    `on_run` is told the name of a side before each of its runs. Both sides must be warm. A
    `tolerance` of None compares times alone.
    """
    times: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in peers}
    differences: dict[str, float | None] = {}
    logits: list[float] = []
    for _ in range(rounds):
        for peer in peers:
            on_run(zelo.name)
            zelo_seconds, logits = timed(zelo, workload)
            on_run(peer.name)
            peer_seconds, of_peer = timed(peer, workload)
            times[peer.name].append((zelo_seconds, peer_seconds))
            differences[peer.name] = _worse(
                differences.get(peer.name, 0.0), largest_difference(logits, of_peer)
            )
    comparisons = [
        Comparison(
            peer.name,
            getattr(peer, "batch_size", None),
            zelo_seconds=tuple(ours for ours, _ in times[peer.name]),
            peer_seconds=tuple(theirs for _, theirs in times[peer.name]),
            max_logit_difference=differences[peer.name],
            tolerance=tolerance,
        )
        for peer in peers
    ]
    return comparisons, logits


def largest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Return the largest absolute difference, or None where one is not a finite number."""
    differences = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    return max(differences) if all(map(math.isfinite, differences)) else None


def _worse(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def timed(peer: Peer, workload: Workload) -> tuple[float, list[float]]:
    """Score a workload once; return the seconds it took, and the logits."""
    gc.collect()  # else one side pays for the other's garbage
    start = time.perf_counter()
    logits = peer.score(workload.query, workload.documents)
    return time.perf_counter() - start, logits
