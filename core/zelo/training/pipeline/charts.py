"""The charts of a run: how targets are spread, and where the time went.

Learning curves are drawn where models are trained, quality where it is measured.
"""

from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

from zelo.evaluation.reporting.charts.style import FORMATS, GREY, WIDTH, bare, drawn
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
    """Draw a histogram of the targets, of both rounds where there are two."""
    found = {
        label: report["stages"][name]["targets"]
        for name, label in (("calibrate", "first round"), ("calibrate-refined", "refined"))
        if name in report["stages"]
    }
    if not found:
        return None
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for (label, counts), colour in zip(found.items(), (FIRST, SECOND), strict=False):
        edges = [place / len(counts) for place in range(len(counts) + 1)]
        axes.stairs(counts, edges, color=colour, linewidth=1.5, label=label)
    axes.set(xlabel="target", ylabel="documents", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=GREY, alpha=0.2)
    if len(found) > 1:
        axes.legend(frameon=False)
    bare(axes)
    return figure


def _time(report: Report) -> Figure | None:
    """Draw the time of each stage, the first on top."""
    names = list(report["stages"])
    if not names:
        return None
    minutes = [report["stages"][name]["seconds"] / 60 for name in names]
    figure = Figure(figsize=(WIDTH, 1 + ROW * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(names, minutes, color=FIRST)
    axes.invert_yaxis()
    axes.set(xlabel="minutes")
    axes.grid(axis="x", color=GREY, alpha=0.2)
    axes.set_axisbelow(True)
    bare(axes)
    return figure
