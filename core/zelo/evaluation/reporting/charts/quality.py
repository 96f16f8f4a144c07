"""The main measure by collection: a dot with its interval per system, oracles as ceilings."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from zelo.evaluation.figures import Summary
from zelo.evaluation.reporting.charts.style import (
    GREY,
    WIDTH,
    Look,
    bare,
    ceilings,
    handle,
    legend,
    looks,
    shortened,
)
from zelo.evaluation.reporting.grids import by_first_stage

__all__ = ["quality_chart"]

GAP = 1.6  # between collections, in rows
ROW = 0.14  # inches
LEGEND_ROW = 0.12  # of which it mostly has two columns

Group = str | None
"""A collection, or None for the average over all."""


def quality_chart(summary: Summary) -> Figure:
    """Draw collections one below the other, and in each its systems one below the other."""
    groups: list[Group] = [*summary.collections]
    if len(groups) > 1:
        groups.append(None)
    look = looks(summary)
    rivals = [s for of_stage in by_first_stage(summary).values() for s in of_stage if s in look]
    pitch = len(rivals) + GAP
    height = 1.2 + ROW * pitch * len(groups) + LEGEND_ROW * len(summary.systems)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    for number, group in enumerate(groups):
        top = number * pitch
        for row, system in enumerate(rivals):
            _dot(axes, summary, group, system, look[system], top + row)
        _ceilings(axes, summary, group, rivals, top)
        if number:
            axes.axhline(top - (GAP + 1) / 2, color="#dddddd", linewidth=0.8)
    _axes(axes, summary.measures[0], groups, len(rivals))
    handles = {system: handle(look[system]) for system in rivals}
    for system, line in ceilings(summary).items():
        handles[f"{system} (ceiling)"] = Line2D([], [], color=GREY, linestyle=line)
    legend(figure, handles)
    return figure


def _value(summary: Summary, group: Group, system: str) -> float:
    measure = summary.measures[0]
    if group is None:
        return summary.averages[system, measure]
    return summary.cells[group, system, measure].mean


def _dot(axes: Axes, summary: Summary, group: Group, system: str, look: Look, row: float) -> None:
    if group is not None:
        cell = summary.cells[group, system, summary.measures[0]]
        axes.plot([cell.low, cell.high], [row, row], color=look.colour, linewidth=1.3)
    axes.plot(_value(summary, group, system), row, markersize=6, **look.marks)


def _ceilings(
    axes: Axes, summary: Summary, group: Group, rivals: Sequence[str], top: float
) -> None:
    """Draw each oracle as far as the systems of its first stage reach, or across all."""
    for system, line in ceilings(summary).items():
        stage = summary.first_stages[system]
        rows = [row for row, name in enumerate(rivals) if summary.first_stages[name] == stage]
        rows = rows or list(range(len(rivals)))
        value = _value(summary, group, system)
        ends = (top + rows[0] - 0.45, top + rows[-1] + 0.45)
        axes.plot([value, value], ends, color=GREY, linewidth=1.8, linestyle=line)


def _axes(axes: Axes, measure: str, groups: Sequence[Group], rows: int) -> None:
    names = ["average" if group is None else shortened(group) for group in groups]
    middles = [number * (rows + GAP) + (rows - 1) / 2 for number in range(len(groups))]
    axes.set_yticks(middles, names)
    axes.set_ylim(len(groups) * (rows + GAP) - (GAP + 1) / 2, -(GAP + 1) / 2)  # the first on top
    axes.set_xlabel(f"{measure}, with 95% bootstrap intervals")
    axes.grid(axis="x", color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    bare(axes)
