"""Quality against latency: what a better ranking costs in seconds per query."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from zelo.evaluation.figures import Summary
from zelo.evaluation.reporting.charts.style import (
    BLACK,
    GREY,
    WIDTH,
    LineStyle,
    bare,
    ceilings,
    handle,
    legend,
    looks,
)

__all__ = ["latency_chart"]

STAGE_LINES: tuple[LineStyle, ...] = ((0, (6, 2)), (0, (1, 1)), (0, (6, 2, 1, 2)), (0, (12, 3)))


def latency_chart(summary: Summary) -> Figure | None:
    """Draw each reranked system at its reranker's median time, with a line to the 95th percentile.

    First stages alone and oracles, which take no time to speak of, are horizontal lines; random
    orders are left out. None where no reranker was timed.
    """
    timed = _timed(summary)
    if not timed:
        return None
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    axes = figure.add_subplot()
    look, measure = looks(summary), summary.measures[0]
    handles = {system: handle(look[system]) for system in timed}
    for system, (median, slow) in timed.items():
        height = summary.averages[system, measure]
        axes.plot([median, slow], [height, height], color=look[system].colour, linewidth=1.3)
        axes.plot(median, height, markersize=8, **look[system].marks)
    for system, (colour, line) in _lines(summary).items():
        height = summary.averages[system, measure]
        axes.axhline(height, color=colour, linestyle=line, linewidth=1.3, zorder=1)
        name = f"{system} (ceiling)" if system in summary.oracles else f"{system} alone"
        handles[name] = Line2D([], [], color=colour, linestyle=line)
    _axes(axes, summary, list(timed.values()))
    legend(figure, handles)
    return figure


def _timed(summary: Summary) -> dict[str, tuple[float, float]]:
    """Median and 95th percentile of the seconds per query, of every system that has them."""
    found = {}
    for system in summary.systems:
        cost = summary.costs.get(summary.rerankers[system] or "")
        if cost is not None and cost.median_s and cost.p95_s and system not in summary.oracles:
            found[system] = (cost.median_s, cost.p95_s)
    return found


def _lines(summary: Summary) -> dict[str, tuple[str, LineStyle]]:
    alone = [system for system in summary.systems if summary.rerankers[system] is None]
    found = {
        system: (BLACK, STAGE_LINES[number % len(STAGE_LINES)])
        for number, system in enumerate(alone)
    }
    return found | {system: (GREY, line) for system, line in ceilings(summary).items()}


def _axes(axes: Axes, summary: Summary, times: list[tuple[float, float]]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(fast for fast, _ in times) / 2, max(slow for _, slow in times) * 2)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(y=0.1)
    average = "average " if len(summary.collections) > 1 else ""
    axes.set_ylabel(f"{average}{summary.measures[0]}")
    what = f"seconds per query of {summary.depth} candidates"
    axes.set_xlabel(f"{what}: median, with a line to the 95th percentile")
    axes.grid(color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
    bare(axes)
