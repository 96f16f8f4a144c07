"""Reading a score from what a model wrote, whatever it wrote.

Takes time linear in the answer's length: the pattern never tries a character twice.
"""

import re

__all__ = ["read_score"]

THOUGHT = "</think>"
"""Ends the reasoning that some servers leave in the text."""
SCORE = re.compile(
    r"[\s*_`#>]*+score[\s*_`]*+[:=][\s*_`]*+"
    r"([-+\u2212\u2013]?+)([0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)[\s*_`.]*+",
    re.IGNORECASE | re.ASCII,
)
"""`Score: -0.5`, also in Markdown's bold, with a full stop, or with a typographic minus."""


def read_score(answer: str) -> float | None:
    """Return the number in [-1, 1] on an answer's last line, or None.

    Only that line counts, and it must hold the score alone: a number in the reasoning before is
    not the answer, and one that is out of range, or one of two, says nothing certain.
    """
    last = answer.rpartition(THOUGHT)[2].rstrip().rpartition("\n")[2]
    found = SCORE.fullmatch(last)
    if found is None:
        return None
    value = float(found[2])
    if value > 1:
        return None
    return value if found[1] in ("", "+") else -value
