"""What a reader of a run's report must not overlook, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from zelo.training.pipeline.evaluating import BEFORE
from zelo.training.pipeline.report import Report

__all__ = ["remarks", "standings"]

Figures = Mapping[str, Any]

FEW_STEPS = 20
"""Fewer steps than this hardly teach anything, however good the targets are. Our own threshold: by
default a tenth of them is warm-up, and the rate falls to 0 over the others."""
FEW_HELD_OUT = 10
"""With fewer held-out queries their loss tells little of which step is the best. Our own
threshold."""

RESULTS = ("refined", "trained")
"""What the trained models are called behind a first stage, the result first."""


def remarks(report: Report) -> Iterator[str]:
    """Yield each as plain text; names in it are as they were given."""
    stages = report["stages"]
    yield from _left_out(stages.get("candidates", {}))
    yield from standings(report)
    for name in ("distill", "distill-refined", "pointwise", "pointwise-refined"):
        yield from _learned(name, stages.get(name, {}))
    evaluated = stages.get("evaluate", {})
    if evaluated.get("no_reranker"):
        yield "The untrained model is no reranker, so there is nothing before to compare with."
    if "summary" in evaluated:
        yield from _worse(evaluated["summary"])
    elif report["reranker"] and not report["to_do"]:
        yield (
            "The quality of the reranker was not measured, since nothing is evaluated: put "
            "judgements into qrels/test.tsv of a collection, or name some in evaluate.collections."
        )


def standings(report: Report) -> Iterator[str]:
    """Yield how distilled judges stand that do not surely beat their weakest teacher."""
    for name in ("distill", "distill-refined"):
        stage = report["stages"].get(name)
        if stage is not None and not (stage["standings"] or {}).get("beats_weakest"):
            yield _not_better(name, stage["standings"] or {})


def _left_out(candidates: Figures) -> Iterator[str]:
    """Say which queries are not trained on since nothing says that they may be."""
    for one in candidates.get("collections", ()):
        left_out = one.get("left_out_as_in_no_split")  # which an older zelo did not count
        if left_out:
            yield (
                f"{one['collection']}: {left_out:,} queries were left out, as no split judges "
                "them; to train on them too, set unjudged = true for this collection."
            )


def _learned(stage: str, figures: Figures) -> Iterator[str]:
    """Say where a training was too short, chosen by too little, or went the wrong way."""
    learned = figures.get("learned")
    if learned is None:
        return
    if learned["steps"] < FEW_STEPS:
        yield (
            f"{stage} made only {learned['steps']:,} steps: lower tokens_per_step, so that it "
            f"makes at least {FEW_STEPS}, or train on more queries."
        )
    held_out = figures.get("held_out_queries", 0)
    if 0 < held_out < FEW_HELD_OUT:
        yield (
            f"Only {held_out:,} held-out queries chose the best step of {stage}; raise held_out, "
            "or train on more queries."
        )
    before, after = ((figures.get(when) or {}).get("tau") for when in ("before", "after"))
    if before is not None and after is not None and after < before:
        yield (
            f"{stage} ranks the held-out queries less like their targets than before: Kendall's "
            f"tau fell from {before:.3f} to {after:.3f}."
        )


def _worse(summary: Figures) -> Iterator[str]:
    """Say where the result has a lower mean of the main measure than what it is to improve on."""
    measure, systems = summary["measures"][0], [one["system"] for one in summary["systems"]]
    means = {
        (one["collection"], one["system"]): one["mean"]
        for one in summary["cells"]
        if one["measure"] == measure
    }
    first = summary["baseline"]
    result = next((f"{first}+{n}" for n in RESULTS if f"{first}+{n}" in systems), None)
    if result is None:
        return
    for collection in (one["collection"] for one in summary["collections"]):
        for rival in (f"{first}+{BEFORE}", first):
            if rival in systems and means[collection, result] < means[collection, rival]:
                yield (
                    f"{collection}: {result} is worse than {rival}, with {measure} of "
                    f"{means[collection, result]:.4f} against {means[collection, rival]:.4f}."
                )


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
