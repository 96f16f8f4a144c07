"""The charts of a run: how targets are spread, and where the time went.

Learning curves are drawn where models are trained, quality where it is measured.
"""

from collections.abc import Iterator
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zelo.evaluation.reporting.charts.style import FORMATS, GREY, WIDTH, bare, drawn
from zelo.training.pipeline.durations import duration
from zelo.training.pipeline.report import Report

__all__ = ["charts"]

FIRST, SECOND = "#56B4E9", "#D55E00"
ROW = 0.3  # inches


def charts(report: Report) -> Iterator[tuple[str, bytes]]:
    """Yield each chart's file name and content; one that has nothing to show is left out."""
    draw: Any = drawn  # written for summaries; it hands over whatever it is given
    for name, make in (("targets", _targets), ("time", _time)):
        for kind in FORMATS:
            content = draw(make, report, kind)
            if content is not None:
                yield f"{name}.{kind}", content


def _targets(report: Report) -> Figure | None:
    """Draw a histogram of the targets: an area, and a line for those of a second round."""
    stages = report["stages"]
    found = [
        stages[name]["targets"] for name in ("calibrate", "calibrate-refined") if name in stages
    ]
    if not found:
        return None
    figure, axes = _titled("How the targets are spread", 3.4)
    edges = [place / len(found[0]) for place in range(len(found[0]) + 1)]
    axes.stairs(found[0], edges, fill=True, color=FIRST, label="first round")
    for refined in found[1:]:
        axes.stairs(refined, edges, color=SECOND, linewidth=1.5, label="refined")
        axes.legend(frameon=False)
    axes.set(xlabel="target", ylabel="documents", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=GREY, alpha=0.2)
    axes.set_axisbelow(True)
    return figure


def _time(report: Report) -> Figure | None:
    """Draw the time of each stage, the first on top."""
    stages = report["stages"]
    if not stages:
        return None
    seconds = [stage["seconds"] for stage in stages.values()]
    figure, axes = _titled(f"Time by stage, {duration(sum(seconds))} in all", 1 + ROW * len(stages))
    bars = axes.barh([*stages], seconds, color=FIRST)
    axes.bar_label(bars, [duration(one) for one in seconds], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.15)  # room for the longest bar's label
    axes.spines["bottom"].set_visible(False)
    axes.xaxis.set_visible(False)
    return figure


def _titled(title: str, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    bare(axes)
    return figure, axes
