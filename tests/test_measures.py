"""Measures and the paired test, against values derived by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zelo.errors import InputError
from zelo.evaluation.measures import evaluate, mean, paired_test

QRELS = {"q1": {"a": 1}, "q2": {"b": 1, "c": 1}}


def test_ndcg_by_hand():
    """A single relevant document at rank 3 gives 1 / log2(4) = 0.5; an unanswered query gives 0."""
    run = {"q1": {"x": 3.0, "y": 2.0, "a": 1.0}}
    values = evaluate(run, QRELS)
    assert values == {"q1": pytest.approx(1 / math.log2(4)), "q2": 0.0}
    assert mean(values) == pytest.approx(0.25)


def test_recall_counts_what_was_retrieved():
    """R@2 of two relevant documents, one in the first two places, is a half."""
    run = {"q2": {"b": 3.0, "x": 2.0, "c": 1.0}}
    assert evaluate(run, QRELS, "R@2")["q2"] == pytest.approx(0.5)


@pytest.mark.parametrize("measure", ["nDCG@", "quality", "import os"])
def test_unknown_measure(measure):
    """A measure that does not exist is named, with examples of ones that do."""
    with pytest.raises(InputError, match="ir_measures name"):
        evaluate({"q1": {"a": 1.0}}, QRELS, measure)


def test_foreign_run():
    """A run without a single judged query is refused instead of scored 0."""
    with pytest.raises(InputError, match="query ids"):
        evaluate({"other": {"a": 1.0}}, QRELS)


def test_paired_test_by_hand():
    """Ten equal gains: the two sign patterns out of 2**10 that are as extreme give p = 2 / 1024."""
    result = paired_test([0.6] * 10, [0.5] * 10)
    assert result.difference == pytest.approx(0.1)
    assert result.p_value == pytest.approx(2 / 1024)


@settings(max_examples=20)
@given(values=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
def test_paired_test_is_symmetric(values):
    """Swapping the systems turns the difference round and leaves the p-value."""
    first, second = map(list, zip(*values, strict=True))
    one, other = paired_test(first, second), paired_test(second, first)
    assert one.difference == pytest.approx(-other.difference)
    assert one.p_value == pytest.approx(other.p_value)


def test_unequal_lengths():
    """Values of different queries cannot be paired."""
    with pytest.raises(InputError, match="same queries"):
        paired_test([0.1, 0.2], [0.1])
