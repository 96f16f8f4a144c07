"""Ratings from preferences: both models' numerics, and the laws of the fit."""

import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import mpmath
import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special
from typer.testing import CliRunner

from zelo.cli.train_fit import fit as fit_command
from zelo.errors import InputError
from zelo.training.ratings import LINKS, PRIOR, Method, Quality, fit
from zelo.training.ratings.links import bradley_terry
from zelo.training.ratings.solver import Graphs, solve
from zelo.training.records import Preferences, Ratings, read_records, write_records

Votes = list[tuple[int, int, float | None]]
METHODS: tuple[Method, ...] = ("thurstone", "bradley-terry")
ALL = pytest.mark.parametrize("method", METHODS)
LOGS: dict[Method, Callable[[np.ndarray], np.ndarray]] = {
    # (1 + erf(x)) / 2 = Phi(sqrt(2) x)
    "thurstone": lambda x: special.log_ndtr(np.sqrt(2) * np.asarray(x)),
    "bradley-terry": lambda x: special.log_expit(np.asarray(x)),
}
FEW = settings(max_examples=30)  # of each law and model
PLANTED = st.lists(st.floats(-1.2, 1.2), min_size=2, max_size=7)
SHARES = st.integers(0, 6).map(lambda sixths: sixths / 6)


@st.composite
def votes(draw: st.DrawFn, least: int = 2) -> tuple[int, Votes]:
    """Documents 0 to n - 1, a chain of comparisons that connects them, and some more."""
    size = draw(st.integers(least, 6))
    pairs = [(number, number + 1) for number in range(size - 1)]
    more = st.sampled_from(list(itertools.permutations(range(size), 2)))
    pairs += draw(st.lists(more, max_size=8))
    return size, [(*pair, draw(SHARES)) for pair in pairs]


def record(judged: Votes, query: str = "q") -> Preferences:
    """A query's preferences."""
    return Preferences(
        query=query,
        pairs=[(f"d{one}", f"d{other}") for one, other, _ in judged],
        preferences=[preference for *_, preference in judged],
    )


def fitted(judged: Votes, **options: object) -> dict[str, float]:
    """Fit one query."""
    (found,) = fit([record(judged)], **options)  # type: ignore[arg-type]
    assert found.converged
    return found.ratings


def values(found: dict[str, float], size: int) -> np.ndarray:
    """Ratings in the order of the documents' numbers."""
    return np.array([found[f"d{number}"] for number in range(size)])


def loss(at: Sequence[float], judged: Votes, method: Method, prior: float) -> float:
    """What is minimised, written anew with scipy's functions."""
    log = LOGS[method]
    total = prior / 2 * float(np.sum(np.square(at)))
    for one, other, share in judged:
        if share is not None:
            difference = at[one] - at[other]
            total -= share * log(difference) + (1 - share) * log(-difference)
    return float(total)


def full(planted: Sequence[float], method: Method) -> Votes:
    """Every pair, with the very probability that the model gives it."""
    return [
        (one, other, float(np.exp(LOGS[method](planted[one] - planted[other]))))
        for one, other in itertools.combinations(range(len(planted)), 2)
    ]


@ALL
def test_logarithms_are_those_of_scipy(method: Method) -> None:
    """log F agrees to 13 digits, from where F is nearly 1 to where it is 0 in any float."""
    x = np.concatenate([np.linspace(-40, 40, 4_001), [-1e5, -300.0, 300.0, 0.0]])
    ahead, behind = LINKS[method](x)
    np.testing.assert_allclose(ahead.log, LOGS[method](x), rtol=2e-13, atol=1e-200)
    np.testing.assert_allclose(behind.log, LOGS[method](-x), rtol=2e-13, atol=1e-200)


@pytest.mark.parametrize("x", [-60.0, -27.3, -6.0, -1.1, -1e-9, 0.0, 0.3, 2.5, 5.9, 20.0])
def test_thurstone_against_many_digits(x: float) -> None:
    """log F, slope and curvature against mpmath at 60 digits, far tails included."""
    with mpmath.workdps(60 + int(max(x, 0) ** 2)):  # the logarithm of nearly 1 cancels digits
        at = mpmath.mpf(x)
        probability = mpmath.erfc(-at) / 2
        slope = mpmath.exp(-at * at) / mpmath.sqrt(mpmath.pi) / probability
        expected = [float(mpmath.log(probability)), float(slope), float(slope * (slope + 2 * at))]
    ahead, _ = LINKS["thurstone"](np.array([x]))
    _, behind = LINKS["thurstone"](np.array([-x]))
    for side in (ahead, behind):
        found = [float(number[0]) for number in side]
        assert found[:2] == pytest.approx(expected[:2], rel=1e-13)
        assert found[2] == pytest.approx(expected[2], rel=1e-9, abs=1e-9)


@ALL
@FEW
@given(x=st.floats(-25, 25))
def test_slopes_are_derivatives(method: Method, x: float) -> None:
    """Slope and curvature are what differences of log F and of the slope give."""
    h = 1e-5
    (ahead, _) = LINKS[method](np.array([x - h, x, x + h]))
    assert (ahead.log[2] - ahead.log[0]) / (2 * h) == pytest.approx(
        ahead.slope[1], rel=1e-5, abs=1e-7
    )
    assert (ahead.slope[0] - ahead.slope[2]) / (2 * h) == pytest.approx(
        ahead.curve[1], rel=1e-4, abs=1e-6
    )


@ALL
@FEW
@given(planted=PLANTED)
def test_planted_ratings_are_recovered(method: Method, planted: list[float]) -> None:
    """From full preferences without noise or prior come the ratings behind them, centred."""
    found = values(fitted(full(planted, method), method=method, prior=0), len(planted))
    np.testing.assert_allclose(found, np.array(planted) - np.mean(planted), atol=1e-6)


@ALL
@FEW
@given(case=votes())
def test_fit_is_the_optimum_that_scipy_finds(method: Method, case: tuple[int, Votes]) -> None:
    """No loss below it is found by another optimiser from another program's formula."""
    size, judged = case
    found = values(fitted(judged, method=method), size)
    other = optimize.minimize(loss, np.zeros(size), (judged, method, PRIOR), tol=1e-10)
    assert loss(found.tolist(), judged, method, PRIOR) <= other.fun + 1e-9
    np.testing.assert_allclose(found, other.x, atol=2e-3)


@ALL
@FEW
@given(case=votes())
def test_gradient_vanishes(method: Method, case: tuple[int, Votes]) -> None:
    """By finite differences, moving any rating does not lower the loss."""
    size, judged = case
    found = values(fitted(judged, method=method), size)
    gradient = optimize.approx_fprime(found, loss, 1e-6, judged, method, PRIOR)
    assert np.abs(gradient).max() < 2e-5


@ALL
@FEW
@given(case=votes(), seed=st.integers())
def test_order_does_not_matter(method: Method, case: tuple[int, Votes], seed: int) -> None:
    """Neither that of the comparisons nor that of the documents, nor which stands first."""
    size, judged = case
    rng = random.Random(seed)  # noqa: S311, no secret hangs on it
    names = list(range(size))
    rng.shuffle(names)
    other: Votes = [
        (names[one], names[two], share)
        if rng.random() < 0.5
        else (names[two], names[one], 1 - share)
        for one, two, share in judged
        if share is not None
    ]
    rng.shuffle(other)
    found = values(fitted(judged, method=method), size)
    again = values(fitted(other, method=method), size)
    np.testing.assert_allclose(again[names], found, atol=1e-6)


@ALL
@FEW
@given(case=votes())
def test_swapped_preferences_negate(method: Method, case: tuple[int, Votes]) -> None:
    """If every judge had said the opposite, every rating would have the other sign."""
    size, judged = case
    other: Votes = [(one, two, 1 - share) for one, two, share in judged if share is not None]
    found = values(fitted(judged, method=method), size)
    np.testing.assert_allclose(values(fitted(other, method=method), size), -found, atol=1e-6)


@ALL
@FEW
@given(case=votes(), place=st.integers(0), more=st.sampled_from([0.1, 0.5, 1.0]))
def test_a_better_vote_never_hurts(
    method: Method, case: tuple[int, Votes], place: int, more: float
) -> None:
    """A higher preference for one document over another does not bring them closer from above."""
    size, judged = case
    place %= len(judged)
    one, two, share = judged[place]
    assert share is not None
    better = [*judged]
    better[place] = (one, two, min(1.0, share + more))
    before = values(fitted(judged, method=method), size)
    after = values(fitted(better, method=method), size)
    assert after[one] - after[two] >= before[one] - before[two] - 1e-6


@ALL
@FEW
@given(case=votes())
def test_sum_is_zero_and_best_is_first(method: Method, case: tuple[int, Votes]) -> None:
    """A query's ratings add up to 0, and its record begins with the best."""
    _, judged = case
    found = list(fitted(judged, method=method).values())
    assert sum(found) == pytest.approx(0, abs=1e-9)
    assert found == sorted(found, reverse=True)


@FEW
@given(cases=st.lists(votes(), min_size=2, max_size=5))
def test_queries_do_not_touch_each_other(cases: list[tuple[int, Votes]]) -> None:
    """Queries that are solved side by side get the ratings that each gets alone."""
    records = [record(judged, f"q{place}") for place, (_, judged) in enumerate(cases)]
    together = list(fit(records))
    assert [one.query for one in together] == [one.query for one in records]
    for found, (size, judged) in zip(together, cases, strict=True):
        assert values(found.ratings, size) == pytest.approx(values(fitted(judged), size), abs=1e-7)


def test_a_step_too_far_is_halved() -> None:
    """Where Newton's step leads astray, a shorter one is taken, for that graph alone.

    An upset: a head start of 30, and the other was preferred. There log F is all but straight, so
    that the first step goes much too far. The optimum is where the pull of the prior on the
    difference, prior / 2 times it, equals the slope.
    """
    hard, easy = (30.0, 0.0), (0.0, 0.3)
    for cases in ([hard], [hard, easy]):
        places = 2 * np.arange(len(cases))
        shift, preference = np.array(cases).T
        graphs = Graphs(places, places + 1, preference, shift, np.full(len(cases), 2))
        found = solve(graphs, bradley_terry, 0.001)
        assert found.converged.all()
        difference = found.values[0] - found.values[1]
        pull = special.expit(30 + difference)
        assert -0.001 / 2 * difference == pytest.approx(pull, rel=1e-6)
    alone = Graphs(np.array([0]), np.array([1]), np.array([0.3]), np.zeros(1), np.array([2]))
    assert found.iterations[1] == solve(alone, bradley_terry, 0.001).iterations[0]


@ALL
def test_a_pair_judged_twice_weighs_twice(method: Method) -> None:
    """Two unlike votes on a pair are two votes of their mean; a vote alone weighs half of that."""
    rest: Votes = [(1, 2, 0.8), (0, 2, 0.5)]
    twice = fitted([(0, 1, 1.0), (0, 1, 0.5), *rest], method=method)
    even = fitted([(0, 1, 0.75), (1, 0, 0.25), *rest], method=method)
    once = fitted([(0, 1, 0.75), *rest], method=method)
    assert twice == pytest.approx(even, abs=1e-7)
    assert abs(twice["d0"] - once["d0"]) > 0.01


def test_missing_votes_weigh_nothing() -> None:
    """A pair that nobody judged changes no rating."""
    judged: Votes = [(0, 1, 0.9), (1, 2, 0.7)]
    assert fitted([*judged, (0, 2, None)]) == fitted(judged)


def fixed_point(size: int, judged: Votes) -> np.ndarray:
    """zbench's iteration, without its damping and to the end: for each e_i, wins over losses."""
    wins = np.full((size, size), 0.0)
    np.fill_diagonal(wins, 0.5)
    for one, other, share in judged:
        assert share is not None
        wins[one, other] += share
        wins[other, one] += 1 - share
    elo = np.zeros(size)
    for _ in range(20_000):
        lose = special.expit(elo[np.newaxis, :] - elo[:, np.newaxis])  # S_ij = sigmoid(e_j - e_i)
        step = np.log((wins * lose).sum(axis=1)) - np.log((wins.T * lose.T).sum(axis=1))
        elo += step
        elo -= elo.mean()
        if np.abs(step).max() < 1e-12:
            break
    return elo


def test_bradley_terry_is_the_fixed_point_of_zbench() -> None:
    """Without a prior both solve the same equations; zbench's damping and early stop aside."""
    rng = np.random.default_rng(3)
    for _ in range(10):
        judged: Votes = [
            (one, other, float(rng.uniform(0.05, 0.95)))
            for one, other in itertools.combinations(range(6), 2)
        ]
        found = values(fitted(judged, method="bradley-terry", prior=0), 6)
        np.testing.assert_allclose(found, fixed_point(6, judged), atol=1e-6)


@ALL
def test_a_winner_of_everything_stays_finite(method: Method) -> None:
    """The prior holds documents that won or lost everything, and the fit still converges."""
    judged: Votes = [(one, other, 1.0) for one, other in itertools.combinations(range(60), 2)]
    found = values(fitted(judged, method=method), 60)
    assert (np.diff(found) < 0).all()
    assert np.abs(found).max() < 100


def test_a_winner_of_everything_needs_a_prior() -> None:
    """Without one no rating is the best, which is said."""
    with pytest.raises(InputError, match=r"query 'q': some won every comparison.*prior=0\.1"):
        fitted([(0, 1, 1.0), (1, 2, 0.5), (0, 2, 1.0)], prior=0)


def test_a_graph_in_parts_is_refused() -> None:
    """The message names the query and each group, by its first documents and its size."""
    judged: Votes = [(0, 1, 0.5), (1, 2, 1.0), (2, 3, 0.0), (4, 5, 1.0), (6, 0, None)]
    with pytest.raises(InputError) as refusal:
        fitted(judged)
    message = str(refusal.value)
    assert message.startswith("query 'q': its documents fall apart into 3 groups")
    assert "'d0', 'd1', 'd2', ... (4); 'd4', 'd5' (2); 'd6' (1)" in message


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([record([(0, 1, 0.5)]), record([(0, 1, 0.5)])], "query 'q' stands there twice"),
        ([record([])], "query 'q' has no pair"),
        ([record([(0, 1, 0.5), (2, 2, 0.5)])], "'d2' is compared with itself"),
        (
            [Preferences(query="q", against="r", pairs=[("a", "b")], preferences=[1.0])],
            "query 'q' has pairs across queries",
        ),
    ],
    ids=["twice", "empty", "itself", "across"],
)
def test_what_cannot_be_fitted_is_refused(records: list[Preferences], problem: str) -> None:
    """The message names the query."""
    with pytest.raises(InputError, match=problem):
        list(fit(records))


@pytest.mark.parametrize("options", [{"prior": -1.0}, {"prior": float("nan")}, {"method": "elo"}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    """At once, before anything is read."""
    with pytest.raises(InputError, match=f"^{next(iter(options))}="):
        fit([], **options)  # type: ignore[arg-type]


def test_memory_is_flat() -> None:
    """Ratings come while preferences are still being read: an endless file could be fitted."""
    chain: Votes = [(number, number + 1, 0.7) for number in range(500)]
    endless = (record(chain, f"q{number}") for number in itertools.count())
    found = list(itertools.islice(fit(endless), 60))
    assert [one.query for one in found] == [f"q{number}" for number in range(60)]


@ALL
def test_loss_is_the_mean_cross_entropy(method: Method) -> None:
    """It is that of a comparison at the ratings, in nats and without the prior."""
    judged: Votes = [(0, 1, 0.9), (1, 2, 0.7), (0, 2, 0.2), (0, 2, None)]
    (found,) = fit([record(judged)], method=method)
    expected = loss(values(found.ratings, 3).tolist(), judged, method, 0.0) / 3
    assert found.loss == pytest.approx(expected)
    assert (found.comparisons, found.method) == (3, method)
    assert 1 <= found.iterations < 20


def app() -> typer.Typer:
    """The command as a program."""
    made = typer.Typer()
    made.command()(fit_command)
    return made


def two_queries() -> Iterator[Preferences]:
    """Something to fit."""
    yield record([(0, 1, 0.9), (1, 2, 0.7), (2, 0, None)], "q1")
    yield record([(0, 1, 0.5)], "q2")


def test_command(tmp_path: Path) -> None:
    """The command writes what the function gives, and tells how well it fits."""
    path, to = tmp_path / "preferences.jsonl", tmp_path / "ratings.jsonl"
    write_records(path, two_queries())
    arguments = [str(path), "--out", str(to), "--method", "bradley-terry", "--json"]
    result = CliRunner().invoke(app(), arguments)
    assert result.exit_code == 0, result.output
    expected = list(fit(two_queries(), method="bradley-terry"))
    assert list(read_records(to, Ratings)) == expected
    figures = json.loads(result.stdout)
    assert figures["comparisons"] == 3
    assert figures["comparisons_per_document"] == pytest.approx(6 / 5)
    assert figures["converged_share"] == 1
    assert figures["loss"] == pytest.approx((expected[0].loss * 2 + expected[1].loss) / 3)


def test_command_writes_nothing_when_it_refuses(tmp_path: Path) -> None:
    """A disconnected query leaves the earlier file as it was."""
    path, to = tmp_path / "preferences.jsonl", tmp_path / "ratings.jsonl"
    write_records(path, [*two_queries(), record([(0, 1, 0.5), (2, 3, 0.5)], "q3")])
    to.write_text("earlier")
    result = CliRunner().invoke(app(), [str(path), "--out", str(to)])
    assert isinstance(result.exception, InputError)
    assert "query 'q3'" in str(result.exception)
    assert to.read_text() == "earlier"


def test_quality_counts_what_did_not_converge() -> None:
    """Shares are of queries, the loss is of all comparisons."""
    quality = Quality()
    (found, other) = fit(two_queries())
    quality.add(found)
    quality.add(other.model_copy(update={"converged": False, "iterations": 100}))
    assert quality.converged_share == 0.5
    assert quality.iterations_max == 100
    assert quality.iterations_mean == pytest.approx((found.iterations + 100) / 2)
