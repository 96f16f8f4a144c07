"""Maximum likelihood for many graphs of comparisons at once, by Newton's method.

Each graph has nodes with unknown values; a comparison tells how often the first of two nodes was
preferred, which the link says is F(shift + value of the first - value of the second). Minimised is,
for each graph, minus the log likelihood plus prior / 2 times the sum of the squared values: convex,
so that there is one solution. Graphs lie side by side in flat arrays, so memory grows with their
comparisons and never with the square of a graph's size, and a graph may have any size. Knows
nothing of documents, queries or files.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zelo.training.ratings.links import Array, Link

__all__ = ["TOLERANCE", "Graphs", "Solution", "solve"]

Places = NDArray[np.intp]
TOLERANCE = 1e-10  # of the gradient, in votes: every node's wins are as expected, but for so much
STEPS = 100  # Newton's; some ten are taken
INNER_STEPS = 500  # conjugate gradients within a step
HALVINGS = 40
SUFFICIENT = 1e-4  # share of the promised fall of the loss that a step must bring (Armijo)
ROUNDING = 1e-12  # by which a loss may seem to rise, relative to itself
FLAT = 1e-12  # curvature below which a node's scale is left alone


class Graphs(NamedTuple):
    """Comparisons of several graphs; the nodes of a graph follow one another."""

    first: Places
    """[comparisons] node, counted over all graphs."""
    second: Places
    preference: Array
    """[comparisons] in [0, 1], for the first node."""
    shift: Array
    """[comparisons] head start of the first node."""
    sizes: Places
    """[graphs] number of nodes, at least 1 each."""


class Solution(NamedTuple):
    """The values that fit the comparisons of each graph best."""

    values: Array
    """[nodes]; their sum is 0 in each graph."""
    loss: Array
    """[graphs] mean cross-entropy of a comparison, in nats; the prior is not in it."""
    gradient: Array
    """[graphs] the largest derivative that is left, in votes."""
    iterations: Places
    """[graphs] Newton steps."""

    @property
    def converged(self) -> NDArray[np.bool_]:
        """[graphs] whether the gradient vanished."""
        return self.gradient <= TOLERANCE


def solve(graphs: Graphs, link: Link, prior: float) -> Solution:
    """Find the values of every node.

    Newton's method; its linear equations by conjugate gradients, only as precisely as the step
    deserves (Nocedal and Wright, "Numerical Optimization", chapter 7.1), and steps halved until the
    loss falls. Every graph has step lengths of its own, so that its solution does not depend on
    its neighbours.
    """
    problem = _Problem(graphs, link, prior)
    point = problem.at(np.zeros(problem.nodes))
    iterations = np.zeros(len(graphs.sizes), dtype=np.intp)
    for _ in range(STEPS):
        active = problem.largest(point.gradient) > TOLERANCE
        if not active.any():
            break
        step = _newton_step(problem, point, active)
        point = _line_search(problem, point, step)
        iterations[active] += 1
    counts = np.bincount(problem.graph_of_comparison, minlength=len(graphs.sizes))
    means = problem.total(point.values) / graphs.sizes
    return Solution(
        values=point.values - problem.spread(means),
        loss=point.likelihood / np.maximum(counts, 1),
        gradient=problem.largest(point.gradient),
        iterations=iterations,
    )


class _Point(NamedTuple):
    """What is known at some values."""

    values: Array  # [nodes]
    likelihood: Array  # [graphs] minus its logarithm
    loss: Array  # [graphs] with the prior
    gradient: Array  # [nodes]
    weights: Array  # [comparisons] curvature
    diagonal: Array  # [nodes] of the Hessian


class _Problem:
    def __init__(self, graphs: Graphs, link: Link, prior: float) -> None:
        self._graphs = graphs
        self._link = link
        self._prior = prior
        self._starts = np.cumsum(graphs.sizes) - graphs.sizes
        self.nodes = int(graphs.sizes.sum())
        self.graph_of_comparison = np.repeat(np.arange(len(graphs.sizes)), graphs.sizes)[
            graphs.first
        ]

    def at(self, values: Array) -> _Point:
        """Evaluate the loss and its derivatives."""
        first, second, preference, shift, sizes = self._graphs
        ahead, behind = self._link(shift + values[first] - values[second])
        other = 1.0 - preference
        losses = -(preference * ahead.log + other * behind.log)
        slopes = other * behind.slope - preference * ahead.slope
        weights = preference * ahead.curve + other * behind.curve
        likelihood = _sums(self.graph_of_comparison, losses, len(sizes))
        return _Point(
            values=values,
            likelihood=likelihood,
            loss=likelihood + 0.5 * self._prior * self.total(values * values),
            gradient=self._gathered(slopes, -slopes) + self._prior * values,
            weights=weights,
            diagonal=self._gathered(weights, weights) + self._prior,
        )

    def hessian_times(self, point: _Point, vector: Array) -> Array:
        """Multiply by the Hessian, a weighted graph Laplacian plus the prior."""
        first, second, *_ = self._graphs
        flow = point.weights * (vector[first] - vector[second])
        return self._gathered(flow, -flow) + self._prior * vector

    def total(self, of_nodes: Array) -> Array:
        """Sum over the nodes of each graph."""
        return np.asarray(np.add.reduceat(of_nodes, self._starts))

    def largest(self, of_nodes: Array) -> Array:
        """Return the largest size of a node's number in each graph."""
        return np.asarray(np.maximum.reduceat(np.abs(of_nodes), self._starts))

    def spread(self, of_graphs: Array) -> Array:
        """Give every node its graph's number."""
        return np.repeat(of_graphs, self._graphs.sizes)

    def _gathered(self, to_first: Array, to_second: Array) -> Array:
        first, second, *_ = self._graphs
        return _sums(first, to_first, self.nodes) + _sums(second, to_second, self.nodes)


def _newton_step(problem: _Problem, point: _Point, active: NDArray[np.bool_]) -> Array:
    """Solve Hessian x = gradient by preconditioned conjugate gradients, in each active graph."""
    scale = np.maximum(point.diagonal, FLAT)
    residual = point.gradient
    size = np.sqrt(problem.total(residual * residual))
    wanted = size * np.minimum(0.1, np.sqrt(size))
    step = np.zeros(problem.nodes)
    direction = residual / scale
    slope = problem.total(residual * direction)
    going = active
    for _ in range(INNER_STEPS):
        product = problem.hessian_times(point, direction)
        curvature = problem.total(direction * product)
        going = going & (curvature > 0)  # flat without a prior, where every vote is certain
        length = problem.spread(_share(slope, curvature, going))
        step += length * direction
        residual = residual - length * product
        going = going & (np.sqrt(problem.total(residual * residual)) > wanted)
        if not going.any():
            break
        scaled = residual / scale
        previous, slope = slope, problem.total(residual * scaled)
        direction = scaled + problem.spread(_share(slope, previous, going)) * direction
    return step


def _line_search(problem: _Problem, point: _Point, step: Array) -> _Point:
    """Go along the step, half as far in each graph whose loss does not fall as it should."""
    promised = problem.total(point.gradient * step)
    slack = ROUNDING * (1.0 + np.abs(point.loss))
    length = np.ones(len(promised))
    for _ in range(HALVINGS):
        found = problem.at(point.values - problem.spread(length) * step)
        short = found.loss > point.loss - SUFFICIENT * length * promised + slack
        if not short.any():
            return found
        length[short] /= 2
    length[short] = 0.0  # at the limit of precision nothing is better than what was found
    return problem.at(point.values - problem.spread(length) * step)


def _sums(places: Places, numbers: Array, size: int) -> Array:
    """Add up the numbers of each place."""
    return np.bincount(places, numbers, size).astype(np.float64, copy=False)


def _share(over: Array, under: Array, where: NDArray[np.bool_]) -> Array:
    """Divide where asked, and give 0 elsewhere."""
    return np.divide(over, under, out=np.zeros(len(over)), where=where)
