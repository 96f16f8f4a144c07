"""From what was observed to what is wrong.

The numbers of the pairs decide first: right, or exactly what a known mistake would have given, or
much nearer to that than to the right ones, or none of these. Then come the checks that need no
reference. What only has signs, and no exact match, is said with the sign that gave it away.
"""

from zelo.doctor.checks import (
    blank_check,
    forged_check,
    instruction_check,
    order_check,
    template_check,
)
from zelo.doctor.claim import Claim
from zelo.doctor.endpoint import Endpoint
from zelo.doctor.mistakes import mistake_of_scale
from zelo.doctor.pairs import PAIRS
from zelo.doctor.probes import Observations
from zelo.doctor.reading import folder_check
from zelo.doctor.report import Finding, Report, Row
from zelo.doctor.scores import Scores, examine_scores
from zelo.doctor.truncation import length_check

__all__ = ["diagnose"]


def diagnose(seen: Observations, claim: Claim, endpoint: Endpoint) -> Report:
    """Say whether an endpoint is what it claims to be, and what is wrong if it is not."""
    folder, misread = folder_check(claim, here=endpoint.kind == "local")
    scores = examine_scores(seen, claim, misread)
    scale, right = scores.scale or claim.expected, scores.right
    order, misplaced = order_check(seen)
    # what was cut shows only where the prompt is right
    asked_rightly = not _in_prompt(scores.findings, claim)
    length, cut = length_check(seen, claim, scale) if asked_rightly else (None, None)
    checks = [scores.check, folder, order, template_check(seen, scale), length]
    checks += [forged_check(seen, scale), instruction_check(seen, scale), blank_check(seen)]
    findings = list(scores.findings)
    known = {finding.mistake for finding in findings}
    findings += [more for more in (misplaced, cut) if more and more.mistake not in known]
    return Report(
        model=claim.model,
        endpoint=endpoint.name,
        kind=endpoint.kind,
        family=claim.family.name,
        scale=claim.scale,
        reference=claim.known.source if claim.known else None,
        verdict="wrong" if findings else scores.verdict,
        max_deviation=right.largest if right else None,
        deviation=claim.expected.told(right.largest) if right and right.fits else None,
        findings=tuple(findings),
        checks=tuple(check for check in checks if check is not None),
        rows=_rows(seen, claim, scores),
    )


def _in_prompt(findings: tuple[Finding, ...], claim: Claim) -> bool:
    """Whether the model is asked or read otherwise than it should be."""
    scales = {mistake_of_scale(scale.name) for scale in claim.scales}
    return any(finding.mistake not in scales | {"order"} for finding in findings)


def _rows(seen: Observations, claim: Claim, scores: Scores) -> tuple[Row, ...]:
    known = claim.known.logits if claim.known else (None,) * len(PAIRS)
    number = claim.expected.number
    return tuple(
        Row(pair.query, pair.document, None if logit is None else number(logit), got)
        for pair, logit, got in zip(PAIRS, known, seen.numbers, strict=True)
    )
