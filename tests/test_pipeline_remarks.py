"""What a run's report says in sentences: that a pairwise model is no better than its judges."""

from typing import Any

import pytest

from zelo.training.pipeline.remarks import remarks


def report(standings: dict[str, Any] | None, stage: str = "distill") -> dict[str, Any]:
    """A report, as far as it tells of distilling."""
    return {"stages": {stage: {"standings": standings}}}


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
    (found,) = remarks(report(standings(low, high), stage))
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
    (found,) = remarks(report(none))
    assert "compared with no judge" in found


def test_a_good_run_needs_no_remark() -> None:
    """A student that surely beats its weakest teacher, and a run that distils nothing."""
    assert [*remarks(report(standings(0.1, 0.3)))] == []
    assert [*remarks({"stages": {"fit": {}, "evaluate": {"no_reranker": []}}})] == []
