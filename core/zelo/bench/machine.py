"""Where a benchmark runs: processor, threads, load, versions."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import zelo
from zelo.bench.results import Device, Machine

__all__ = ["describe_device", "describe_machine"]

PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers")


def describe_machine() -> Machine:
    """Return what this process runs on, as it is now."""
    return Machine(
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        versions={
            "zelo": zelo.__version__,
            "python": platform.python_version(),
            **{package: _version(package) for package in PACKAGES},
        },
    )


def describe_device(device: torch.device) -> Device:
    """Return what a card says of itself; anything else is this machine's processor."""
    if device.type != "cuda":
        return Device(_cpu_name())
    card = torch.cuda.get_device_properties(device)
    return Device(card.name, card.total_memory, f"{card.major}.{card.minor}")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # found on PYTHONPATH, without metadata
        return "unknown"
