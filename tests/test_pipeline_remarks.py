"""What a run's report says in sentences, below and above the bounds at which it says them."""

from typing import Any

import pytest

from zelo.training.pipeline.remarks import FEW_HELD_OUT, FEW_STEPS, remarks


def told(stages: dict[str, Any], **others: Any) -> list[str]:
    """The remarks on a report of these stages."""
    return [*remarks({"reranker": "model", "to_do": ["evaluate"], "stages": stages} | others)]


def distilled(standings: dict[str, Any] | None, stage: str = "distill") -> list[str]:
    """The remarks on a run that distilled, as far as they tell of that."""
    return told({stage: {"standings": standings}})


def standings(low: float, high: float) -> dict[str, Any]:
    """A student whose lead over its weakest teacher lies between these."""
    lead = {"mean": (low + high) / 2, "interval": {"low": low, "high": high}, "queries": 9}
    teachers = {"strong": {"lead": None}, "weak": {"lead": lead}}
    return {"teachers": teachers, "weakest": "weak", "beats_weakest": low > 0}


@pytest.mark.parametrize("stage", ["distill", "distill-refined"])
@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.2, -0.1, "is worse than the weakest judge, weak: -0.150 [-0.200, -0.100]"),
        (-0.1, 0.2, "is not surely better than the weakest judge, weak: +0.050 [-0.100, +0.200]"),
        (0.0, 0.2, "is not surely better than the weakest judge, weak: +0.100 [+0.000, +0.200]"),
    ],
)
def test_a_student_that_beats_no_teacher_is_told(
    stage: str, low: float, high: float, words: str
) -> None:
    """With the stage, the teacher and by how much."""
    (found,) = distilled(standings(low, high), stage)
    assert f"of {stage}, " in found
    assert words in found


@pytest.mark.parametrize(
    "none",
    [
        None,
        {"teachers": {"only": {"lead": None}}, "weakest": None, "beats_weakest": None},
        {"teachers": {"one": {"lead": None}}, "weakest": "one", "beats_weakest": None},
    ],
)
def test_a_student_without_a_comparison_is_told(none: dict[str, Any] | None) -> None:
    """No held-out pairs, no second judge, or too few queries."""
    (found,) = distilled(none)
    assert "compared with no judge" in found


def test_a_good_run_needs_no_remark() -> None:
    """A student that surely beats its weakest teacher, and a run that distils nothing."""
    assert distilled(standings(0.1, 0.3)) == []
    assert told({"fit": {}, "pointwise": trained(), "evaluate": evaluated(0.5, 0.5, 0.5)}) == []


def trained(**changes: Any) -> dict[str, Any]:
    """The figures of a training to which nothing is to be said."""
    whole = {
        "learned": {"steps": FEW_STEPS},
        "held_out_queries": FEW_HELD_OUT,
        "before": {"loss": 0.2, "tau": 0.5},
        "after": {"loss": 0.1, "tau": 0.5},
    }
    return whole | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learned": {"steps": FEW_STEPS - 1}}, "only 19 steps: lower tokens_per_step"),
        ({"held_out_queries": FEW_HELD_OUT - 1}, "Only 9 held-out queries chose the best step"),
        ({"after": {"loss": 0.1, "tau": 0.4}}, "tau fell from 0.500 to 0.400"),
    ],
)
def test_a_doubtful_training_is_told(changes: dict[str, Any], words: str) -> None:
    """Of either round, with its name."""
    for stage in ("pointwise", "pointwise-refined"):
        (found,) = told({stage: trained(**changes)})
        assert words in found
        assert stage in found


@pytest.mark.parametrize(
    "figures",
    [
        trained(held_out_queries=0, before=None, after=None),
        trained(before={"loss": 0.2, "tau": None}, after={"loss": 0.1, "tau": None}),
        {"same_targets": True},
    ],
)
def test_what_was_not_measured_is_not_doubted(figures: dict[str, Any]) -> None:
    """Without held-out queries, without an order among their documents, without training."""
    assert told({"pointwise": figures}) == []


def evaluated(first: float, before: float, refined: float) -> dict[str, Any]:
    """The figures of an evaluation with these means."""
    means = {"bm25": first, "bm25+before": before, "bm25+trained": 0.0, "bm25+refined": refined}
    cells = [
        {"collection": "bees", "system": system, "measure": measure, "mean": mean}
        for system, mean in means.items()
        for measure in ("nDCG@10", "R@10")
    ]
    summary = {
        "measures": ["nDCG@10", "R@10"],
        "baseline": "bm25",
        "collections": [{"collection": "bees"}],
        "systems": [{"system": system} for system in means],
        "cells": cells,
    }
    return {"no_reranker": [], "summary": summary}


@pytest.mark.parametrize(
    ("means", "rivals"),
    [
        ((0.6, 0.5, 0.55), ["bm25,"]),
        ((0.5, 0.6, 0.55), ["bm25+before,"]),
        ((0.6, 0.7, 0.55), ["bm25+before,", "bm25,"]),
    ],
)
def test_a_result_that_is_worse_is_told(
    means: tuple[float, float, float], rivals: list[str]
) -> None:
    """Than the untrained model, than the first stage, or than both; the last model counts."""
    found = told({"evaluate": evaluated(*means)})
    assert [one.split("is worse than ")[1].split()[0] for one in found] == rivals
    assert all("bees: bm25+refined is worse than" in one and "0.5500" in one for one in found)


def test_a_result_that_was_not_measured_is_told() -> None:
    """Once all is done, and not while evaluation is still to come."""
    assert told({"pointwise": trained()}) == []
    (found,) = told({"pointwise": trained()}, to_do=[])
    assert "qrels/test.tsv" in found


def test_queries_that_no_split_names_are_told() -> None:
    """With their collection and their number; none where there are none."""
    collections = [
        {"collection": "bees", "left_out_as_in_no_split": 1_234},
        {"collection": "bread", "left_out_as_in_no_split": 0},
    ]
    (found,) = told({"candidates": {"collections": collections}})
    assert found.startswith("bees: 1,234 queries were left out")
