"""A whole benchmark, from settings to a report."""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median, pstdev

import torch

from zelo.bench.machine import describe_machine
from zelo.bench.measure import TOLERANCES, compare
from zelo.bench.memory import memory_growth
from zelo.bench.models import SHAPES, Shape, read_tokenizer, write_random_model
from zelo.bench.peers import (
    DEFAULT_BATCH_SIZE,
    CrossEncoderPeer,
    Peer,
    ZeloPeer,
    load_cross_encoder,
)
from zelo.bench.results import Memory, Report, WorkloadResult
from zelo.bench.workloads import LogNormal, Workload, log_normal_workload
from zelo.bulk.plan.models import SIZES
from zelo.errors import InputError
from zelo.scoring.catalog import resolve

__all__ = ["Settings", "run_bench"]

SHAPE_FIELDS = {name: key for name, key in SIZES.items() if name != "context"}
"""What of config.json the report names, and how it is called there."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to measure."""

    shape: Shape = SHAPES["cpu-small"]
    model: str | None = None
    """A folder of the sentence-transformers form, or `zelo-nano`, instead of random weights."""
    tokenizer: Path | None = None
    """Folder of the random model's tokenizer; None for that of zelo-nano."""
    documents: tuple[int, ...] = (10, 100, 300)
    law: LogNormal = field(default_factory=LogNormal)
    peer_batch_sizes: tuple[int, ...] = (4, 8, 16, DEFAULT_BATCH_SIZE)
    rounds: int = 3
    dtype: str = "float32"
    device: str = "cpu"
    threads: int | None = None
    """Threads of torch; None leaves its own choice."""
    memory: bool = True


def run_bench(settings: Settings, on_step: Callable[[str], None] = lambda _: None) -> Report:
    """Measure, and tell `on_step` before each step what it is.

    The loaded models are gone afterwards; torch keeps the number of threads.

    Raises:
        InputError: a setting has no meaning.
        MissingExtraError: sentence-transformers is not installed.
        ModelError: the folder cannot be loaded.
    """
    _check(settings)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    machine = describe_machine()
    with _model_folder(settings, on_step) as folder:
        workloads = _workloads(folder, settings)
        results = []
        on_step("loading")
        with _peers(folder, settings) as (ours, theirs):
            sides: list[Peer] = [ours, *theirs]
            for peer in sides:
                on_step(f"warm-up: {peer.name}")
                peer.score(workloads[0].query, workloads[0].documents)
            for workload in workloads:
                results.append(_compared(ours, theirs, workload, settings, on_step))
        if settings.memory:  # when the models of this process no longer take memory
            measure = partial(_growth, folder, settings, on_step)
            results = [replace(found, memory=measure(found)) for found in results]
        return Report(
            model=settings.model or f"random {settings.shape.name}",
            shape=_shape(folder),
            dtype=settings.dtype,
            machine=machine,
            rounds=settings.rounds,
            default_batch_size=DEFAULT_BATCH_SIZE,
            workloads=tuple(results),
        )


def _check(settings: Settings) -> None:
    if settings.dtype not in TOLERANCES:
        raise InputError(f"dtype={settings.dtype!r}; choose one of {', '.join(TOLERANCES)}")
    numbers = {
        "documents": settings.documents,
        "peer_batch_sizes": settings.peer_batch_sizes,
        "rounds": (settings.rounds,),
        "threads": () if settings.threads is None else (settings.threads,),
    }
    for name, values in numbers.items():
        if any(value < 1 for value in values) or (not values and name != "threads"):
            raise InputError(f"{name}={values}; give numbers from 1")
        if len(set(values)) < len(values):
            raise InputError(f"{name}={values}; give each number once")


@contextmanager
def _model_folder(settings: Settings, on_step: Callable[[str], None]) -> Iterator[Path]:
    """Give the folder to load, which for random weights lasts as long as the block."""
    if settings.model is not None:
        folder = resolve(settings.model).folder
        if folder is None:
            message = f"{settings.model!r} is on the hub; give the folder of a local copy"
            raise InputError(message)
        yield folder
        return
    tokenizer_json = read_tokenizer(settings.tokenizer)
    with tempfile.TemporaryDirectory(prefix="zelo-bench-") as temporary:
        on_step(f"making a random model of shape {settings.shape.name}")
        dtype = getattr(torch, settings.dtype)
        write_random_model(Path(temporary), settings.shape, tokenizer_json, dtype)
        yield Path(temporary)


def _workloads(folder: Path, settings: Settings) -> list[Workload]:
    tokenizer_json = read_tokenizer(folder)
    return [log_normal_workload(tokenizer_json, n, settings.law) for n in settings.documents]


@contextmanager
def _peers(folder: Path, settings: Settings) -> Iterator[tuple[ZeloPeer, list[CrossEncoderPeer]]]:
    model = load_cross_encoder(folder, settings.dtype, settings.device)
    theirs = [CrossEncoderPeer(model, size) for size in settings.peer_batch_sizes]
    ours = ZeloPeer(folder, settings.dtype, settings.device)
    try:
        yield ours, theirs
    finally:
        ours.close()


def _compared(
    ours: ZeloPeer,
    theirs: Sequence[CrossEncoderPeer],
    workload: Workload,
    settings: Settings,
    on_step: Callable[[str], None],
) -> WorkloadResult:
    comparisons, logits = compare(
        ours,
        theirs,
        workload,
        rounds=settings.rounds,
        tolerance=TOLERANCES[settings.dtype],
        on_run=lambda side: on_step(f"{workload.name}: {side}"),
    )
    return WorkloadResult(
        name=workload.name,
        documents=len(workload.documents),
        query_tokens=workload.query_tokens,
        document_tokens=sum(workload.document_tokens),
        document_tokens_median=median(workload.document_tokens),
        document_tokens_longest=max(workload.document_tokens),
        logit_spread=pstdev(logits),
        comparisons=tuple(comparisons),
    )


def _growth(
    folder: Path, settings: Settings, on_step: Callable[[str], None], result: WorkloadResult
) -> dict[str, Memory]:
    """Measure zelo, and the peer where it is told about: by default and at its best."""
    peers = [result.at_batch_size(DEFAULT_BATCH_SIZE), result.best]
    sides = {"zelo": None} | {peer.peer: peer.batch_size for peer in peers if peer}
    found = {}
    for side, batch_size in sides.items():
        on_step(f"{result.name}: memory of {side}")
        found[side] = memory_growth(
            folder,
            batch_size,
            documents=result.documents,
            law=settings.law,
            dtype=settings.dtype,
            threads=torch.get_num_threads(),
        )
    return found


def _shape(folder: Path) -> dict[str, int]:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {name: int(config[key]) for name, key in SHAPE_FIELDS.items() if key in config}
