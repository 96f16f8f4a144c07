"""A report as one picture: throughput against documents, latency against payload.

Only figure objects are used, never pyplot: no window, and no setting of the whole process.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from zelo.bench.results import Spread
from zelo.bench.suite.results import BFLOAT16, Against, Key, Speed, SuiteReport
from zelo.bench.suite.subject import SENTENCE_TRANSFORMERS
from zelo.errors import MissingExtraError

__all__ = ["draw"]

WIDTH, HEIGHT, DPI = 11.0, 4.6, 130  # inches, and pixels of one
# Okabe and Ito's palette, which colour-blind readers can tell apart; https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
GREY = "#666666"
CURVE, PAYLOAD = "documents-", "payload-"


class Line(NamedTuple):
    """The points of one line, and what it shows."""

    name: str
    points: list[tuple[float, Spread]]
    """Horizontal place, and median with range."""
    of_peer: bool = False


def draw(report: SuiteReport, path: Path) -> bool:
    """Write a PNG; return False, and write none, where there is nothing to show.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing a chart", "bench") from error
    throughput, latency = list(_throughput(report)), list(_latency(report))
    if not throughput and not latency:
        return False
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2)
    lengths = ", about 200 tokens each" if report.scale == "card" else ""
    _panel(left, throughput, f"documents of a call{lengths}", "pairs per second")
    _panel(right, latency, "payload of a call, kB of documents", "milliseconds, median and range")
    small = ", small shapes: says nothing about a card" if report.scale == "small" else ""
    figure.suptitle(f"{report.device.name}{small}", fontsize=10, color=GREY)
    figure.savefig(path, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return True


def _throughput(report: SuiteReport) -> Iterator[Line]:
    """Yield pairs per second by documents, of zelo and of sentence-transformers."""

    def rates(seconds: tuple[float, ...], documents: int) -> Spread:
        return Spread.of([documents / one for one in seconds])

    sizes = {key.workload: of.documents for key, of in report.results(Speed)}
    yield from _lines(
        report, CURVE, lambda of: (float(of.documents), rates(of.seconds, of.documents))
    )
    points: dict[str, list[tuple[float, Spread]]] = {}
    for key, against in report.results(Against):
        if key.peer == SENTENCE_TRANSFORMERS and key.workload.startswith(CURVE):
            documents = sizes.get(key.workload, 0)
            if documents:
                spread = rates(against.comparison.peer_seconds, documents)
                points.setdefault(key.model, []).append((float(documents), spread))
    for model, found in points.items():
        yield Line(f"{model}, {report.dtype}: sentence-transformers", found, of_peer=True)


def _latency(report: SuiteReport) -> Iterator[Line]:
    """Yield milliseconds by kilobytes."""

    def point(speed: Speed) -> tuple[float, Spread]:
        return speed.text_bytes / 1_000, Spread(*(1_000 * seconds for seconds in speed.spread))

    yield from _lines(report, PAYLOAD, point)


def _lines(
    report: SuiteReport, start: str, point: Callable[[Speed], tuple[float, Spread]]
) -> Iterator[Line]:
    """Yield a line for each model and number format, of the workloads whose name starts so."""
    points: dict[tuple[str, str], list[tuple[float, Spread]]] = {}
    for key, speed in report.results(Speed):
        if key.workload.startswith(start):
            points.setdefault((key.model, _format(key, report)), []).append(point(speed))
    for (model, number_format), found in points.items():
        yield Line(f"{model}, {number_format}", sorted(found))


def _format(key: Key, report: SuiteReport) -> str:
    return report.dtype if key.quantization == BFLOAT16 else key.quantization


def _panel(axes: Any, lines: list[Line], across: str, up: str) -> None:
    for number, line in enumerate(lines):
        places = [place for place, _ in line.points]
        spreads = [spread for _, spread in line.points]
        medians = [spread.median for spread in spreads]
        below = [spread.median - spread.lowest for spread in spreads]
        above = [spread.highest - spread.median for spread in spreads]
        axes.errorbar(
            places,
            medians,
            yerr=[below, above],
            marker="s" if line.of_peer else "o",
            markersize=4,
            linewidth=1.4,
            capsize=2,
            linestyle="--" if line.of_peer else "-",
            color=GREY if line.of_peer else COLOURS[number % len(COLOURS)],
            label=line.name,
        )
    axes.set_xscale("log")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_ylim(bottom=0)
    ticks = sorted({place for line in lines for place, _ in line.points})
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if lines:
        axes.legend(frameon=False, fontsize=8)
