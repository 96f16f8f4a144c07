"""Which pairs of documents are compared: few, but connected and spread evenly.

The zELO paper (arXiv 2509.12541) compares the n documents of a query along the union of random
cycles: with 4 cycles and n = 100, 400 of 4,950 pairs. Cycles make a graph that is connected, where
every document is compared about equally often and any two are a few steps apart. Pairs across
queries follow cycles as well, over queries. Knows nothing of judges.
"""

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from zelo._common.checks import one_of
from zelo._common.journal import key_of
from zelo.corpora.fields import shown
from zelo.errors import InputError
from zelo.training.graph import Edge, degrees, diameter
from zelo.training.records import Pairs, Ratings

__all__ = ["CYCLES", "PER_QUERIES", "Method", "Shape", "across", "sample"]

Method = Literal["cycles", "random", "full"]
CYCLES = 4  # the paper's; each document meets 8 others
# Ours: 16 pairs for each query, to 400 within it. On 120 planted offsets of deviation 1, one noisy
# vote for each pair, their error was 0.27; with half as many cycles or pairs, 0.55 or 0.47.
PER_QUERIES = 4


def sample(
    query_id: str,
    doc_ids: Sequence[str],
    *,
    method: Method = "cycles",
    cycles: int = CYCLES,
    seed: int = 0,
) -> Pairs:
    """Choose the pairs of a query's documents that are to be compared.

    `cycles` lays that many random cycles through all documents. Where a cycle passes between two
    documents that an earlier one compared already, a pair of documents with as few comparisons as
    possible takes its place (ours: the paper does not say), so that there are n * cycles pairs, all
    different; or all there are, where n is too small for so many. The first n pairs are a whole
    cycle, and fewer cycles give the beginning of the same list: a judge who stops early leaves a
    connected graph, and one who is asked for more repeats nothing. `random` takes as many pairs
    without any plan; `full` takes all.

    Which of the two is shown first is a coin's choice, as in the paper, against judges who prefer a
    place. Chance comes from the seed and the query's id alone: what is chosen for one query does
    not depend on the others.

    Raises:
        InputError: a document's id stands there twice, or `cycles` is not at least 1.
    """
    one_of("method", method, Method)
    _at_least_one("cycles", cycles)
    if len(set(doc_ids)) != len(doc_ids):
        twice = next(one for at, one in enumerate(doc_ids) if one in doc_ids[:at])
        message = (
            f"query {shown(query_id)} has document {shown(twice)} twice; a document is compared "
            "with others, so leave one of them out"
        )
        raise InputError(message)
    rng = _chance("pairs", seed, query_id)
    edges = _EDGES[method](len(doc_ids), cycles, rng)
    pairs = [(doc_ids[one], doc_ids[other]) for one, other in _shuffled(edges, rng)]
    return Pairs(query=query_id, pairs=pairs)


def across(
    ratings: Iterable[Ratings],
    *,
    cycles: int = CYCLES,
    each: int = PER_QUERIES,
    seed: int = 0,
) -> Iterator[Pairs]:
    """Choose pairs of documents of different queries, from which `calibrate` learns offsets.

    All of this is our choice; the vendor says only that biases across queries are estimated.
    Queries meet along random cycles over all of them, so that their graph is connected. Two queries
    that meet are compared by `each` pairs. A query's documents are cut by rating into so many equal
    parts, and each pair is drawn from the same part of both: documents of like strength, whose
    comparison says most about the offset, and from the whole range, so that the offset is not
    that of the best documents alone. A coin decides which query's document is shown first.

    Yields:
        One or two records for each two queries that meet, the pairs by which of them is first.

    Raises:
        InputError: there are fewer than two queries, one stands there twice or has no document, or
            an option is not at least 1.
    """
    _at_least_one("cycles", cycles)
    _at_least_one("each", each)
    drawn: dict[str, Iterator[str]] = {}
    for rated in ratings:
        if rated.query in drawn or not rated.ratings:
            problem = "stands there twice" if rated.query in drawn else "has no rated document"
            raise InputError(f"query {shown(rated.query)} {problem}; leave that line out")
        rng = _chance("across", seed, rated.query)
        drawn[rated.query] = _draws(rated.ratings, each, rng)
    if len(drawn) < 2:
        message = f"pairs across queries need at least two queries, not {len(drawn)}"
        raise InputError(message)
    query_ids = list(drawn)
    rng = _chance("across", seed)
    for one, other in _cycles(len(query_ids), cycles, rng):
        a, b = query_ids[one], query_ids[other]
        drawn_pairs = itertools.islice(zip(drawn[a], drawn[b], strict=True), each)
        yield from _by_order(a, b, dict.fromkeys(drawn_pairs), rng)  # each pair once


@dataclass(slots=True)
class Shape:
    """The shape of the graphs of many queries, taken one by one."""

    queries: int = 0
    documents: int = 0
    pairs: int = 0
    degree_min: int | None = None
    """Comparisons of the document that has fewest; None before there is any."""
    degree_max: int | None = None
    diameter_max: int | None = 0
    """Steps between the two documents of a query that are furthest apart; None where some query's
    documents are not connected."""

    @property
    def degree_mean(self) -> float:
        """Comparisons of a document; 0 where there is none."""
        return 2 * self.pairs / self.documents if self.documents else 0.0

    def add(self, pairs: Pairs, doc_ids: Sequence[str]) -> None:
        """Take the pairs of one query's documents into account."""
        places = {doc_id: place for place, doc_id in enumerate(doc_ids)}
        edges = [(places[one], places[other]) for one, other in pairs.pairs]
        found = degrees(len(doc_ids), edges)
        self.queries += 1
        self.documents += len(doc_ids)
        self.pairs += len(edges)
        if found:
            self.degree_min = min(found if self.degree_min is None else [self.degree_min, *found])
            self.degree_max = max(found if self.degree_max is None else [self.degree_max, *found])
        steps = diameter(len(doc_ids), edges)
        if steps is None or self.diameter_max is None:
            self.diameter_max = None
        else:
            self.diameter_max = max(self.diameter_max, steps)


def _cycles(nodes: int, cycles: int, rng: random.Random) -> Iterator[Edge]:
    """Yield different edges, cycle after cycle; all there are, if those are too few."""
    met: list[set[int]] = [set() for _ in range(nodes)]
    for _ in range(cycles):
        order = list(range(nodes))
        rng.shuffle(order)
        missing = 0
        for edge in zip(order, [*order[1:], *order[:1]], strict=True):
            if _meet(met, *edge):
                yield edge
            else:
                missing += 1
        for _ in range(missing):
            found = _least_met(met, rng)
            if found is None:
                return
            _meet(met, *found)
            yield found


def _meet(met: list[set[int]], one: int, other: int) -> bool:
    """Note that two nodes are compared; False if they were already, or are the same."""
    if one == other or other in met[one]:
        return False
    met[one].add(other)
    met[other].add(one)
    return True


def _least_met(met: list[set[int]], rng: random.Random) -> Edge | None:
    """Find two nodes with as few comparisons as possible, and none with each other."""
    order = list(range(len(met)))
    rng.shuffle(order)  # chance decides among equals
    order.sort(key=lambda node: len(met[node]))
    for one in order:
        for other in order:
            if other != one and other not in met[one]:
                return one, other
    return None


def _random(nodes: int, cycles: int, rng: random.Random) -> Iterator[Edge]:
    every = math.comb(nodes, 2)
    for number in rng.sample(range(every), min(cycles * nodes, every)):
        # pairs are numbered (0, 1), (0, 2), (1, 2), (0, 3), ...
        larger = (1 + math.isqrt(1 + 8 * number)) // 2
        yield number - math.comb(larger, 2), larger


def _full(nodes: int, cycles: int, rng: random.Random) -> Iterator[Edge]:
    return itertools.combinations(range(nodes), 2)


_EDGES = {"cycles": _cycles, "random": _random, "full": _full}


def _shuffled(edges: Iterable[Edge], rng: random.Random) -> Iterator[Edge]:
    for one, other in edges:
        yield (one, other) if rng.random() < 0.5 else (other, one)


def _draws(ratings: dict[str, float], parts: int, rng: random.Random) -> Iterator[str]:
    """Draw a document from each part, weakest part first, again and again."""
    order = sorted(ratings, key=lambda doc_id: (ratings[doc_id], doc_id))
    while True:
        for part in range(parts):
            low, high = part * len(order) // parts, (part + 1) * len(order) // parts
            yield order[rng.randrange(low, max(high, low + 1))]  # a part may be empty


def _by_order(
    a: str, b: str, pairs: Iterable[tuple[str, str]], rng: random.Random
) -> Iterator[Pairs]:
    """Toss a coin for each pair's order, and group them by which query is first."""
    kept, turned = [], []
    for one, other in pairs:
        if rng.random() < 0.5:
            kept.append((one, other))
        else:
            turned.append((other, one))
    if kept:
        yield Pairs(query=a, against=b, pairs=kept)
    if turned:
        yield Pairs(query=b, against=a, pairs=turned)


def _chance(*parts: str | int) -> random.Random:
    return random.Random(key_of(*parts))  # noqa: S311, no secret hangs on it


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{name}={value!r}; it must be a whole number of at least 1")
