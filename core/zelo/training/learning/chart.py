"""The learning curve on disk: numbers, and a chart of the loss in training and held out."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zelo._common.atomic_write import whole_file
from zelo.errors import MissingExtraError
from zelo.training.learning.curve import Point

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    raise MissingExtraError("the learning curve", "train") from error

from zelo.evaluation.reporting.charts.style import FORMATS, GREY, WIDTH, bare, drawn

__all__ = ["write_chart", "write_curve"]

TRAINING, HELD_OUT = "#56B4E9", "#D55E00"


def write_curve(folder: Path, points: Sequence[Point]) -> None:
    """Write curve.jsonl in place of the one before."""
    with whole_file(folder / "curve.jsonl") as partial:
        lines = (json.dumps(asdict(point)) + "\n" for point in points)
        partial.write_text("".join(lines), encoding="utf-8")


def write_chart(folder: Path, points: Sequence[Point]) -> None:
    """Write curve.png and curve.svg."""
    draw: Any = drawn  # its types are those of an evaluation's charts
    for kind in FORMATS:
        with whole_file(folder / f"curve.{kind}") as partial:
            partial.write_bytes(draw(_figure, points, kind))


def _figure(points: Sequence[Point]) -> Figure:
    figure = Figure(figsize=(WIDTH, 4), layout="constrained")
    axes = figure.add_subplot()
    learned = [(point.step, point.loss) for point in points if point.loss is not None]
    axes.plot(*zip(*learned, strict=True), color=TRAINING, linewidth=1.3, label="training")
    held_out = [(point.step, point.held_out) for point in points if point.held_out is not None]
    if held_out:
        line: dict[str, Any] = {"color": HELD_OUT, "linewidth": 1.5, "marker": "o", "markersize": 4}
        axes.plot(*zip(*held_out, strict=True), **line, label="held out")
        step, loss = min(held_out, key=lambda point: point[1])
        ring: dict[str, Any] = {"marker": "o", "markersize": 9, "markerfacecolor": "none"}
        axes.plot(
            [step], [loss], color="black", linestyle="none", **ring, label=f"best, step {step:,}"
        )
    axes.set_title(
        "Loss in training" + (" and on held-out queries" if held_out else ""), loc="left"
    )
    axes.set(xlabel="step", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=GREY, alpha=0.2)
    axes.legend(frameon=False)
    bare(axes)
    return figure
