"""What probabilities are worth: a reliability curve per system, and below it how they spread."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from zelo.evaluation.figures import Calibration, Histogram, Summary
from zelo.evaluation.reporting.charts.style import GREY, WIDTH, bare, shortened

__all__ = ["calibration_chart"]

ACROSS = 3  # panels
LONGEST_TITLE = 30  # characters that a third of the width holds
TICKS = (1, 100, 10_000, 1_000_000, 100_000_000)
CURVE, RELEVANT, OTHER = "#0072B2", "#D55E00", "#888888"
FEW = 20
"""Documents; the share among fewer says little, so their dots are hollow."""


def calibration_chart(summary: Summary) -> Figure | None:
    """Draw a panel for each system that gives probabilities; None where there is none."""
    found = list(summary.calibration.items())
    if not found:
        return None
    across = min(len(found), ACROSS)
    down = -(-len(found) // across)
    width = WIDTH if across > 1 else WIDTH / 2
    figure = Figure(figsize=(width, 3.9 * down + 0.5), layout="constrained")
    grid = figure.add_gridspec(2 * down, across, height_ratios=[3, 1.2] * down)
    for number, (system, calibration) in enumerate(found):
        row, column = divmod(number, across)
        curve = figure.add_subplot(grid[2 * row, column])
        spread = figure.add_subplot(grid[2 * row + 1, column], sharex=curve)
        curve.set_title(_title(system, calibration), fontsize=9)
        _curve(curve, calibration, first=column == 0)
        _spread(spread, calibration.histogram, first=column == 0)
    figure.align_ylabels()
    _legend(figure)
    return figure


def _title(system: str, calibration: Calibration) -> str:
    figures = f"ECE {calibration.error:.3f}, Brier {calibration.brier:.3f}"
    return f"{shortened(system, LONGEST_TITLE)}\n{figures}"


def _curve(axes: Axes, calibration: Calibration, first: bool) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 2)))
    bins = [one for one in calibration.bins if one.documents]
    places = [one.mean_probability for one in bins]
    axes.plot(places, [one.observed for one in bins], color=CURVE, linewidth=1.3)
    for one in bins:
        face = CURVE if one.documents >= FEW else "white"
        axes.plot(
            *(one.mean_probability, one.observed),
            color=CURVE,
            marker="o",
            markersize=5,
            markerfacecolor=face,
        )
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), yticks=[0, 0.5, 1])
    axes.tick_params(labelbottom=False)
    if first:
        axes.set_ylabel("share relevant")
    bare(axes)


def _spread(axes: Axes, histogram: Histogram, first: bool) -> None:
    steps = len(histogram.other)
    edges = [step / steps for step in range(steps + 1)]
    axes.stairs(histogram.other, edges, color=OTHER, fill=True, alpha=0.45)
    axes.stairs(histogram.relevant, edges, color=RELEVANT, linewidth=1.5)
    # Relevant documents are few: on a plain scale they would not be seen.
    axes.set_yscale("symlog", linthresh=1)
    most = max(*histogram.relevant, *histogram.other, 1)
    axes.set_yticks([0, *(tick for tick in TICKS if tick <= most)])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 2 * most)
    axes.set(xticks=[0, 0.5, 1], xlabel="probability")
    if first:
        axes.set_ylabel("documents\n(log)")
    bare(axes)


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=CURVE, marker="o", markersize=5),
        Line2D([], [], linestyle="none", color=CURVE, marker="o", markerfacecolor="white"),
        Line2D([], [], color=GREY, linestyle=(0, (4, 2))),
        Line2D([], [], color=RELEVANT),
        Patch(color=OTHER, alpha=0.45),
    ]
    names = ["measured", f"fewer than {FEW} documents", "perfect", "relevant", "other"]
    columns = len(names) if figure.get_figwidth() == WIDTH else 2
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)
