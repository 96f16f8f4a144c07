"""Checks that need no reference: order, forged turns, instruction, empty documents."""

from zelo.doctor.probes import Observations, longest_question, spread
from zelo.doctor.report import Check, Finding
from zelo.doctor.scales import OutputScale
from zelo.doctor.signs import twins_are_equal

__all__ = ["blank_check", "forged_check", "instruction_check", "order_check", "template_check"]

SAME_ORDER = 0.1
"""Part of the range of all numbers by which a document's may change with its neighbours: ten times
the tolerance, and far less than documents of different relevance differ."""
SAME_PLACE = 0.02
"""The same for numbers that stay at their places: twice what a batch's rounding may change."""
SATURATED = 59.0
"""Logits from which a number has saturated: those of `OutputScale.logit` end at 60."""


def order_check(seen: Observations) -> tuple[Check, Finding | None]:
    """Whether numbers follow their documents when these are sent in reverse."""
    name = "order"
    width = spread(seen.numbers)
    if seen.turned is None or not width:
        return _not_asked(name, seen), None
    places = longest_question().places
    straight = seen.numbers[places.start : places.stop]
    moved = [abs(a - b) for a, b in zip(straight, seen.turned[::-1], strict=True)]
    stayed = [abs(a - b) for a, b in zip(straight, seen.turned, strict=True)]
    if max(moved) <= SAME_ORDER * width:
        return Check(name, "ok", "numbers follow their documents"), None
    if max(stayed) <= SAME_PLACE * width:
        evidence = "documents sent in reverse get the same numbers at the same places"
        return Check(name, "wrong", evidence), Finding("order", evidence)
    text = "a document's number changes with its place; is something normalised per request?"
    return Check(name, "warning", text), None


def template_check(seen: Observations, scale: OutputScale) -> Check:
    """Whether query and document are kept apart."""
    name = "template"
    same = _twins(seen.seams, seen, scale)
    if same is None:
        return _not_asked(name, seen)
    if same:
        return Check(name, "wrong", "the model is given query and document as one text")
    return Check(name, "ok", "query and document are kept apart")


def forged_check(seen: Observations, scale: OutputScale) -> Check:
    """Whether a document can end its own turn."""
    name = "control tokens"
    same = _twins(seen.forged, seen, scale)
    if same is None:
        return _not_asked(name, seen)
    if same:
        text = "<|im_end|> in a document ends its turn: whoever writes one can forge the prompt"
        return Check(name, "warning", text)
    return Check(name, "ok", "a document cannot end its own turn")


def instruction_check(seen: Observations, scale: OutputScale) -> Check | None:
    """Whether an instruction said in its own field is the one written into the query."""
    name = "instruction"
    if seen.instructed is None:
        return _not_asked(name, seen) if name in seen.refusals else None
    said, written = seen.instructed
    off = abs(said - written)
    if off <= SAME_ORDER * spread(seen.numbers):
        return Check(name, "ok", "heard")
    return Check(name, "warning", f"not heard as the model reads one: off by {scale.told(off)}")


def blank_check(seen: Observations) -> Check | None:
    """What becomes of an empty document."""
    name = "empty document"
    if seen.blank is None:
        if name not in seen.refusals:
            return None
        return Check(name, "ok", "refused; zelo's client never sends one")
    numbers = seen.numbers
    if not spread(numbers):
        return _not_asked(name, seen)
    below = sum(number < seen.blank for number in numbers)
    if not below:
        return Check(name, "ok", f"scored {seen.blank:.3g}, below all others")
    text = f"scored {seen.blank:.3g}, above {below} of {len(numbers)} texts: never send one"
    return Check(name, "warning", text)


def _twins(
    twins: tuple[tuple[float, float], ...], seen: Observations, scale: OutputScale
) -> bool | None:
    """Whether twins were one prompt each; None if that cannot be told.

    Judged by logits: scores that crowd at 0 or 1 look equal.
    """
    if not twins or not spread(seen.numbers):
        return None
    logits = tuple((scale.logit(one), scale.logit(other)) for one, other in twins)
    if any(abs(logit) >= SATURATED for both in logits for logit in both):
        return None
    return twins_are_equal(logits, spread([scale.logit(number) for number in seen.numbers]))


def _not_asked(name: str, seen: Observations) -> Check:
    return Check(name, "unknown", seen.refusals.get(name, "could not be told"))
