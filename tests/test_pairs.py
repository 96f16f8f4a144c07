"""Which documents are compared: the laws of sampling by cycles, and pairs across queries."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import shortest_path
from typer.testing import CliRunner

from zelo.cli.train_across import across as across_command
from zelo.cli.train_pairs import pairs as pairs_command
from zelo.errors import InputError
from zelo.training.graph import components, degrees, diameter, strongly_connected
from zelo.training.pairs import Shape, across, sample
from zelo.training.records import (
    Candidates,
    Document,
    Pairs,
    Query,
    Ratings,
    read_records,
    write_records,
)

SIZES = st.integers(0, 30)
CYCLES = st.integers(1, 6)
EDGES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=14)


def ids(size: int) -> list[str]:
    """Ids of so many documents."""
    return [f"d{number}" for number in range(size)]


def edges_of(pairs: Pairs, doc_ids: list[str]) -> list[tuple[int, int]]:
    """A query's pairs by place."""
    return [(doc_ids.index(one), doc_ids.index(other)) for one, other in pairs.pairs]


def unordered(pairs: Iterable[tuple[str, str]]) -> set[frozenset[str]]:
    """Pairs without what is shown first."""
    return {frozenset(pair) for pair in pairs}


def rated(query: str, size: int) -> Ratings:
    """Ratings that fall from document to document."""
    values = {doc_id: float(-place) for place, doc_id in enumerate(ids(size))}
    return Ratings(
        query=query,
        ratings=values,
        method="thurstone",
        comparisons=1,
        iterations=1,
        converged=True,
        loss=0.0,
    )


@given(SIZES, CYCLES, st.integers())
def test_number_of_pairs(size: int, cycles: int, seed: int) -> None:
    """There are cycles * n pairs, or all there are; all different, none of a document alone."""
    found = sample("q", ids(size), cycles=cycles, seed=seed).pairs
    assert len(found) == min(cycles * size, math.comb(size, 2))
    assert len(unordered(found)) == len(found)
    assert all(one != other for one, other in found)


@given(st.integers(2, 30), CYCLES, st.integers())
def test_every_prefix_of_a_cycle_connects(size: int, cycles: int, seed: int) -> None:
    """The first n pairs are a cycle: they connect all documents, each with two others."""
    edges = edges_of(sample("q", ids(size), cycles=cycles, seed=seed), ids(size))
    assert len(components(size, edges[:size])) == 1
    if size > 2:
        assert set(degrees(size, edges[:size])) == {2}


@given(SIZES, CYCLES, st.integers())
def test_more_cycles_add_to_fewer(size: int, cycles: int, seed: int) -> None:
    """What fewer cycles chose is the beginning of what more choose, in the same order."""
    fewer = sample("q", ids(size), cycles=cycles, seed=seed).pairs
    more = sample("q", ids(size), cycles=cycles + 1, seed=seed).pairs
    assert more[: len(fewer)] == fewer


def test_degrees_are_nearly_equal() -> None:
    """Four cycles through 100 documents: each meets 8 others, give or take one."""
    shape = Shape()
    for number in range(40):
        shape.add(sample(f"q{number}", ids(100)), ids(100))
    assert (shape.queries, shape.documents, shape.pairs) == (40, 4_000, 16_000)
    assert (shape.degree_mean, shape.degree_min) == (8, 7)
    assert shape.degree_max == 9


def test_diameter_is_within_the_papers_bound() -> None:
    """Bollobas' bound for k = 8 and n = 100 is 5.7 steps, so no two documents are 6 apart."""
    k, n = 8, 100
    bound = sum(math.log(x, k - 1) for x in (n, math.log(n), 5 * k * (k - 1) / 2))
    shape = Shape()
    for number in range(40):
        shape.add(sample(f"q{number}", ids(n)), ids(n))
    assert shape.diameter_max is not None
    assert shape.diameter_max <= bound


def test_order_is_a_fair_coin() -> None:
    """A pair is shown in either order half of the time, and so is each document."""
    firsts: Counter[str] = Counter()
    doc_ids = ids(40)
    forward = total = 0
    for number in range(100):
        found = sample(f"q{number}", doc_ids).pairs
        firsts.update(one for one, _ in found)
        forward += sum(int(one[1:]) < int(other[1:]) for one, other in found)
        total += len(found)
    assert total == 16_000
    assert abs(forward / total - 0.5) < 0.012  # three standard deviations
    assert all(abs(firsts[doc_id] / 800 - 0.5) < 0.08 for doc_id in doc_ids)


def test_choice_is_the_same_everywhere() -> None:
    """Judgements cost money, so what a seed chooses must not change between versions."""
    assert sample("q", ids(5), cycles=1).pairs == [
        ("d3", "d1"),
        ("d3", "d2"),
        ("d2", "d0"),
        ("d4", "d0"),
        ("d4", "d1"),
    ]


def test_queries_and_seeds_choose_differently() -> None:
    """Another query or seed has cycles of its own."""
    chosen = [sample(query, ids(20), seed=seed).pairs for query in ("q1", "q2") for seed in (0, 1)]
    assert all(one != other for one, other in itertools.combinations(chosen, 2))


@given(SIZES, CYCLES, st.integers())
def test_random_pairs(size: int, cycles: int, seed: int) -> None:
    """As many as cycles give, different, none of a document alone."""
    found = sample("q", ids(size), method="random", cycles=cycles, seed=seed).pairs
    assert len(unordered(found)) == len(found) == min(cycles * size, math.comb(size, 2))
    assert all(one != other for one, other in found)


def test_random_pairs_cover_all() -> None:
    """Every pair of documents is drawn sometimes."""
    drawn = [sample(f"q{n}", ids(6), method="random", cycles=1).pairs for n in range(60)]
    assert len(unordered(itertools.chain(*drawn))) == math.comb(6, 2)


@given(SIZES)
def test_full_comparison(size: int) -> None:
    """Every pair once."""
    found = sample("q", ids(size), method="full").pairs
    assert len(found) == math.comb(size, 2)
    assert unordered(found) == unordered(itertools.combinations(ids(size), 2))


def test_a_document_twice_is_refused() -> None:
    """The message names query and document."""
    with pytest.raises(InputError, match="query 'q7' has document 'b' twice"):
        sample("q7", ["a", "b", "c", "b"])


@pytest.mark.parametrize("options", [{"cycles": 0}, {"method": "rings"}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    """The message names the option."""
    with pytest.raises(InputError, match=f"^{next(iter(options))}="):
        sample("q", ids(4), **options)  # type: ignore[arg-type]


@given(EDGES)
def test_graph_figures_are_those_of_scipy(edges: list[tuple[int, int]]) -> None:
    """Diameter and parts, against scipy's shortest paths."""
    matrix = np.zeros((8, 8))
    for one, other in edges:
        matrix[one, other] = one != other
    ways = shortest_path(matrix, directed=False, unweighted=True)
    assert diameter(8, edges) == (None if np.isinf(ways).any() else int(ways.max()))
    parts = components(8, edges)
    assert sorted(itertools.chain(*parts)) == list(range(8))
    assert all(
        np.isfinite(ways[one, other]) == any({one, other} <= set(part) for part in parts)
        for one, other in itertools.combinations(range(8), 2)
    )


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=5))
def test_ways_along_arcs_are_those_of_scipy(arcs: list[tuple[int, int]]) -> None:
    """All nodes reach each other just where scipy finds a path for each two."""
    matrix = np.zeros((3, 3))
    for one, other in arcs:
        matrix[one, other] = one != other
    ways = shortest_path(matrix, directed=True, unweighted=True)
    assert strongly_connected(3, arcs) == bool(np.isfinite(ways).all())


@given(st.integers(2, 12), st.integers(1, 9), st.integers(1, 3), st.integers(1, 5))
def test_pairs_across_connect_all_queries(queries: int, size: int, cycles: int, each: int) -> None:
    """They connect the queries, name documents of the right ones, and repeat none."""
    names = [f"q{number}" for number in range(queries)]
    found = list(across([rated(name, size) for name in names], cycles=cycles, each=each))
    meetings = [(names.index(one.query), names.index(one.against or "")) for one in found]
    assert len(components(queries, meetings)) == 1
    assert all(one != other for one, other in meetings)
    pairs = [(one.query, a, one.against, b) for one in found for a, b in one.pairs]
    assert len({frozenset([(q, a), (r, b)]) for q, a, r, b in pairs}) == len(pairs)
    assert {doc_id for _, a, _, b in pairs for doc_id in (a, b)} <= set(ids(size))
    if size >= each:
        meet = min(cycles * queries, math.comb(queries, 2))
        assert len(pairs) == each * meet


def test_pairs_across_are_of_like_standing() -> None:
    """With four pairs for each two queries, one is of each quarter by rating, in both."""
    ratings = [rated(f"q{number}", 20 + 20 * (number % 2)) for number in range(12)]
    sizes = {one.query: len(one.ratings) for one in ratings}
    quarters = []
    firsts: Counter[str] = Counter()
    for found in across(ratings):
        for a, b in found.pairs:
            one = int(a[1:]) * 4 // sizes[found.query]
            assert one == int(b[1:]) * 4 // sizes[found.against or ""]
            quarters.append(one)
            firsts[found.query] += 1
    assert Counter(quarters) == dict.fromkeys(range(4), 48)
    assert all(firsts[query] for query in sizes)


def test_pairs_across_are_shown_in_either_order() -> None:
    """Which query's document comes first is a coin's choice, pair by pair."""
    ratings = [rated(f"q{number:03}", 20) for number in range(200)]
    found = list(across(ratings))
    forward = sum(len(one.pairs) for one in found if one.query < (one.against or ""))
    assert abs(forward / sum(len(one.pairs) for one in found) - 0.5) < 0.04
    assert found == list(across(ratings))
    assert found != list(across(ratings, seed=1))


@pytest.mark.parametrize(
    ("ratings", "problem"),
    [
        ([rated("a", 3)], "at least two queries, not 1"),
        ([rated("a", 3), rated("a", 3)], "query 'a' stands there twice"),
        ([rated("a", 3), rated("b", 0)], "query 'b' has no rated document"),
    ],
    ids=["one", "twice", "empty"],
)
def test_pairs_across_refuse(ratings: list[Ratings], problem: str) -> None:
    """What cannot be compared is named."""
    with pytest.raises(InputError, match=problem):
        list(across(ratings))


def app(command: object) -> typer.Typer:
    """A program of one command."""
    made = typer.Typer()
    made.command()(command)  # type: ignore[type-var]
    return made


def test_command_pairs(tmp_path: Path) -> None:
    """The command writes what the function gives, and tells figures; single documents are out."""
    path, to = tmp_path / "candidates.jsonl", tmp_path / "pairs.jsonl"
    sizes = {"a": 12, "b": 1, "c": 3}
    write_records(
        path,
        (
            Candidates(
                query=Query(id=name, query="?"),
                documents=[Document(id=doc_id, content=".") for doc_id in ids(size)],
            )
            for name, size in sizes.items()
        ),
    )
    arguments = [str(path), "--out", str(to), "--cycles", "2", "--seed", "5", "--json"]
    result = CliRunner().invoke(app(pairs_command), arguments)
    assert result.exit_code == 0, result.output
    assert list(read_records(to, Pairs)) == [
        sample(name, ids(sizes[name]), cycles=2, seed=5) for name in ("a", "c")
    ]
    figures = json.loads(result.stdout)
    assert figures["queries"] == 2
    assert figures["pairs"] == 24 + 3
    assert (figures["degree_min"], figures["degree_mean"]) == (2, pytest.approx(3.6))
    assert figures["queries_left_out"] == 1


def test_command_across(tmp_path: Path) -> None:
    """The command writes what the function gives."""
    path, to = tmp_path / "ratings.jsonl", tmp_path / "pairs.jsonl"
    ratings = [rated(f"q{number}", 9) for number in range(5)]
    write_records(path, ratings)
    result = CliRunner().invoke(app(across_command), [str(path), "--out", str(to), "--each", "3"])
    assert result.exit_code == 0, result.output
    assert list(read_records(to, Pairs)) == list(across(ratings, each=3))
    assert result.stdout.split() == [
        *("queries", "5", "pairs", "30"),
        *("pairs", "per", "query", "12"),
    ]
