"""Signs of a mistake where no prediction fits: none needs the weights, and some prove nothing."""

from zelo.doctor.claim import Claim
from zelo.doctor.matching import rank_correlation
from zelo.doctor.pairs import ordering, questions, tokens_of
from zelo.doctor.probes import Observations, spread
from zelo.doctor.report import Finding
from zelo.doctor.tolerances import EQUAL, NOTHING, RELATED, UNRELATED

__all__ = ["signs_of", "twins_are_equal"]

TOKENS_OFF = {
    **dict.fromkeys(range(-13, -9), "no-template"),  # with up to three tokens between the texts
    -4: "no-header",
    -3: "no-header",
    4: "think-block",
    60: "qwen3-recipe",
}
"""Tokens of a prompt beyond those of the right one, with Qwen3's tokenizer: zerank's frame has 13,
its assistant header 3 (4 with the line break before it), an empty think block 4, the frame of
Qwen3-Reranker 73."""
DOUBLE = (0.5, 0.7311)
"""Between which every sigmoid of a probability lies."""


def signs_of(seen: Observations, claim: Claim, exhausted: bool) -> Finding:
    """Return the mistake that the signs point to; `other` where they point nowhere.

    `exhausted` says that every known prompt was tried with the weights, and none fits.
    """
    numbers = seen.numbers
    width = spread(numbers)
    if width <= NOTHING * max(1.0, *map(abs, numbers)):
        evidence = f"all {len(numbers)} pairs get {numbers[0]:.3g}, whatever their texts say"
        return Finding("no-score-head", evidence)
    if seen.seams and twins_are_equal(seen.seams, width):
        evidence = (
            "words moved from the document's beginning to the query's end change nothing, so the "
            "model is given the two as one text"
        )
        return Finding("no-template", evidence)
    off = _tokens_off(seen)
    if off in TOKENS_OFF:
        evidence = f"the server counts {abs(off)} tokens too {'few' if off < 0 else 'many'} a pair"
        return Finding(TOKENS_OFF[off], evidence)
    if claim.known is None and (found := _off_scale(numbers, claim)):
        return found
    return _by_order(seen, claim, exhausted or off == 0)


def twins_are_equal(twins: tuple[tuple[float, float], ...], width: float) -> bool:
    """Whether both prompts of every pair of twins got one number."""
    return all(abs(one - other) <= EQUAL * width for one, other in twins)


def _by_order(seen: Observations, claim: Claim, right_prompt: bool) -> Finding:
    """Judge by the order alone: that of the right model, or of zerank-2 in its place."""
    logits = claim.known.logits if claim.known else ordering()
    known = [(seen.numbers[i], logit) for i, logit in enumerate(logits) if logit is not None]
    correlation = rank_correlation(*(list(side) for side in zip(*known, strict=True)))
    whose = claim.model if claim.known else "zerank-2"
    evidence = f"rank correlation with {whose} is {correlation:.2f} over {len(known)} pairs"
    if correlation >= (RELATED if claim.known else UNRELATED):
        return Finding("other", evidence)
    if right_prompt:
        reason = "and no known prompt explains it, which leaves the head"
        return Finding("random-head", f"{evidence}, {reason}")
    return Finding("unrelated", evidence)


def _off_scale(numbers: tuple[float, ...], claim: Claim) -> Finding | None:
    """Tell numbers that cannot be what they ought to be, by their range alone."""
    low, high = min(numbers), max(numbers)
    evidence = f"numbers lie between {low:.3g} and {high:.3g}"
    if claim.scale == "probability" and not (low >= 0.0 and high <= 1.0):
        return Finding("raw-logits", f"{evidence}: logits, or a fifth of them")
    if claim.scale == "probability" and low >= DOUBLE[0] and high <= DOUBLE[1]:
        return Finding("double-sigmoid", evidence)
    return None


def _tokens_off(seen: Observations) -> int | None:
    """Return by how many tokens each pair's prompt is off, if it is the same for all."""
    off: set[float] = set()
    for question, told in zip(questions(), seen.tokens, strict=True):
        if told is None:
            return None
        off.add((told - tokens_of(question.places)) / len(question.places))
    only = off.pop()
    return int(only) if not off and only.is_integer() else None
