"""What the pairs' numbers say: right, a known mistake to within tolerance, near one, or neither."""

from collections.abc import Iterator
from dataclasses import dataclass

from zelo.doctor.claim import Claim
from zelo.doctor.matching import Fit, Prediction, compared, fits_in_another_order
from zelo.doctor.mistakes import mistake_of_scale
from zelo.doctor.pairs import PAIRS, Known, questions
from zelo.doctor.probes import Observations
from zelo.doctor.report import Check, Finding, Verdict
from zelo.doctor.scales import OutputScale
from zelo.doctor.signs import signs_of
from zelo.doctor.tolerances import (
    ALIKE,
    LOWER_PRECISION_LOGIT,
    LOWER_PRECISION_SCORE,
    MARGIN,
    READING,
)

__all__ = ["Scores", "examine_scores"]

NAME = "scores"


@dataclass(frozen=True, slots=True)
class Scores:
    """What the numbers of the pairs came to."""

    verdict: Verdict
    check: Check
    findings: tuple[Finding, ...] = ()
    right: Fit | None = None
    """How near they are to the right model's."""
    scale: OutputScale | None = None
    """The scale that they are found to be on; None where that cannot be told."""


def examine_scores(seen: Observations, claim: Claim, misread: Finding | None = None) -> Scores:
    """Judge the numbers of the pairs; those of a folder that is misread need no other mistake."""
    if claim.known is None:
        return _without_knowledge(seen, claim)
    right = compared(claim.right(claim.known), seen.numbers, claim.family)
    if right.fits and misread is None:
        told = claim.expected.told(right.largest)
        text = f"{right.pairs} pairs, max deviation {told}"
        return Scores("correct", Check(NAME, "ok", text), (), right, claim.expected)
    check = Check(NAME, "wrong", f"{right.pairs} pairs, off by up to {right.largest:.2g}")
    if misread is not None:
        return Scores("wrong", check, (misread,), right, claim.expected)
    matched = _matched(seen, claim, claim.known, right)
    if matched is not None:
        fit, findings = matched
        return Scores("wrong", check, findings, right, fit.prediction.scale)
    exhausted = claim.reference is not None
    return Scores("wrong", check, (signs_of(seen, claim, exhausted),), right)


def _without_knowledge(seen: Observations, claim: Claim) -> Scores:
    """Judge by signs alone where nobody knows the right numbers."""
    finding = signs_of(seen, claim, exhausted=False)
    if finding.mistake == "other" or (finding.mistake == "unrelated" and not claim.is_zerank):
        text = f"nothing is published for {claim.model}; {finding.evidence}"
        return Scores("unknown", Check(NAME, "unknown", text), scale=claim.expected)
    return Scores("wrong", Check(NAME, "wrong", finding.evidence), (finding,))


def _matched(
    seen: Observations, claim: Claim, known: Known, right: Fit
) -> tuple[Fit, tuple[Finding, ...]] | None:
    """Return the prediction that the numbers match, and what is wrong if it is true."""
    numbers, family = seen.numbers, claim.family
    of_scales = list(_on_all_scales(claim, (), "the right model", known.logits))
    fits = [compared(prediction, numbers, family) for prediction in of_scales]
    if exact := _best(fit for fit in fits if fit.fits):
        return exact, _findings(exact)
    for fit in fits:
        if fits_in_another_order(fit.prediction, numbers, family, questions()):
            evidence = f"each query's numbers are right, but stand at other documents{_way(fit)}"
            of_order = Finding("order", evidence)
            return fit, (of_order, *_findings(fit))
    ways = [compared(prediction, numbers, family) for prediction in _of_mistakes(claim)]
    if exact := _best(fit for fit in ways if fit.fits):
        return exact, _findings(exact)
    if close := _lower_precision(seen, claim, of_scales):
        return close
    near = _best(fit for fit in ways if _beats(fit, right))
    return (near, _findings(near, near=True)) if near else None


def _on_all_scales(
    claim: Claim,
    mistakes: tuple[str, ...],
    how: str,
    logits: tuple[float | None, ...],
    own_scale: str | None = None,
) -> Iterator[Prediction]:
    """Predict on every scale; being on another than was expected is a mistake of its own."""
    for scale in claim.scales:
        excused = scale.name in (claim.scale, own_scale)
        of_scale = () if excused else (mistake_of_scale(scale.name),)
        yield Prediction(mistakes + of_scale, how, scale, logits)


def _of_mistakes(claim: Claim) -> Iterator[Prediction]:
    """Make every known mistake with the weights, where they are at hand."""
    if claim.reference is None:
        return
    if max(claim.apart, default=0.0) > READING:
        yield from _on_all_scales(claim, ("read-otherwise",), "zelo's own reading", claim.own)
    from zelo.doctor.prompts import ways  # brings tokenizers

    for way in ways(claim.family)[1:]:
        logits = tuple(claim.reference.logits(way, PAIRS))
        yield from _on_all_scales(claim, way.mistakes, way.how, logits, way.own_scale)


def _best(fits: Iterator[Fit]) -> Fit | None:
    """Return the nearest of the fits that need the fewest mistakes."""
    return min(fits, key=lambda fit: (len(fit.prediction.mistakes), fit.error), default=None)


def _beats(fit: Fit, right: Fit) -> bool:
    return fit.error * MARGIN <= right.error and fit.correlation >= ALIKE


def _lower_precision(
    seen: Observations, claim: Claim, predictions: list[Prediction]
) -> tuple[Fit, tuple[Finding, ...]] | None:
    """Return the scale on which the right numbers are merely too far off."""
    bounds = (LOWER_PRECISION_LOGIT, LOWER_PRECISION_SCORE)
    fits = [compared(one, seen.numbers, claim.family, *bounds) for one in predictions]
    close = _best(fit for fit in fits if fit.fits and fit.correlation >= ALIKE)
    if close is None:
        return None
    far = close.prediction.scale.told(close.largest)
    mean = close.prediction.scale.told(close.error)
    evidence = f"off by up to {far}, {mean} on average, and almost in the right order"
    return close, (Finding("lower-precision", evidence), *_findings(close, near=True))


def _findings(fit: Fit, near: bool = False) -> tuple[Finding, ...]:
    """Return a finding per mistake of a prediction, with how well it explains the numbers."""
    scale = fit.prediction.scale
    how = f"those of {fit.prediction.how}, answered as {scale.title}"
    if near:
        mean = scale.told(fit.error)
        evidence = f"the {fit.pairs} numbers are nearest to {how}: off by {mean} on average"
    else:
        evidence = f"all {fit.pairs} numbers are {how}: off by {scale.told(fit.largest)} at most"
    return tuple(Finding(mistake, evidence) for mistake in fit.prediction.mistakes)


def _way(fit: Fit) -> str:
    return f", on the scale {fit.prediction.scale.title}" if fit.prediction.mistakes else ""
