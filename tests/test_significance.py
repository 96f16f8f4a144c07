"""Randomisation test, Holm's correction and bootstrap intervals: by hand, by law, and by scipy."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from zelo.evaluation.significance import holm, intervals, p_values

SHARES = st.integers(0, 20).map(lambda twentieths: twentieths / 20)
PAIRS = st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=9)
P_VALUES = st.lists(st.floats(0.001, 1), min_size=1, max_size=12)


def by_enumeration(differences):
    """The share of all sign patterns whose sum is at least as far from 0, in whole twentieths."""
    whole = [round(20 * difference) for difference in differences]
    patterns = list(itertools.product((1, -1), repeat=len(whole)))
    sums = [sum(s * w for s, w in zip(signs, whole, strict=True)) for signs in patterns]
    return sum(abs(found) >= abs(sum(whole)) for found in sums) / len(sums)


def p_of(differences, **options):
    """Test one row of differences."""
    (p_value,) = p_values([differences], **options)
    return p_value


def test_p_value_by_hand():
    """Ten equal gains: the two sign patterns out of 2**10 that are as extreme give p = 2 / 1024."""
    assert p_of([0.1] * 10) == pytest.approx(2 / 1024)


def test_equal_systems():
    """No query differs: nothing can be less extreme, so p is 1."""
    assert p_of([0.0] * 60) == 1.0


@given(pairs=PAIRS)
def test_few_queries_are_enumerated(pairs):
    """With 2**n below the resamples, p is the exact share, ties between sums included."""
    differences = [first - second for first, second in pairs]
    assert p_of(differences, resamples=600) == pytest.approx(by_enumeration(differences))


@given(pairs=st.lists(st.tuples(SHARES, SHARES), min_size=10, max_size=30))
def test_swapping_the_systems_changes_nothing(pairs):
    """The p-value is two-sided, estimated or not."""
    one = p_of([first - second for first, second in pairs], resamples=500)
    other = p_of([second - first for first, second in pairs], resamples=500)
    assert one == other


@given(
    rows=st.integers(9, 14).flatmap(
        lambda n: st.lists(st.lists(SHARES, min_size=n, max_size=n), min_size=1, max_size=4)
    ),
    seed=st.integers(0, 5),
)
def test_p_values_are_shares(rows, seed):
    """Above 0, at most 1, the same for the same seed, and whatever else is tested with them."""
    found = p_values(rows, resamples=300, seed=seed)
    assert all(0 < p_value <= 1 for p_value in found)
    assert found == [p_values([row], resamples=300, seed=seed)[0] for row in rows]


def test_unchanged_queries_do_not_matter():
    """Five of sixty queries differ, all one way: 2 of the 2**5 sign patterns, exactly."""
    assert p_values([[0.5] * 5 + [0.0] * 55], resamples=99) == [2 / 32]


def test_smallest_estimate():
    """Sixty equal gains: no random pattern is as extreme, and the observed one still counts."""
    assert p_values([[0.1] * 60], resamples=999) == [1 / 1000]


def test_estimate_agrees_with_scipy():
    """Forty random differences: within four standard errors, sqrt(.25 / 20000) = 0.0035 each."""
    differences = np.random.default_rng(3).normal(0.15, 1, size=40)
    reference = stats.permutation_test(
        (differences, np.zeros(40)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    )
    [found] = p_values([differences.tolist()], resamples=20_000, seed=1)
    assert 0.1 < reference.pvalue < 0.9
    assert found == pytest.approx(reference.pvalue, abs=4 * 2**0.5 * 0.0035)


def test_seed_matters():
    """Another seed draws other patterns."""
    row = np.random.default_rng(3).normal(size=40).tolist()
    assert len({p_values([row], resamples=999, seed=seed)[0] for seed in range(5)}) > 1


def test_other_rows_do_not_matter():
    """One comparison's p-value is the same alone and in company."""
    rows = np.random.default_rng(3).normal(size=(3, 40)).tolist()
    together = p_values(rows, resamples=999)
    assert together == [p_values([row], resamples=999)[0] for row in rows]


def test_holm_by_hand():
    """Sorted .01, .02, .03, .04 times 4, 3, 2, 1: .04, .06, .06, .04, none below one before it."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


@given(raw=P_VALUES)
def test_holm_only_raises(raw):
    """No corrected p-value is below its own, nor above 1, nor above Bonferroni's."""
    for before, after in zip(raw, holm(raw), strict=True):
        assert before <= after <= min(1, before * len(raw))


@given(raw=P_VALUES)
def test_holm_keeps_the_order(raw):
    """A smaller p-value stays at most as large, and equal ones stay equal."""
    pairs = sorted(zip(raw, holm(raw), strict=True))
    for (low, corrected_low), (high, corrected_high) in itertools.pairwise(pairs):
        assert corrected_low <= corrected_high
        if low == high:
            assert corrected_low == corrected_high


@given(p_value=st.floats(0, 1))
def test_holm_of_one(p_value):
    """A single test needs no correction, and none needs none."""
    assert holm([p_value]) == [p_value]
    assert holm([]) == []


@given(
    rows=st.integers(1, 30).flatmap(
        lambda n: st.lists(st.lists(SHARES, min_size=n, max_size=n), min_size=1, max_size=4)
    ),
    seed=st.integers(0, 5),
)
def test_interval_contains_the_mean(rows, seed):
    """It lies between the smallest and the largest value, and is the same for the same seed."""
    found = intervals(rows, resamples=500, seed=seed)
    assert found == intervals(rows, resamples=500, seed=seed)
    for row, (low, high) in zip(rows, found, strict=True):
        assert min(row) - 1e-12 <= low <= np.mean(row) + 1e-12
        assert np.mean(row) - 1e-12 <= high <= max(row) + 1e-12


def test_interval_agrees_with_theory():
    """The mean of 400 draws of variance 1/12 is nearly normal: 1.96 * sqrt(1/12 / 400) = 0.0283."""
    values = np.random.default_rng(0).uniform(size=400)
    [(low, high)] = intervals([values.tolist()])
    assert low == pytest.approx(values.mean() - 0.0283, abs=0.002)
    assert high == pytest.approx(values.mean() + 0.0283, abs=0.002)


def test_interval_agrees_with_scipy():
    """The same percentile bootstrap, drawn otherwise."""
    values = np.random.default_rng(0).exponential(size=50)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    [(low, high)] = intervals([values.tolist()])
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=0.03)


def test_seed_of_the_interval_matters():
    """Another seed draws other queries."""
    row = np.random.default_rng(3).normal(size=40).tolist()
    assert len({intervals([row], resamples=99, seed=seed)[0] for seed in range(5)}) > 1


def test_many_queries_are_resampled_in_blocks():
    """More queries than a block has numbers: a resample is still whole, so all ones average 1."""
    assert intervals([[1.0] * 700_000], resamples=2) == [(1.0, 1.0)]
