"""Peak memory of one side, measured in a process of its own.

The level is taken with the model loaded and one short pair scored, so that weights which were
only mapped are in memory on both sides; what counts is the growth above it.
"""

import contextlib
import ctypes
import gc
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from zelo.bench.peers import CrossEncoderPeer, Peer, ZeloPeer, load_cross_encoder
from zelo.bench.results import Memory
from zelo.bench.workloads import LogNormal, log_normal_workload
from zelo.errors import MissingExtraError, ScoringError

__all__ = ["memory_growth", "peak_growth"]

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc(5): sets the high-water mark to the present size
SAMPLING_INTERVAL_S = 0.001


def memory_growth(
    folder: Path,
    batch_size: int | None,
    *,
    documents: int,
    law: LogNormal,
    dtype: str,
    threads: int,
) -> Memory:
    """Load a side in a new process, score a log-normal workload, and return how memory grew.

    `batch_size` is CrossEncoder's; None measures zelo.

    Raises:
        ScoringError: the process failed.
    """
    task = {
        "folder": str(folder),
        "batch_size": batch_size,
        "documents": documents,
        "law": asdict(law),
        "dtype": dtype,
        "threads": threads,
    }
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "zelo.bench.memory", json.dumps(task)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        cause = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise ScoringError(f"the process that measures memory failed: {cause}")
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def peak_growth(work: Callable[[], object]) -> Memory:
    """Do some work and return the peak of this process's resident memory above its level now."""
    _give_back_freed_memory()
    try:
        CLEAR_REFS.write_text(RESET_PEAK)
        level = _status_bytes("VmRSS")
        work()
        return Memory(max(0, _status_bytes("VmHWM") - level), "kernel high-water mark")
    except OSError:  # another system, or a container that does not allow it
        return _sampled_growth(work)


def _sampled_growth(work: Callable[[], object]) -> Memory:
    try:
        psutil: Any = import_module("psutil")
    except ImportError as error:
        raise MissingExtraError("measuring memory", "bench") from error
    process = psutil.Process()
    level = peak = process.memory_info().rss
    done = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(SAMPLING_INTERVAL_S):
            peak = max(peak, process.memory_info().rss)

    sampler = threading.Thread(target=sample, name="zelo-bench-memory")
    sampler.start()
    try:
        work()
    finally:
        done.set()
        sampler.join()
    return Memory(max(peak, process.memory_info().rss) - level, "sampled")


def _give_back_freed_memory() -> None:
    """Shrink the process to what is in use: memory kept for reuse would hide growth."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc has this
        ctypes.CDLL(None).malloc_trim(0)


def _status_bytes(field: str) -> int:
    for line in STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1_024
    raise OSError(f"{STATUS} has no {field}")


def _measure(task: dict[str, Any]) -> Memory:
    folder, dtype = Path(task["folder"]), str(task["dtype"])
    torch.set_num_threads(int(task["threads"]))
    tokenizer_json = (folder / "tokenizer.json").read_text(encoding="utf-8")
    workload = log_normal_workload(tokenizer_json, int(task["documents"]), LogNormal(**task["law"]))
    peer: Peer
    if task["batch_size"] is None:
        peer = ZeloPeer(folder, dtype, "cpu")
    else:
        peer = CrossEncoderPeer(load_cross_encoder(folder, dtype, "cpu"), int(task["batch_size"]))
    peer.score("a query", ["a document"])
    return peak_growth(lambda: peer.score(workload.query, workload.documents))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(json.loads(sys.argv[1]))._asdict()) + "\n")
