"""A panel for each level of noise and each measure: the mean against the pairs compared."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from zelo.evaluation.reporting.charts.style import GREY, WIDTH, bare
from zelo.training.pairs import CYCLES as PAPERS
from zelo.training.sampling_study.simulation import Noise, Row

__all__ = ["chart", "write_chart"]

DPI = 100  # the README shows some 800 pixels
STYLES = (("cycles", "#0072B2", "o"), ("random", "#D55E00", "s"))
PANELS = {
    "tau_full": "Kendall's tau\nto all pairs",
    "tau": "Kendall's tau\nto the truth",
    "top": "best ten\namong the true ten",
    "ndcg": "nDCG@10\nby the truth",
}
DASHES = (0, (4, 2))


def chart(rows: Sequence[Row]) -> Figure:
    """Draw how near each sample comes, with 95 % intervals over queries.

    Points of random pairs are means over the queries that they connect, and there may be none.
    """
    noises = list(dict.fromkeys(row.noise for row in rows))
    figure = Figure(figsize=(WIDTH, 1.2 + 1.6 * len(PANELS)), layout="constrained")
    grid = figure.subplots(len(PANELS), len(noises), sharex=True, sharey="row", squeeze=False)
    for line, (name, label) in zip(grid, PANELS.items(), strict=True):
        line[0].set_ylabel(label, fontsize=8)
        for axes, noise in zip(line, noises, strict=True):
            _panel(axes, [row for row in rows if row.noise == noise], name)
    for axes, noise in zip(grid[0], noises, strict=True):
        right = next(row.right for row in rows if row.noise == noise)
        axes.set_title(f"{_told(noise)}\na vote is right in {100 * right:.0f} %", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("pairs per query", fontsize=8)
    _legend(figure)
    return figure


def write_chart(rows: Sequence[Row], path: Path) -> None:
    """Write the chart as a PNG."""
    chart(rows).savefig(path, dpi=DPI, metadata={"Software": None}, facecolor="white")


def _panel(axes: Axes, rows: Sequence[Row], name: str) -> None:
    for method, colour, marker in STYLES:
        shown = [row for row in rows if row.method == method and row.means]
        pairs = [row.pairs for row in shown]
        means = [row.means[name] for row in shown]
        axes.fill_between(
            pairs, [m.low for m in means], [m.high for m in means], color=colour, alpha=0.2, lw=0
        )
        axes.plot(pairs, [m.mean for m in means], color=colour, marker=marker, markersize=3, lw=1)
    (full,) = (row for row in rows if row.method == "full")
    axes.axhline(full.means[name].mean, color=GREY, linewidth=1, linestyle=DASHES)
    of_cycles = {row.cycles: row.pairs for row in rows if row.method == "cycles"}
    if PAPERS in of_cycles:
        axes.axvline(of_cycles[PAPERS], color="#dddddd", linewidth=1, zorder=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(of_cycles.values()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda pairs, _: f"{pairs:.0f}"))
    axes.tick_params(axis="x", labelsize=6, rotation=45)
    axes.tick_params(axis="y", labelsize=7)
    bare(axes)


def _told(noise: Noise) -> str:
    if noise.kind == "flip":
        return "errs whatever the gap"
    return f"errs by the gap, deviation {noise.size:g}"


def _legend(figure: Figure) -> None:
    handles = {
        method: Line2D([], [], color=colour, marker=marker, markersize=4)
        for method, colour, marker in STYLES
    }
    handles["all pairs"] = Line2D([], [], color=GREY, linestyle=DASHES)
    handles["the paper's 4 cycles"] = Line2D([], [], color="#dddddd")
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=8,
    )
