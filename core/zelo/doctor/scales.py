"""What a server may make of a raw logit before it answers: the scales, right and wrong ones."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from zelo.doctor.tolerances import DECIMALS, LOGIT, ROUNDING, SCORE
from zelo.scoring.families import Family, sigmoid

__all__ = ["OutputScale", "logit_of", "scales_of"]

SMALL = 1e-4
"""Below this, a difference is said to be below this: float32 alone brings some millionths."""


@dataclass(frozen=True, slots=True)
class OutputScale:
    """A map from the raw logit to the number that is answered."""

    name: str
    """One of `zelo.wire.Scale`, or of the mistakes that concern scales."""
    title: str
    number: Callable[[float], float]
    bounded: bool
    """The number lies between 0 and 1."""

    def interval(
        self, logit: float, family: Family, logit_off: float = LOGIT, score_off: float = SCORE
    ) -> tuple[float, float]:
        """Return the numbers between which this logit's may lie.

        Of a number between 0 and 1, either tolerance is enough: that of logits or that of scores.
        """
        low, high = logit - logit_off, logit + logit_off
        if self.bounded:
            score = family.probability(logit)
            low = min(low, logit_of(score - score_off, family))
            high = max(high, logit_of(score + score_off, family))
        low, high = self.number(low), self.number(high)
        return low - _rounding(low), high + _rounding(high)

    def logit(self, number: float) -> float:
        """Return the raw logit that gives a number, between -60 and 60."""
        low, high = -60.0, 60.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.number(middle) < number else (low, middle)
        return low

    def told(self, difference: float) -> str:
        """Say a difference of two numbers with its unit."""
        unit = {"logit": "logits", "logit/5": "of logit/5"}.get(self.name, "of a score")
        return f"{difference:.2g} {unit}" if difference >= SMALL else f"under {SMALL:g} {unit}"


def scales_of(family: Family) -> tuple[OutputScale, ...]:
    """Return every scale that is told apart, those a caller may ask for first."""
    divisor = family.scale

    def score(logit: float) -> float:
        return sigmoid(logit / divisor)

    found = [
        OutputScale("probability", f"sigmoid(logit / {divisor:g})", score, True),
        OutputScale("logit", "the raw logit", lambda logit: logit, False),
        OutputScale("logit/5", "logit / 5", lambda logit: logit / 5, False),
        OutputScale("double-sigmoid", "a sigmoid of a sigmoid", lambda x: sigmoid(score(x)), True),
    ]
    if divisor != 1:
        found += [
            OutputScale("wrong-divisor", "sigmoid(logit), not divided by 5", sigmoid, True),
            OutputScale("divided-twice", "sigmoid(logit / 25)", lambda x: score(x / divisor), True),
            OutputScale(
                "double-sigmoid", "a sigmoid of sigmoid(logit)", lambda x: sigmoid(sigmoid(x)), True
            ),
        ]
    return tuple(found)


def logit_of(score: float, family: Family) -> float:
    """Return the raw logit of a score, at most that of the last number before 0 or 1."""
    inside = min(max(score, 1e-9), 1.0 - 1e-9)
    return family.scale * (math.log(inside) - math.log1p(-inside))


def _rounding(number: float) -> float:
    return DECIMALS + ROUNDING * abs(number)
