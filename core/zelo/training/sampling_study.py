"""How many comparisons ratings need, and whether cycles choose them better than chance.

`python -m zelo.training.sampling_study --out DIR [--collection BEIR]` plants ratings, simulates
judges with the noise of Thurstone's model, and fits ratings to some of all pairs: along random
cycles, and as many random pairs. Kendall's tau says how close their order comes to that from all
pairs, judged by the same votes, and to the planted one. The paper's claim is that 400 of 4,950
pairs lose little. With a collection, the planted ratings are BM25's scores of its candidates,
among which few stand out; else they are normal.

Writes `sampling.csv` and `sampling.png`. Noise is told by the deviation of the planted ratings in
units of the model: the smaller, the more often a judge prefers the worse document.
"""

import argparse
import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from zelo.collections import read_collection
from zelo.collections.collection import evenly
from zelo.errors import InputError
from zelo.evaluation.reporting.charts.style import GREY, WIDTH, bare
from zelo.retrieval.bm25 import BM25Stage
from zelo.training.graph import Edge, components
from zelo.training.pairs import Method, sample
from zelo.training.ratings import fit
from zelo.training.records import Preferences

__all__ = [
    "DEVIATIONS",
    "Row",
    "chart",
    "kendall_tau",
    "planted_by_bm25",
    "planted_normal",
    "study",
]

DEVIATIONS = (0.5, 1.0, 2.0)
CYCLES = (1, 2, 3, 4, 6, 8, 16)
VOTES = 3  # judges of a pair, as in the paper; each says one or the other
DPI = 150
STYLES = (("cycles", "#0072B2", "o"), ("random", "#D55E00", "s"))
METHODS: tuple[Method, ...] = ("cycles", "random")

Array = NDArray[np.float64]


class Row(NamedTuple):
    """What one way of sampling gives at one level of noise, as means over queries."""

    deviation: float
    """Of the planted ratings: 0.5 is a noisy judge, 2 a clear one."""
    method: str
    cycles: int
    pairs: float
    share: float
    """Of all pairs."""
    connected: float
    """Share of the queries whose documents are all connected; the others have no ratings."""
    tau_full: float | None
    """Kendall's tau to the ratings from all pairs, over the connected; None if none is."""
    tau_planted: float | None
    """The same to the planted ratings."""


def study(
    planted: Sequence[Array],
    *,
    deviations: Sequence[float] = DEVIATIONS,
    cycles: Sequence[int] = CYCLES,
    seed: int = 0,
) -> Iterator[Row]:
    """Sample, judge and fit every query at each level of noise, in each way and size.

    Args:
        planted: for each query the ratings behind the votes; they are scaled to each deviation.
        deviations: levels of noise.
        cycles: sizes of the samples, so many pairs for each document; `full` comes as well.
        seed: of votes and samples.

    Raises:
        InputError: ratings of a query are all alike.
    """
    for deviation in deviations:
        cases = [_Case(one, deviation, f"q{place}", seed) for place, one in enumerate(planted)]
        ways: list[tuple[Method, int]] = [*itertools.product(METHODS, cycles), ("full", 1)]
        for method, size in ways:
            outcomes = [case.outcome(method, size) for case in cases]
            rated = [one for one in outcomes if one.tau_full is not None]
            yield Row(
                deviation=deviation,
                method=method,
                cycles=size,
                pairs=_mean([one.pairs for one in outcomes]),
                share=_mean([one.share for one in outcomes]),
                connected=len(rated) / len(outcomes),
                tau_full=_mean([one.tau_full for one in rated]) if rated else None,
                tau_planted=_mean([one.tau_planted for one in rated]) if rated else None,
            )


def planted_normal(queries: int, documents: int, seed: int = 0) -> list[Array]:
    """Draw ratings of so many queries."""
    return list(np.random.default_rng(seed).normal(size=(queries, documents)))


def planted_by_bm25(folder: Path, queries: int, documents: int) -> list[Array]:
    """Take BM25's scores of the candidates of evenly spaced queries of a collection.

    Queries for which fewer candidates are found than asked for are left out.

    Raises:
        InputError: there is no such collection, or no query has so many candidates.
    """
    collection = read_collection(folder, lenient=True).collection
    chosen = evenly(collection.queries, queries)
    run = BM25Stage().retrieve(collection, chosen, documents)
    found = [
        np.array([one.score for one in run[query_id]])
        for query_id in chosen
        if len(run.get(query_id, [])) == documents
    ]
    if not found:
        raise InputError(f"no query of {collection.name} has {documents} candidates; ask for fewer")
    return found


def kendall_tau(one: Array, other: Array) -> float:
    """Return the share of pairs in the same order, less that of pairs in the other; ties are 0."""
    above = np.triu_indices(len(one), k=1)
    signs = np.sign(one[:, np.newaxis] - one) * np.sign(other[:, np.newaxis] - other)
    return float(signs[above].mean())


class _Outcome(NamedTuple):
    pairs: int
    share: float
    tau_full: float | None = None
    tau_planted: float | None = None


class _Case:
    """A query at one level of noise, with the votes on all of its pairs."""

    def __init__(self, planted: Array, deviation: float, name: str, seed: int) -> None:
        self._name = name
        self._seed = seed
        if not planted.std() > 0:
            raise InputError("the planted ratings of a query are all alike; there is no order")
        self._planted = planted * (deviation / planted.std())
        self._ids = [str(number) for number in range(len(planted))]
        rng = np.random.default_rng([seed, int(1000 * deviation), *name.encode()])
        differences = self._planted[:, np.newaxis] - self._planted
        chances = np.vectorize(lambda x: (1 + math.erf(x)) / 2)(differences)
        upper = np.triu(rng.binomial(VOTES, chances) / VOTES, k=1)
        self._votes = upper + np.tril(1 - upper.T, k=-1)  # the other way round, the rest
        self._full = self._rated(self._edges("full", 1))

    def outcome(self, method: Method, size: int) -> _Outcome:
        """Fit ratings to a sample, if it connects all documents."""
        edges = self._edges(method, size)
        share = len(edges) / math.comb(len(self._ids), 2)
        if len(components(len(self._ids), edges)) > 1:
            return _Outcome(len(edges), share)
        ratings = self._rated(edges)
        taus = kendall_tau(ratings, self._full), kendall_tau(ratings, self._planted)
        return _Outcome(len(edges), share, *taus)

    def _edges(self, method: Method, size: int) -> list[Edge]:
        chosen = sample(self._name, self._ids, method=method, cycles=size, seed=self._seed)
        return [(int(one), int(other)) for one, other in chosen.pairs]

    def _rated(self, edges: Sequence[Edge]) -> Array:
        record = Preferences(
            query=self._name,
            pairs=[(self._ids[one], self._ids[other]) for one, other in edges],
            preferences=[float(self._votes[edge]) for edge in edges],
        )
        (found,) = fit([record])
        return np.array([found.ratings[doc_id] for doc_id in self._ids])


def chart(rows: Sequence[Row]) -> Figure:
    """Draw a panel for each level of noise.

    Points of random pairs are means over the queries that they connect, and there may be none.
    """
    deviations = sorted({row.deviation for row in rows})
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    panels = figure.subplots(1, len(deviations), sharey=True, squeeze=False)[0]
    for axes, deviation in zip(panels, deviations, strict=True):
        here = [row for row in rows if row.deviation == deviation]
        for method, colour, marker in STYLES:
            _curve(axes, [row for row in here if row.method == method], colour, marker)
        (full,) = [row for row in here if row.method == "full"]
        axes.axhline(full.tau_planted, color=GREY, linewidth=1, linestyle=(0, (4, 2)))
        axes.set_title(f"planted deviation {deviation:g}", fontsize=9)
        axes.set_xscale("log", base=2)
        axes.set_xticks([row.pairs for row in here if row.method == "cycles"])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda pairs, _: f"{pairs:.0f}"))
        axes.tick_params(axis="x", labelsize=7)
        axes.set_xlabel("pairs per query")
        bare(axes)
    panels[0].set_ylabel("Kendall's tau")
    _legend(figure)
    return figure


def _curve(axes: Axes, rows: Sequence[Row], colour: str, marker: str) -> None:
    rated = [row for row in rows if row.tau_full is not None]
    pairs = [row.pairs for row in rated]
    full = np.array([row.tau_full for row in rated], dtype=np.float64)
    axes.plot(pairs, full, color=colour, marker=marker, markersize=4)
    planted = np.array([row.tau_planted for row in rated], dtype=np.float64)
    axes.plot(pairs, planted, color=colour, linestyle=":", marker=marker, markersize=3)


def _legend(figure: Figure) -> None:
    handles = {
        **{
            f"{method}, to all pairs": Line2D([], [], color=colour, marker=marker)
            for method, colour, marker in STYLES
        },
        "to the planted order": Line2D([], [], color=GREY, linestyle=":"),
        "all pairs, to the planted order": Line2D([], [], color=GREY, linestyle=(0, (4, 2))),
    }
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=8,
    )


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write table and chart."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "sampling.csv", "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(Row._fields)
        lines.writerows(rows)
    chart(rows).savefig(folder / "sampling.png", dpi=DPI, facecolor="white")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m zelo.training.sampling_study")
    parser.add_argument("--out", type=Path, required=True, help="folder for table and chart")
    parser.add_argument("--collection", type=Path, help="BEIR folder; default: normal ratings")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.collection is None:
        planted = planted_normal(given.queries, given.documents, given.seed)
    else:
        planted = planted_by_bm25(given.collection, given.queries, given.documents)
    write(list(study(planted, seed=given.seed)), given.out)


def _mean(numbers: Iterable[float | None]) -> float:
    return float(np.mean([number for number in numbers if number is not None]))


if __name__ == "__main__":
    main()
