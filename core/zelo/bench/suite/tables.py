"""A report as tables of text, for a terminal and for Markdown. Numbers only; nothing is judged."""

from collections.abc import Iterator
from typing import NamedTuple

from zelo.bench.results import Spread
from zelo.bench.suite.asked import Judged, judged
from zelo.bench.suite.results import (
    BFLOAT16,
    Against,
    Ceiling,
    Key,
    Loading,
    PeakMemory,
    Row,
    Speed,
    Stream,
    SuiteReport,
)

__all__ = ["NO_CARD", "Grid", "grids", "head", "notes", "one_line_of"]

NO_CARD = (
    "No GPU here: small shapes on the processor. These figures say nothing about a card; all that "
    "is asked of one stays unmeasured."
)
GIB, TERA = 2**30, 1e12
NOTHING = "-"
SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


class Grid(NamedTuple):
    """A table: its first column says what a row is about, and holds text; the others numbers."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def head(report: SuiteReport) -> list[str]:
    """Say what was measured, on what and with what, line by line."""
    lines = [NO_CARD] if report.scale == "small" else []
    device, machine = report.device, report.machine
    memory = f", {device.memory_bytes / GIB:.0f} GiB" if device.memory_bytes else ""
    capability = f", compute capability {device.capability}" if device.capability else ""
    lines.append(f"{device.name}{memory}{capability}; {machine.cores} cores")
    lines.append(", ".join(f"{name} {number}" for name, number in machine.versions.items()))
    if report.ceiling is not None:
        lines.append(_ceiling(report.ceiling))
    lines.append(
        f"Weights: {report.weights}. Took {report.seconds / 60:.1f} of {report.minutes:g} minutes."
    )
    return lines


def _ceiling(ceiling: Ceiling) -> str:
    fp8 = "" if ceiling.fp8_flops is None else f", fp8 {ceiling.fp8_flops / TERA:,.0f}"
    rate = f"{ceiling.flops / TERA:,.3g}"
    return f"matmul {ceiling.size}^3: {ceiling.dtype} {rate}{fp8} TFLOP/s (medians)"


def grids(report: SuiteReport) -> Iterator[Grid]:
    """Yield the tables: what is asked, then each model's speed, its peers, and the rest."""
    yield _asked(report)
    for model in dict.fromkeys(row.key.model for row in report.rows):
        yield from _of_model(model, report)


def _of_model(model: str, report: SuiteReport) -> Iterator[Grid]:
    speeds = [(key, of) for key, of in report.results(Speed) if key.model == model]
    for quantization in dict.fromkeys(key.quantization for key, _ in speeds):
        found = [(key, of) for key, of in speeds if key.quantization == quantization]
        title = f"{model}, {_type(found[0][0], report)}"
        yield _speed(f"{title}: calls of zelo", found)
        yield _work(f"{title}: what the calls are", found)
    peers = [(key, of) for key, of in report.results(Against) if key.model == model]
    if peers:
        yield _peers(f"{model}: peers, in turn with zelo", peers, report)
    rows = [
        (f"{_type(row.key, report)}: {cells[0]}", cells[1])
        for row in report.rows
        if row.key.model == model and (cells := _other_cells(row.result))
    ]
    if rows:
        yield Grid(f"{model}: stream, memory, loading", ("measurement", "found"), tuple(rows))


def notes(report: SuiteReport) -> list[str]:
    """Say how the figures are meant, and what is missing."""
    told = [
        "Times are medians of calls, tokenisation included, with their range. share = 2 x "
        "projection weights x unique tokens / time / the measured matmul rate, for fp8 too, which "
        "may pass it. The first call is not among them, as it may have to compile; encode is "
        "tokenisation alone.",
        "Peers, sentence-transformers (ST, CrossEncoder) among them, run in turn with zelo at "
        "their fastest batch size. ratio = peer time / zelo time, median and range of the pairs; "
        "logits off = largest difference.",
    ]
    if report.scale == "small":
        told.append("Workloads have the names that they have on a card, and are smaller.")
    told += report.machine.warnings()
    told += dict.fromkeys(
        f"{key.peer}: {of.note}." for key, of in report.results(Against) if of.note
    )
    for key, of in report.results(Against):
        if of.comparison.agrees is False:
            told.append(f"{key}: the two sides' logits differ, so there is no ratio.")
    for key, loading in report.results(Loading):
        if report.scale == "card" and not loading.compiled:
            told.append(f"{key}: nothing was compiled. Is there a C compiler, and Triton?")
    for key, speed in report.results(Speed):
        if speed.compiled:
            told.append(f"{key}: {speed.compiled} graphs were compiled during the timed calls.")
    told += [f"unmeasured: {row.key}: {row.problem}" for row in report.problems()]
    return told


def one_line_of(row: Row) -> str:
    """Say what one measurement found, as soon as it is made."""
    if row.result is None:
        return f"{row.key}: unmeasured: {row.problem}"
    figures = row.result.figures.items()
    found = ", ".join(f"{name} {value:.4g}" for name, value in figures if value is not None)
    return f"{row.key}: {found}"


def _asked(report: SuiteReport) -> Grid:
    heads = ("asked of one H200", "as", "measured", "required", "stretch", "verdict")
    return Grid("What is asked", heads, tuple(map(_asked_row, judged(report))))


def _asked_row(found: Judged) -> tuple[str, ...]:
    asked = found.asked
    sign = ">=" if asked.at_least else "<="
    stretch = NOTHING if asked.stretch is None else f"{sign} {asked.stretch:g} {asked.unit}"
    value = NOTHING if found.value is None else f"{found.value:.3g} {asked.unit}"
    weights = "bf16" if asked.key.quantization == BFLOAT16 else "fp8"
    required = f"{sign} {asked.required:g} {asked.unit}"
    return asked.label, weights, value, required, stretch, found.verdict


def _type(key: Key, report: SuiteReport) -> str:
    return SHORT[report.dtype] if key.quantization == BFLOAT16 else key.quantization


def _speed(title: str, speeds: list[tuple[Key, Speed]]) -> Grid:
    heads = ("workload", "ms", "range", "share", "tokens/s", "pairs/s")
    return Grid(title, heads, tuple((key.workload, *_speed_cells(of)) for key, of in speeds))


def _speed_cells(speed: Speed) -> tuple[str, ...]:
    figures = speed.figures
    return (
        _ms(speed.spread.median),
        _range(speed.spread),
        f"{figures['share']:.1%}",
        f"{figures['tokens_per_s']:,.0f}",
        f"{figures['pairs_per_s']:,.1f}",
    )


def _work(title: str, speeds: list[tuple[Key, Speed]]) -> Grid:
    heads = ("workload", "docs", "kB", "tokens", "unshared", "encode ms", "first ms")
    return Grid(title, heads, tuple((key.workload, *_work_cells(of)) for key, of in speeds))


def _work_cells(speed: Speed) -> tuple[str, ...]:
    return (
        f"{speed.documents:,}",
        f"{speed.text_bytes / 1_000:,.1f}",
        f"{speed.unique_tokens:,}",
        f"{speed.unshared_tokens:,}",
        _ms(speed.encoding_seconds),
        _ms(speed.first_seconds),
    )


def _peers(title: str, found: list[tuple[Key, Against]], report: SuiteReport) -> Grid:
    heads = ("workload, zelo's weights", "peer", "peer ms", "ratio", "range", "logits off")
    rows = tuple(
        (f"{key.workload}, {_type(key, report)}", *_against_cells(of)) for key, of in found
    )
    return Grid(title, heads, rows)


def _against_cells(against: Against) -> tuple[str, ...]:
    comparison = against.comparison
    ratio, off = comparison.ratio, comparison.max_logit_difference
    return (
        comparison.peer,
        _ms(Spread.of(comparison.peer_seconds).median),
        f"{ratio.median:.2f}" if ratio else NOTHING,
        f"{ratio.lowest:.2f}-{ratio.highest:.2f}" if ratio else NOTHING,
        NOTHING if off is None else f"{off:.1g}",
    )


def _other_cells(result: object) -> tuple[str, str] | None:
    if isinstance(result, Loading):
        return f"loaded and ready, {result.compiled} graphs compiled", f"{result.seconds:.1f} s"
    if isinstance(result, PeakMemory):
        what = f"memory above the weights, {result.pack_tokens:,} tokens a pack"
        return what, f"{result.figures['gib']:.2f} GiB"
    if isinstance(result, Stream):
        idle = "unmeasured" if result.idle_share is None else f"{result.idle_share:.1%}"
        rate = f"{result.documents / result.seconds:,.0f} pairs/s"
        return f"{result.calls} calls from {result.threads} threads", f"{rate}, idle {idle}"
    return None


def _ms(seconds: float) -> str:
    return f"{seconds * 1_000:,.{1 if seconds < 0.1 else 0}f}"


def _range(spread: Spread) -> str:
    return f"{_ms(spread.lowest)}-{_ms(spread.highest)}"
