"""From what a judgement file says to a grade: numbers, and what they gain."""

import math
import re
from typing import Literal

__all__ = ["Gain", "grade_of", "number_of"]

Gain = Literal["linear", "exp"]
"""`linear`: the grade is the number itself. `exp`: it is exp(number), which turns ratings such as
Elo, negative ones among them, into gains that differ as the raters' odds do; zbench's nDCG does so
(github.com/zeroentropy-ai/zbench). Every rated document then has a grade above 0."""

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def number_of(text: str) -> float:
    """Return the finite number that a text spells.

    Raises:
        ValueError: it spells none; Python's underscores and `nan` are none.
    """
    stripped = text.strip()
    if NUMBER.fullmatch(stripped) and math.isfinite(value := float(stripped)):
        return value
    raise ValueError("is no finite number")


def grade_of(number: float, gain: Gain) -> tuple[float, str | None]:
    """Return the grade of a finite number, whole ones as int, and what is wrong with it, if so.

    Raises:
        ValueError: it gives no grade.
    """
    if gain == "exp":
        try:
            return math.exp(number), None
        except OverflowError:
            raise ValueError(f"{number:g} is too large for exp()") from None
    if number < 0:
        reason = (
            f"grade {number:g} is negative, and counts as 0 (TREC-COVID has such rows); if it is a "
            'rating, such as Elo, read it with gain="exp"'
        )
        return 0, reason
    return (int(number) if float(number).is_integer() else number), None
