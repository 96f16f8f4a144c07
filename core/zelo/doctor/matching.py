"""Numbers that came back, beside those that each known mistake would have given."""

from collections.abc import Sequence
from dataclasses import dataclass

from zelo.doctor.pairs import Question
from zelo.doctor.scales import OutputScale
from zelo.doctor.tolerances import LOGIT, SCORE
from zelo.scoring.families import Family

__all__ = ["Fit", "Prediction", "compared", "fits_in_another_order", "rank_correlation"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What would have come back, had the model been asked and answered in a certain way."""

    mistakes: tuple[str, ...]
    """Names of what would be wrong; none for the right way."""
    how: str
    """The way, in words."""
    scale: OutputScale
    logits: tuple[float | None, ...]
    """Raw logits per pair; None where they are not known."""

    def numbers(self) -> list[float | None]:
        """Return the numbers that would have come back."""
        return [None if logit is None else self.scale.number(logit) for logit in self.logits]


@dataclass(frozen=True, slots=True)
class Fit:
    """How near the numbers are to a prediction."""

    prediction: Prediction
    fits: bool
    """Every number is within tolerance."""
    error: float
    """Mean absolute difference, in the unit of the numbers."""
    largest: float
    """Largest absolute difference, in the unit of the numbers."""
    correlation: float
    """Spearman's, over the pairs that are known."""
    pairs: int
    """How many are known."""


def compared(
    prediction: Prediction,
    numbers: Sequence[float],
    family: Family,
    logit_off: float = LOGIT,
    score_off: float = SCORE,
) -> Fit:
    """Compare numbers with a prediction, pair by pair."""
    known = [(i, x) for i, x in enumerate(prediction.logits) if x is not None]
    scale = prediction.scale
    bounds = [scale.interval(logit, family, logit_off, score_off) for _, logit in known]
    off = [abs(numbers[i] - scale.number(logit)) for i, logit in known]
    fits = all(low <= numbers[i] <= high for (i, _), (low, high) in zip(known, bounds, strict=True))
    correlation = rank_correlation([numbers[i] for i, _ in known], [logit for _, logit in known])
    return Fit(prediction, fits, sum(off) / len(off), max(off), correlation, len(known))


def fits_in_another_order(
    prediction: Prediction, numbers: Sequence[float], family: Family, questions: Sequence[Question]
) -> bool:
    """Whether each question's numbers are the predicted ones, given to other documents."""
    known = [q for q in questions if all(prediction.logits[i] is not None for i in q.places)]
    logits = list(prediction.logits)
    for question in known:
        at = slice(question.places.start, question.places.stop)
        by_number = sorted(question.places, key=lambda i: numbers[i])
        by_logit = sorted(x for x in logits[at] if x is not None)
        for place, logit in zip(by_number, by_logit, strict=True):
            logits[place] = logit
    placed = Prediction(prediction.mistakes, prediction.how, prediction.scale, tuple(logits))
    return bool(known) and compared(placed, numbers, family).fits


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's correlation, with ties at their mean rank; 0 where one is constant."""
    ranks = [_ranks(one), _ranks(other)]
    means = [sum(r) / len(r) for r in ranks]
    x, y = ([value - mean for value in r] for r, mean in zip(ranks, means, strict=True))
    norm = (sum(a * a for a in x) * sum(b * b for b in y)) ** 0.5
    return sum(a * b for a, b in zip(x, y, strict=True)) / norm if norm else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]
