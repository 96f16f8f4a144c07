"""Offsets between queries and targets in [0, 1]: planted truths recovered, laws, refusals."""

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special
from typer.testing import CliRunner

from zelo.cli.train_calibrate import calibrate as calibrate_command
from zelo.errors import InputError
from zelo.evaluation.calibration import Judged
from zelo.evaluation.calibration import calibrate as measure
from zelo.training.calibration import Curve, anchored, by_quantiles, calibrate, offsets
from zelo.training.pairs import across
from zelo.training.ratings import Method
from zelo.training.records import (
    Candidates,
    Document,
    Preferences,
    Query,
    Ratings,
    Targets,
    read_records,
    write_records,
)

PLANTED = st.lists(st.floats(-0.6, 0.6), min_size=2, max_size=6)


def rated(query: str, values: Sequence[float], method: str = "thurstone") -> Ratings:
    """Ratings of documents d0, d1, ..."""
    return Ratings(
        query=query,
        ratings={f"d{place}": value for place, value in enumerate(values)},
        method=method,
        comparisons=1,
        iterations=1,
        converged=True,
        loss=0.0,
    )


def probability(difference: float, method: Method) -> float:
    """That the stronger is preferred."""
    if method == "thurstone":
        return float(special.ndtr(math.sqrt(2) * difference))
    return float(special.expit(difference))


def judged(
    ratings: Sequence[Ratings], planted: Sequence[float], method: Method = "thurstone"
) -> list[Preferences]:
    """Pairs across the queries, with the very probabilities that the model gives them."""
    strengths = {
        (one.query, doc_id): value + offset
        for one, offset in zip(ratings, planted, strict=True)
        for doc_id, value in one.ratings.items()
    }
    return [
        Preferences(
            **pairs.model_dump(),
            preferences=[
                probability(
                    strengths[pairs.query, one] - strengths[pairs.against or "", other], method
                )
                for one, other in pairs.pairs
            ],
        )
        for pairs in across(ratings)
    ]


def queries(number: int, method: str = "thurstone") -> list[Ratings]:
    """Queries of three documents each, whose ratings add up to 0."""
    return [
        rated(f"q{place}", (0.5, 0.1 * place, -0.5 - 0.1 * place), method)
        for place in range(number)
    ]


def some(number: int = 3) -> list[Preferences]:
    """Judged pairs across as many queries."""
    return judged(queries(number), [0.0] * number)


@pytest.mark.parametrize("method", ["thurstone", "bradley-terry"])
@given(planted=PLANTED)
def test_planted_offsets_are_recovered(method: Method, planted: list[float]) -> None:
    """From preferences without noise or prior come the offsets behind them, centred."""
    ratings = queries(len(planted), method)
    found = offsets(ratings, judged(ratings, planted, method), prior=0)
    assert found.converged
    expected = np.array(planted) - np.mean(planted)
    np.testing.assert_allclose(list(found.by_query.values()), expected, atol=1e-6)
    assert list(found.by_query) == [one.query for one in ratings]


@given(planted=PLANTED, more=st.lists(st.floats(-0.5, 0.5), min_size=6, max_size=6))
def test_an_offset_makes_up_for_its_querys_level(planted: list[float], more: list[float]) -> None:
    """Raising all ratings of a query lowers its offset as much: only the sum has a meaning."""
    ratings = queries(len(planted))
    votes = judged(ratings, planted)
    raised = [
        rated(one.query, [value + extra for value in one.ratings.values()])
        for one, extra in zip(ratings, more, strict=False)
    ]
    before = np.array(list(offsets(ratings, votes, prior=0).by_query.values()))
    after = np.array(list(offsets(raised, votes, prior=0).by_query.values()))
    moved = before - after - np.array(more[: len(planted)])
    np.testing.assert_allclose(moved, moved.mean(), atol=1e-6)


@given(planted=PLANTED)
def test_which_query_stands_first_does_not_matter(planted: list[float]) -> None:
    """A pair turned round, with the preference turned round, says the same."""
    ratings = queries(len(planted))
    votes = judged(ratings, planted)
    turned = [
        Preferences(
            query=one.against or "",
            against=one.query,
            pairs=[(b, a) for a, b in one.pairs],
            preferences=[None if share is None else 1 - share for share in one.preferences],
        )
        for one in votes
    ]
    found, again = offsets(ratings, votes), offsets(ratings, turned)
    assert list(found.by_query.values()) == pytest.approx(list(again.by_query.values()), abs=1e-7)
    assert sum(found.by_query.values()) == pytest.approx(0, abs=1e-9)


def test_one_query_needs_no_pairs() -> None:
    """It is comparable with itself; its offset is 0."""
    assert offsets(iter(queries(1)), []).by_query == {"q0": 0.0}


@pytest.mark.parametrize(
    ("ratings", "votes", "problem"),
    [
        (queries(2), [], "the queries fall apart into 2 groups.*'q0' .1.; 'q1' .1."),
        (queries(4), some(3), "the queries fall apart into 2 groups.*'q3' .1."),
        (queries(2), some(3), "names query 'q2', which has no ratings"),
        ([*queries(1), rated("q1", [1.0])], some(2), "names document 'd[12]' of query 'q1'"),
        ([*queries(1), *queries(1)], [], "query 'q0' has ratings twice"),
        ([], [], "no rating"),
        ([*queries(1), rated("q1", [0, 1], "bradley-terry")], [], "must all be by one method"),
        ([rated("q0", [0, 1], "elo")], [], "are by 'elo'"),
        (queries(1), [Preferences(query="q0", pairs=[("d0", "d1")], preferences=[1.0])], "within"),
        (
            queries(2),
            [Preferences(query="q0", against="q1", pairs=[("d0", "d1")], preferences=[None])],
            "the queries fall apart into 2 groups",
        ),
    ],
    ids=[
        *("no-pairs", "one-left-out", "unknown-query", "unknown-document", "twice", "none"),
        *("methods", "unknown-method", "within", "no-votes"),
    ],
)
def test_what_gives_no_offsets_is_refused(
    ratings: list[Ratings], votes: list[Preferences], problem: str
) -> None:
    """Queries, documents and groups are named; an offset is never made up."""
    with pytest.raises(InputError, match=problem):
        offsets(ratings, votes)


def test_without_a_prior_an_offset_must_be_finite() -> None:
    """A query whose documents won everything has none."""
    vote = Preferences(query="q0", against="q1", pairs=[("d0", "d0")], preferences=[1.0])
    with pytest.raises(InputError, match="across queries: some won every comparison"):
        offsets(queries(2), [vote], prior=0)
    assert offsets(queries(2), [vote]).by_query["q0"] > 0


@given(
    st.floats(0.01, 50),
    st.floats(-50, 50),
    st.lists(st.floats(-30, 30), min_size=1, max_size=6),
    st.floats(-5, 5),
)
def test_targets_keep_the_order(
    scale: float, shift: float, values: list[float], offset: float
) -> None:
    """Targets lie in [0, 1], and a higher rating of a query never has a lower target."""
    (found,) = calibrate([rated("q", values)], {"q": offset}, Curve(scale, shift))
    targets = [found.targets[f"d{place}"] for place in range(len(values))]
    assert all(0 <= target <= 1 for target in targets)
    expected = special.expit([scale * (value + offset) + shift for value in values])
    assert targets == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-300)
    order = sorted(range(len(values)), key=lambda place: values[place])
    assert all(targets[a] <= targets[b] for a, b in itertools.pairwise(order))


def graded(query: str, grades: Sequence[float | None]) -> Candidates:
    """Documents d0, d1, ... with grades."""
    documents = [
        Document(id=f"d{place}", content=".", score=grade) for place, grade in enumerate(grades)
    ]
    return Candidates(query=Query(id=query, query="?"), documents=documents)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(-3, 3), st.booleans()), min_size=4, max_size=30))
def test_anchored_curve_is_platts(points: list[tuple[float, bool]]) -> None:
    """It has the loss that scipy finds for logistic regression on Platt's targets."""
    strengths = np.array([-4.0, 4.0, *(value for value, _ in points)])
    relevant = np.array([False, True, *(is_relevant for _, is_relevant in points)])
    ones, zeros = int(relevant.sum()), int((~relevant).sum())
    wanted = np.where(relevant, (ones + 1) / (ones + 2), 1 / (zeros + 2))

    def loss(at: np.ndarray) -> float:
        x = at[0] * strengths + at[1]
        return float(np.mean(np.logaddexp(0, x) - wanted * x))

    best = optimize.minimize(loss, np.zeros(2), tol=1e-12)
    candidates = graded("q", relevant.astype(float).tolist())
    if best.x[0] < 1e-3:
        return  # no rising curve
    curve = anchored([rated("q", strengths - 0.5)], {"q": 0.5}, [candidates])
    assert loss(np.array(curve[:2])) == pytest.approx(best.fun, abs=1e-9)
    assert (curve.relevant, curve.other) == (ones, zeros)


def test_anchors_are_the_queries_with_a_grade() -> None:
    """There a document without a grade is not relevant; queries without any grade say nothing."""
    ratings = [rated("a", (1, 0, -1)), rated("b", (1, 0, -1)), rated("c", (1, 0, -1))]
    candidates = [graded("a", (2, None, 0)), graded("b", (None, None, None))]
    curve = anchored(ratings, {"a": 0, "b": 0, "c": 0}, candidates)
    assert (curve.relevant, curve.other) == (1, 2)


@pytest.mark.parametrize(
    ("grades", "problem"),
    [
        ((0, 0, 0), "hold 0 relevant documents and 3 others"),
        ((1, 1, 2), "hold 3 relevant documents and 0 others"),
        ((None, None, None), "hold 0 relevant documents and 0 others"),
        ((0, 0, 1), "not rated higher"),
    ],
)
def test_anchors_that_say_nothing_are_refused(grades: Sequence[float | None], problem: str) -> None:
    """A curve needs both kinds, and must rise."""
    with pytest.raises(InputError, match=problem):
        anchored([rated("q", (1, 0, -1))], {"q": 0}, [graded("q", grades)])


def test_curve_by_quantiles() -> None:
    """The median of all documents gets 0.1, and one that is better than 95 % of them 0.9."""
    ratings = [rated("a", list(range(-50, 1))), rated("b", list(range(-50, 0)))]
    (low, high) = calibrate(ratings, {"a": 0, "b": 51}, by_quantiles(ratings, {"a": 0, "b": 51}))
    assert low.targets["d50"] == pytest.approx(0.1)
    assert high.targets["d44"] == pytest.approx(0.9)


def test_curve_by_quantiles_needs_a_difference() -> None:
    """Ratings that are all alike give none."""
    with pytest.raises(InputError, match="rated alike"):
        by_quantiles([rated("q", (0, 0, 0))], {"q": 0})


def test_offsets_improve_targets() -> None:
    """On queries whose candidates differ in level, targets with offsets are nearer to the truth.

    120 queries of 20 documents: strength = level of the query + a document's own, both normal with
    deviation 1; relevant with probability sigmoid(2 (strength - 1)); judges vote once per pair with
    the model's noise. Ratings are true but centred, as the fit gives them; a quarter of the queries
    is judged and fits the curve. Error: per third of the queries by level, the expected calibration
    error over ten bins, and the mean of the three. (Over all queries at once it is small either
    way, as the curve is fitted; too high for some queries then makes up for too low for others.)
    """
    rng = np.random.default_rng(5)
    levels = rng.normal(size=120)
    own = rng.normal(size=(120, 20))
    own -= own.mean(axis=1, keepdims=True)
    truth = special.expit(2 * (levels[:, np.newaxis] + own - 1))
    relevant = rng.random(truth.shape) < truth
    ratings = [rated(f"q{place}", values.tolist()) for place, values in enumerate(own)]
    votes = [
        one.model_copy(
            update={
                "preferences": [float(rng.random() < (share or 0)) for share in one.preferences]
            }
        )
        for one in judged(ratings, levels.tolist())
    ]
    candidates = [
        graded(f"q{place}", relevant[place].astype(float).tolist()) for place in range(0, 120, 4)
    ]
    found = offsets(ratings, votes).by_query
    assert np.corrcoef(list(found.values()), levels)[0, 1] > 0.9
    errors, squares = [], []
    for shifts in (dict.fromkeys(found, 0.0), found):
        curve = anchored(ratings, shifts, candidates)
        targets = np.array(
            [list(one.targets.values()) for one in calibrate(ratings, shifts, curve)]
        )
        thirds = np.array_split(np.argsort(levels), 3)
        parts = [Judged(targets[t].ravel(), relevant[t].ravel(), len(t)) for t in thirds]
        errors.append(np.mean([measure(part).error for part in parts]))
        squares.append(float(np.mean((targets - truth) ** 2)))
    assert errors[1] < errors[0] / 3
    assert squares[1] < squares[0] / 4


def app() -> typer.Typer:
    """The command as a program."""
    made = typer.Typer()
    made.command()(calibrate_command)
    return made


@pytest.mark.parametrize("grades", [None, (1, 0, 0)], ids=["by-quantiles", "anchored"])
def test_command(tmp_path: Path, grades: Sequence[float] | None) -> None:
    """The command writes what the functions give, and tells the curve."""
    ratings = queries(3)
    votes = judged(ratings, [0.5, 0.0, -0.5])
    paths = [tmp_path / name for name in ("ratings", "across", "candidates", "targets")]
    write_records(paths[0], ratings)
    write_records(paths[1], votes)
    found = offsets(ratings, votes).by_query
    arguments = [str(paths[0]), "--across", str(paths[1]), "--out", str(paths[3]), "--json"]
    if grades is None:
        curve = by_quantiles(ratings, found)
    else:
        candidates = [graded(one.query, grades) for one in ratings]
        write_records(paths[2], candidates)
        arguments += ["--candidates", str(paths[2])]
        curve = anchored(ratings, found, candidates)
    result = CliRunner().invoke(app(), arguments)
    assert result.exit_code == 0, result.output
    assert list(read_records(paths[3], Targets)) == list(calibrate(ratings, found, curve))
    figures = json.loads(result.stdout)
    assert figures["scale"] == curve.scale
    assert figures["offset_max"] == max(found.values())
    assert figures["relevant"] == (None if grades is None else 3)
