"""Measures, against values derived by hand and against ir_measures as a black box."""

import math
import shutil

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelo.errors import InputError
from zelo.evaluation.measures import (
    by_score,
    evaluate,
    mean,
    measure_all,
    ndcg,
    parse_measure,
    recall,
)
from zelo.evaluation.relevance import evaluated_queries, relevance

QRELS = {"q1": {"a": 1}, "q2": {"b": 1, "c": 1}}

DOC_IDS = st.sampled_from(["a", "B", "b", "b2", "doc 4", "é", "字", "𝄞"])
QUERY_IDS = st.sampled_from(["q1", "q2", "q3", "q4"])
SCORES = st.one_of(  # few values, so that many tie; trec_eval compares single precision
    st.sampled_from([0.0, 0.5, 1.0]),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)
RUNS = st.dictionaries(QUERY_IDS, st.dictionaries(DOC_IDS, SCORES, min_size=1), min_size=1)
GRADES = st.dictionaries(
    QUERY_IDS, st.dictionaries(DOC_IDS, st.integers(0, 3), min_size=1), min_size=1
)


def measured(rankings, qrels, *names, **options):
    """Measure rankings by names."""
    return measure_all(rankings, qrels, [parse_measure(name) for name in names], **options)


def test_ndcg_by_hand():
    """A single relevant document at rank 3 gives 1 / log2(4) = 0.5; an unanswered query gives 0."""
    run = {"q1": {"x": 3.0, "y": 2.0, "a": 1.0}}
    values = evaluate(run, QRELS)
    assert values == {"q1": pytest.approx(1 / math.log2(4)), "q2": 0.0}
    assert mean(values) == pytest.approx(0.25)


def test_measures_may_come_from_an_iterator():
    """They are walked more than once, so they are listed first; none is lost."""
    rankings = {"q1": ["x", "a"]}
    parsed = [parse_measure(name) for name in ("nDCG@10", "R@10")]
    expected = measure_all(rankings, QRELS, parsed)
    assert set(expected) == {"nDCG@10", "R@10"}
    assert measure_all(rankings, QRELS, iter(parsed)) == expected


def test_ndcg_of_fractions_by_hand():
    """Gains 0.5, 2.5 in this order: (0.5 + 2.5 / log2 3) / (2.5 + 0.5 / log2 3)."""
    found = ndcg(["low", "high"], {"low": 0.5, "high": 2.5})
    assert found == pytest.approx((0.5 + 2.5 / math.log2(3)) / (2.5 + 0.5 / math.log2(3)))


def test_ndcg_ignores_negative_grades():
    """A document that is judged to be worse than nothing gains 0, in the ranking and the ideal."""
    assert ndcg(["bad", "good"], {"bad": -2.0, "good": 1.0}) == pytest.approx(1 / math.log2(3))


def test_ideal_stops_at_the_cutoff():
    """With three relevant documents, two of them in the first two places are as good as can be."""
    assert ndcg(["a", "b", "x"], {"a": 1, "b": 1, "c": 1}, 2) == 1.0


def test_recall_counts_what_was_retrieved():
    """R@2 of two relevant documents, one in the first two places, is a half."""
    run = {"q2": {"b": 3.0, "x": 2.0, "c": 1.0}}
    assert evaluate(run, QRELS, "R@2")["q2"] == pytest.approx(0.5)
    assert recall(["b", "x", "c"], QRELS["q2"]) == 1.0


@given(run=RUNS, qrels=GRADES, k=st.integers(1, 6))
def test_ndcg_and_recall_equal_ir_measures(run, qrels, k):
    """On any scored run, with ties, missing queries and documents that nobody judged."""
    queries = evaluated_queries(qrels)
    if not set(queries) & run.keys():
        return  # refused, see test_foreign_run
    names = [f"nDCG@{k}", "nDCG", f"R@{k}"]
    ours = measured(by_score(run), qrels, *names)
    measures = [ir_measures.parse_measure(name) for name in names]
    theirs = {name: {} for name in names}
    for metric in ir_measures.iter_calc(measures, qrels, run):
        if metric.query_id in queries:
            theirs[str(metric.measure)][metric.query_id] = pytest.approx(metric.value, abs=1e-12)
    assert ours == theirs


@given(run=RUNS, qrels=GRADES)
def test_other_measures_equal_ir_measures(run, qrels):
    """Computed together, and from grades 2.0 for 2, they are what ir_measures says of each."""
    queries = evaluated_queries(qrels)
    if not set(queries) & run.keys():
        return
    names = ["RR", "AP", "P@3", "Success@2", "RR(rel=2)", "nDCG(judged_only=True)@3", "Bpref"]
    grades = {q: {d: float(grade) for d, grade in judged.items()} for q, judged in qrels.items()}
    ours = measured(by_score(run), grades, *names)
    for name in names:
        theirs = {
            metric.query_id: pytest.approx(metric.value, abs=1e-12)
            for metric in ir_measures.iter_calc([ir_measures.parse_measure(name)], qrels, run)
            if metric.query_id in queries
        }
        assert ours[name] == theirs, name


def test_forms_of_ndcg_keep_their_gains():
    """Asked for together, as alone: gains of their own are not those of the others.

    Grades 1, 2 in this order are the best one where they gain 1, 0 or 9, 2. Where they gain what
    they are, they give (1 + 2 s) / (2 + s) with s = 1 / log2 3.
    """
    qrels, rankings = {"q1": {"a": 1, "b": 2}}, {"q1": ["a", "b"]}
    second = 1 / math.log2(3)
    expected = {
        "nDCG(gains={2:0})@5": 1.0,
        "nDCG(gains={1:9})@5": 1.0,
        "nDCG(judged_only=True)@5": (1 + 2 * second) / (2 + second),
    }
    found = measured(rankings, qrels, *expected)
    assert found == {name: {"q1": pytest.approx(value)} for name, value in expected.items()}


def test_ids_may_hold_anything():
    """gdeval, a Perl program, computes ERR from files that an id with a space would break.

    By hand, with its highest grade 4: grade 1 on rank 2 gives (2**1 - 1) / 2**4 / 2 = 1 / 32, and
    grade 2 on rank 1 gives 3 / 16. Without Perl the measure is refused.
    """
    qrels = {"part-1": {"one doc": 1}, "other-1": {"an\tother": 2}}
    rankings = {"part-1": ["-", "one doc"], "other-1": ["an\tother", "-"]}
    if shutil.which("perl"):
        assert measured(rankings, qrels, "ERR@3") == {
            "ERR@3": {"part-1": 1 / 32, "other-1": 3 / 16}
        }
    else:
        with pytest.raises(InputError, match="nothing that is installed"):
            parse_measure("ERR@3")


@given(ranking=st.permutations("abcdef"), gains=st.lists(st.floats(0, 9), min_size=6, max_size=6))
def test_ndcg_of_the_best_order_is_one(ranking, gains):
    """No order passes 1, and that by falling gain reaches it."""
    grades = dict(zip("abcdef", gains, strict=True))
    best = sorted(grades, key=lambda doc_id: -grades[doc_id])
    assert ndcg(ranking, grades, 4) <= 1 + 1e-12
    assert ndcg(best, grades, 4) == pytest.approx(1.0 if any(gains) else 0.0)


def test_order_of_ties_is_the_systems():
    """trec_eval would put z before a; the ranking says that a is first, so RR is 1."""
    found = measured({"q1": ["a", "z"]}, {"q1": {"a": 1}}, "RR", "RR@10", "AP", "nDCG@10")
    assert [values["q1"] for values in found.values()] == [1.0, 1.0, 1.0, 1.0]


def test_rank_of_a_scored_tie_is_trec_evals():
    """Equal scores are ordered by falling id."""
    assert by_score({"q": {"a": 1.0, "z": 1.0, "m": 2.0}}) == {"q": ["m", "z", "a"]}


def test_unanswered_queries_count_zero():
    """For every measure alike, whether the query is missing or its ranking empty."""
    qrels = {"q1": {"a": 1}, "q2": {"b": 1}, "q3": {"c": 1}}
    found = measured({"q1": ["a"], "q2": []}, qrels, "nDCG@10", "R@5", "RR", "Judged@1")
    for values in found.values():
        assert values == {"q1": 1.0, "q2": 0.0, "q3": 0.0}


def test_queries_without_a_relevant_document_are_left_out():
    """Nobody can answer them, and they would pull every mean down alike."""
    found = measured({"q1": ["a"], "none": ["a"]}, {"q1": {"a": 1}, "none": {"a": 0}}, "nDCG", "RR")
    assert found == {"nDCG": {"q1": 1.0}, "RR": {"q1": 1.0}}


def test_ideal_of_the_candidates_by_hand():
    """Of two relevant documents one is a candidate, ranked second.

    Its gain 1 / log2(3) is divided by 1 rather than by 1 + 1 / log2(3). The query whose relevant
    document is no candidate is left out.
    """
    qrels = {"q1": {"a": 1, "missed": 1}, "q2": {"missed": 1}}
    rankings = {"q1": ["x", "a"], "q2": ["x"]}
    candidates = {"q1": ["a", "x"], "q2": ["x"]}
    names = "nDCG@10", "nDCG@10(candidates)"
    found = measured(rankings, qrels, *names, candidates=candidates)
    second = 1 / math.log2(3)
    assert found["nDCG@10"] == {"q1": pytest.approx(second / (1 + second)), "q2": 0.0}
    assert found["nDCG@10(candidates)"] == {"q1": pytest.approx(second)}


@given(rankings=st.dictionaries(QUERY_IDS, st.lists(DOC_IDS, unique=True)), qrels=GRADES)
def test_ideal_of_the_candidates_is_never_higher(rankings, qrels):
    """So the measure is never lower than the standard one, query by query."""
    if not set(evaluated_queries(qrels)) & rankings.keys():
        return
    names = "nDCG@3", "nDCG@3(candidates)"
    found = measured(rankings, qrels, *names, candidates=rankings)
    for query_id, value in found["nDCG@3(candidates)"].items():
        assert value >= found["nDCG@3"][query_id] - 1e-12


def test_measure_of_candidates_needs_them():
    """Without candidates there is no ideal to compare with."""
    with pytest.raises(InputError, match="candidates of the first stage"):
        measured({"q1": ["a"]}, QRELS, "nDCG@10(candidates)")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nDCG@", "ir_measures name"),
        ("quality", "ir_measures name"),
        ("import os", "ir_measures name"),
        ("", "ir_measures name"),
        ("R", "ir_measures name"),
        ("nDCG(level=2)@10", "ir_measures name"),
        ("nDCG@0", "1 or more"),
        ("P@0", "1 or more"),
        ("alpha_nDCG@10", "nothing that is installed"),
        ("R@10(candidates)", "only nDCG"),
        ("nDCG(judged_only=True)@10(candidates)", "only nDCG"),
    ],
)
def test_unknown_measure(name, message):
    """A measure that cannot be computed is named, with what to do instead."""
    with pytest.raises(InputError, match=message) as caught:
        parse_measure(name)
    assert repr(name) in str(caught.value)


def test_aliases_keep_their_names():
    """What was asked for as MRR is shown as MRR, and equals RR."""
    found = measured({"q1": ["x", "a"]}, QRELS, "MRR", "RR")
    assert found == {name: {"q1": 0.5, "q2": 0.0} for name in ("MRR", "RR")}


def test_foreign_run():
    """A run without a single judged query is refused instead of scored 0."""
    with pytest.raises(InputError, match="query ids"):
        evaluate({"other": {"a": 1.0}}, QRELS)


FRACTIONS = {"q1": {"a": 2.5, "b": 0.5}, "q2": {"b": 0.5}}


def test_fractions_need_a_border():
    """Measures of relevance refuse grades of which nobody said what is relevant; nDCG is fine."""
    rankings = {"q1": ["b", "a"]}
    assert set(measured(rankings, FRACTIONS, "nDCG@10")["nDCG@10"]) == {"q1", "q2"}
    for name in ("RR", "R@10"):
        with pytest.raises(InputError, match="relevant_from="):
            measured(rankings, FRACTIONS, name)


def test_relevant_from():
    """From 1 on only a is relevant, which is second; q2 has no relevant document any more."""
    found = measured({"q1": ["b", "a"]}, FRACTIONS, "RR", "R@1", "nDCG", relevant_from=1.0)
    expected = ndcg(["b", "a"], FRACTIONS["q1"])
    assert found == {"RR": {"q1": 0.5}, "R@1": {"q1": 0.0}, "nDCG": {"q1": expected}}


def test_relevant_from_of_whole_grades():
    """A border of 2 leaves out grade 1, unless the measure's name has a border of its own."""
    qrels = {"q1": {"a": 2, "b": 1}}
    names = "RR", "RR(rel=1)", "P@2"
    found = measured({"q1": ["b", "a"]}, qrels, *names, relevant_from=2)
    assert [values["q1"] for values in found.values()] == [0.5, 1.0, 0.5]


@pytest.mark.parametrize("name", ["Compat(p=0.8)", "RR(rel=2)", "Judged@10"])
def test_measures_of_whole_grades(name):
    """A measure that takes the grades as they are cannot round them."""
    with pytest.raises(InputError, match="whole grades"):
        measured({"q1": ["a"]}, FRACTIONS, name, relevant_from=1.0)


@pytest.mark.parametrize("border", [0, -1.0, math.nan])
def test_border_must_be_above_zero(border):
    """Grade 0 says that a document is not relevant."""
    with pytest.raises(InputError, match="above 0"):
        relevance(QRELS, border)


def test_relevance():
    """Grades above 0 are relevant, others and negative ones are not."""
    assert relevance({"q": {"a": 2, "b": 1.0, "c": 0, "d": -1}}) == {
        "q": {"a": 1, "b": 1, "c": 0, "d": 0}
    }
