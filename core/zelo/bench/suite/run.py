"""The whole suite, from settings to a report that grows row by row."""

import gc
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from zelo.bench.machine import describe_device, describe_machine
from zelo.bench.models import SHAPES, read_tokenizer
from zelo.bench.peers import ServerPeer
from zelo.bench.suite.budget import Clock, Step, necessary_seconds, rows_of
from zelo.bench.suite.ceiling import measured_ceiling
from zelo.bench.suite.plan import steps_of
from zelo.bench.suite.results import Ceiling, Row, SuiteReport
from zelo.bench.suite.scale import CARD, SMALL, Scale
from zelo.bench.suite.stage import Stage, Texts
from zelo.bench.suite.subject import Subject, free_memory
from zelo.bench.workloads import writer_of
from zelo.errors import InputError
from zelo.scoring.catalog import resolve

if TYPE_CHECKING:  # brings pydantic
    from zelo.wire.values import Scale as WireScale

__all__ = ["Server", "SuiteSettings", "run_suite", "scale_here"]


MEASURING = 0.95
"""Of the time; the rest is for steps that take longer than estimated, and for tables and chart."""


class Server(NamedTuple):
    """A server that is measured beside zelo."""

    url: str
    model: str
    """What it calls its model."""
    dialect: str = "auto"
    scale: "WireScale | None" = None
    """What its scores are, where its dialect does not promise it."""


@dataclass(frozen=True, slots=True)
class SuiteSettings:
    """What to measure."""

    minutes: float = 8.0
    """What fits is measured, the necessary before the rest."""
    seconds_gone: float = 0.0
    """Of these minutes, before the run: importing torch takes a while."""
    models: tuple[str, ...] = ()
    """Names of shapes, for random weights, or folders; none for those of the scale."""
    tokenizer: Path | None = None
    """Folder of the random models' tokenizer; None for that of zelo-nano."""
    server: Server | None = None
    scale: Scale | None = None
    """None for the true shapes on a card, and small ones without."""


def scale_here() -> Scale:
    """Return how large the suite is on this machine."""
    return CARD if torch.cuda.is_available() else SMALL


def run_suite(
    settings: SuiteSettings,
    on_step: Callable[[str], None] = lambda _: None,
    on_report: Callable[[SuiteReport], None] = lambda _: None,
) -> SuiteReport:
    """Measure, tell `on_step` before each step what it is, and `on_report` after it what there is.

    A measurement that fails, or for which there is no time, is a row without a result.

    Raises:
        InputError: a setting has no meaning.
        ModelError: a folder cannot be read.
    """
    if not settings.minutes > 0:
        raise InputError(f"minutes={settings.minutes}; give a number above 0")
    clock = Clock(MEASURING * settings.minutes, settings.seconds_gone)
    scale = settings.scale or scale_here()
    device = torch.device("cuda:0" if scale.name == "card" else "cpu")
    rows: list[Row] = []
    machine = describe_machine()
    on_step("matmul ceiling")
    ceiling = measured_ceiling(device, scale.dtype, scale.ceiling_size)
    on_step("writing texts")
    stages = _stages(settings, scale, device, ceiling)
    random = all(stage.subject.random for stage in stages)

    def report() -> SuiteReport:
        return SuiteReport(
            scale=scale.name,
            dtype=scale.dtype,
            device=describe_device(device),
            machine=machine,
            weights="random" if random else "those of the folder named",
            minutes=settings.minutes,
            seconds=clock.seconds,
            ceiling=ceiling,
            rows=tuple(rows),
        )

    on_report(report())
    with _heap_frozen():
        for row in _rows(stages, clock, on_step):
            rows.append(row)
            on_report(report())
    return report()


@contextmanager
def _heap_frozen() -> Iterator[None]:
    """Keep what is there now, mostly modules, out of the collections that go before timed runs.

    There are hundreds of those, and each took 0.3 s, with torch and transformers imported.
    """
    with suppress(ImportError):  # then its rows say so
        importlib.import_module("sentence_transformers")
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _subjects(settings: SuiteSettings, scale: Scale, device: torch.device) -> list[Subject]:
    tokenizer_json = read_tokenizer(settings.tokenizer)
    names = [_shape_or_folder(name) for name in settings.models or scale.shapes]
    return [Subject(name, tokenizer_json, scale.dtype, device) for name in names]


def _shape_or_folder(name: str) -> str:
    """Return a shape's name, or the folder that is meant: `zelo-nano` and paths are folders."""
    if name in SHAPES:
        return name
    folder = resolve(name).folder
    if folder is None:
        known = ", ".join(SHAPES)
        raise InputError(f"{name!r} is on the hub; give a local copy's folder, or one of {known}")
    return str(folder)


def _stages(
    settings: SuiteSettings, scale: Scale, device: torch.device, ceiling: Ceiling
) -> list[Stage]:
    """Return each model's first stage, that in the first number format."""
    server = ServerPeer(*settings.server) if settings.server else None
    texts: dict[tuple[str, str], Texts] = {}  # random models have one tokenizer
    stages: list[Stage] = []
    for subject in _subjects(settings, scale, device):
        prompts = subject.tokenizer_json, subject.encoder.family.name
        if prompts not in texts:
            texts[prompts] = Texts(writer_of(subject.tokenizer_json), scale, subject.encoder)
        stage = Stage(
            subject=subject,
            quantization=scale.quantizations[0],
            scale=scale,
            texts=texts[prompts],
            device=device,
            ceiling=ceiling.flops,
            server=None if stages else server,
        )
        stages.append(stage)
    return stages


def _rows(stages: Sequence[Stage], clock: Clock, on_step: Callable[[str], None]) -> Iterator[Row]:
    plans = [_plan(stage) for stage in stages]
    for number, (stage, steps) in enumerate(zip(stages, plans, strict=True)):
        behind = sum(map(necessary_seconds, plans[number + 1 :]))
        with closing(stage):
            yield from rows_of(steps, clock, behind=behind, on_step=on_step, recover=free_memory)


def _plan(first: Stage) -> list[Step]:
    others = [replace(first, quantization=name) for name in first.scale.quantizations[1:]]
    return [step for stage in (first, *others) for step in steps_of(stage)]
