"""Judges with noise, samples of their votes, and how far ratings fitted to these can be trusted."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from zelo.errors import InputError
from zelo.evaluation.significance import intervals
from zelo.training.graph import Edge, components
from zelo.training.measures import kendall_tau
from zelo.training.pairs import Method, sample
from zelo.training.ratings import fit
from zelo.training.records import Preferences
from zelo.training.sampling_study.measures import gain, top_overlap
from zelo.training.sampling_study.planted import Array

__all__ = ["CYCLES", "MEASURES", "METHODS", "NOISES", "Mean", "Noise", "Row", "study"]

CYCLES = (1, 2, 3, 4, 6, 8, 16)
METHODS: tuple[Method, ...] = ("cycles", "random")
MEASURES = (
    "tau_full",  # Kendall's tau to the ratings from all pairs
    "top_full",  # share of their best ten that are among the best ten
    "tau",  # Kendall's tau to the planted ratings
    "top",
    "ndcg",  # nDCG@10 by the planted ratings
    "tau_lost",  # how much larger tau is for all pairs, query by query
    "top_lost",
    "ndcg_lost",
)
VOTES = 3  # judges of a pair, as in the paper; each says one or the other


class Noise(NamedTuple):
    """How a simulated judge errs."""

    kind: Literal["gap", "flip"]
    """`gap`: more often, the closer two documents are, as Thurstone's model has it, which is the
    one that is fitted. `flip`: as often whatever the gap, which no model of ratings can tell."""
    size: float
    """For `gap` the deviation of the planted ratings in the model's units: the smaller, the
    noisier. For `flip` the share of votes that are wrong."""

    def chances(self, planted: Array) -> Array:
        """Return how likely a vote is to prefer the row's document to the column's."""
        differences = planted[:, np.newaxis] - planted
        if self.kind == "flip":
            return 0.5 + (0.5 - self.size) * np.sign(differences)
        scaled = differences * (self.size / planted.std())
        found: Array = np.vectorize(lambda x: (1 + math.erf(x)) / 2)(scaled)
        return found


NOISES = (Noise("gap", 0.5), Noise("gap", 1.0), Noise("gap", 2.0), Noise("flip", 0.2))


class Mean(NamedTuple):
    """A mean over queries, with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


class Row(NamedTuple):
    """What one way of sampling gives at one level of noise."""

    noise: Noise
    right: float
    """Share of single votes for the document that is better by the planted ratings."""
    method: Method
    cycles: int
    pairs: float
    share: float
    """Of all pairs."""
    connected: float
    """Share of the queries whose documents are all connected; the others have no ratings."""
    means: dict[str, Mean]
    """By name, as in `MEASURES`, over the connected queries; empty if there is none."""


class _Case(NamedTuple):
    """A query at one level of noise, with the votes on all of its pairs."""

    name: str
    planted: Array
    votes: Array  # [one, other], the share that prefers the one
    right: float  # how likely a vote is to be for the better document of a pair

    def edges(self, method: Method, size: int, seed: int) -> list[Edge]:
        ids = [str(place) for place in range(len(self.planted))]
        chosen = sample(self.name, ids, method=method, cycles=size, seed=seed)
        return [(int(one), int(other)) for one, other in chosen.pairs]


def study(
    planted: Sequence[Array],
    *,
    noises: Sequence[Noise] = NOISES,
    cycles: Sequence[int] = CYCLES,
    seed: int = 0,
) -> Iterator[Row]:
    """Sample, judge and fit every query at each level of noise, in each way and size.

    Args:
        planted: for each query the ratings behind the votes.
        noises: kinds and levels of it.
        cycles: sizes of the samples, so many pairs for each document; `full` comes as well.
        seed: of votes and samples.

    Raises:
        InputError: ratings of a query are all alike.
    """
    if any(not one.std() > 0 for one in planted):
        raise InputError("the planted ratings of a query are all alike; there is no order")
    for noise in noises:
        cases = [_case(one, noise, f"q{place}", seed) for place, one in enumerate(planted)]
        full = _rated(cases, [case.edges("full", 1, seed) for case in cases])
        ways: list[tuple[Method, int]] = [*itertools.product(METHODS, cycles), ("full", 1)]
        for method, size in ways:
            yield _row(noise, cases, full, method, size, seed)


def _case(planted: Array, noise: Noise, name: str, seed: int) -> _Case:
    chances = noise.chances(planted)
    rng = np.random.default_rng([seed, *f"{noise.kind} {noise.size} {name}".encode()])
    upper = np.triu(rng.binomial(VOTES, chances) / VOTES, k=1)
    votes = upper + np.tril(1 - upper.T, k=-1)  # the other way round, the rest
    better = np.maximum(chances, chances.T)[np.triu_indices(len(planted), k=1)]
    return _Case(name, planted, votes, float(better.mean()))


def _row(
    noise: Noise,
    cases: Sequence[_Case],
    full: Sequence[Array],
    method: Method,
    size: int,
    seed: int,
) -> Row:
    edges = [case.edges(method, size, seed) for case in cases]
    every = [math.comb(len(case.planted), 2) for case in cases]
    kept = [
        place
        for place, (case, found) in enumerate(zip(cases, edges, strict=True))
        if len(components(len(case.planted), found)) == 1
    ]
    rated = _rated([cases[place] for place in kept], [edges[place] for place in kept])
    return Row(
        noise,
        right=float(np.mean([case.right for case in cases])),
        method=method,
        cycles=size,
        pairs=float(np.mean([len(found) for found in edges])),
        share=float(np.mean([len(found) / of for found, of in zip(edges, every, strict=True)])),
        connected=len(kept) / len(cases),
        means=_means(
            rated, [full[place] for place in kept], [cases[place].planted for place in kept]
        ),
    )


def _rated(cases: Sequence[_Case], edges: Sequence[Sequence[Edge]]) -> list[Array]:
    records = (
        Preferences(
            query=case.name,
            pairs=[(str(one), str(other)) for one, other in found],
            preferences=[float(case.votes[edge]) for edge in found],
        )
        for case, found in zip(cases, edges, strict=True)
    )
    return [
        np.array([rating for _, rating in sorted((int(i), r) for i, r in one.ratings.items())])
        for one in fit(records)
    ]


def _means(
    rated: Sequence[Array], full: Sequence[Array], planted: Sequence[Array]
) -> dict[str, Mean]:
    """Compare the ratings of each query with those from all pairs, and with the planted ones."""
    if not rated:
        return {}
    values = {
        "tau_full": list(map(kendall_tau, rated, full)),
        "top_full": list(map(top_overlap, rated, full)),
    }
    for name, measure in (("tau", kendall_tau), ("top", top_overlap), ("ndcg", gain)):
        values[name] = list(map(measure, rated, planted))
        values[f"{name}_lost"] = list(np.subtract(list(map(measure, full, planted)), values[name]))
    bounds = intervals([values[name] for name in MEASURES])
    return {
        name: Mean(float(np.mean(values[name])), *bound)
        for name, bound in zip(MEASURES, bounds, strict=True)
    }
