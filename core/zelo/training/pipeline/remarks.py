"""What a reader of a run's report must not overlook, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from zelo.training.pipeline.report import Report

__all__ = ["remarks"]

Figures = Mapping[str, Any]


def remarks(report: Report) -> Iterator[str]:
    """Yield each as plain text; names in it are as they were given."""
    if report["stages"].get("evaluate", {}).get("no_reranker"):
        yield "The untrained model is no reranker, so there is nothing before to compare with."
    for name in ("distill", "distill-refined"):
        stage = report["stages"].get(name)
        if stage is not None and not (stage["standings"] or {}).get("beats_weakest"):
            yield _not_better(name, stage["standings"] or {})


def _not_better(stage: str, standings: Figures) -> str:
    """Say how the student stands to its weakest teacher, which it does not surely beat."""
    model = f"The pairwise model of {stage}, which judged in place of the ensemble,"
    weakest = standings.get("weakest")
    lead = standings["teachers"][weakest]["lead"] if weakest is not None else None
    if lead is None:
        return (
            f"{model} was compared with no judge, for want of a second one or of held-out pairs; "
            "whether it is as good as they are is not known."
        )
    low, high = lead["interval"]["low"], lead["interval"]["high"]
    word = "is worse than" if high < 0 else "is not surely better than"
    return (
        f"{model} {word} the weakest judge, {weakest}: {lead['mean']:+.3f} [{low:+.3f}, "
        f"{high:+.3f}] in accuracy on held-out pairs. The targets may be worse than without "
        "distilling."
    )
