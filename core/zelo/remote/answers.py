"""From a server's answer to one score per document: nothing is taken on trust."""

from collections.abc import Sequence

from pydantic import ValidationError

from zelo.errors import RemoteAnswerError
from zelo.scoring import Scored
from zelo.scoring.families import Family
from zelo.wire import Dialect, Scale
from zelo.wire.dialect import Score
from zelo.wire.values import from_scale

__all__ = ["read_scores"]


def read_scores(
    where: str, dialect: Dialect, answer: object, count: int, scale: Scale, family: Family | None
) -> list[Scored]:
    """Return the scores of an answer, in the order of the documents that were sent.

    Raises:
        RemoteAnswerError: the answer is of another shape; a document is missing, doubled or was
            never sent; a score is not finite, or not on the scale.
    """
    try:
        found = placed(dialect.scores(answer), count)
        return [_scored(score, scale, family) for score in found]
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        at = ".".join(map(str, first["loc"])) or "the whole"
        message = (
            f"{where}: the answer is not one of {dialect.title}, at {at}: {first['msg']}. Is "
            f"dialect={dialect.name!r} right?"
        )
        raise RemoteAnswerError(message) from None
    except ValueError as error:
        raise RemoteAnswerError(f"{where}: {error}") from None


def placed(scores: Sequence[Score], count: int) -> list[Score]:
    """Put scores to their documents' places.

    Raises:
        ValueError: not every document has exactly one.
    """
    places: list[Score | None] = [None] * count
    for score in scores:
        if score.index >= count:
            raise ValueError(f"the answer scores document {score.index} of {count}")
        if places[score.index] is not None:
            raise ValueError(f"the answer scores document {score.index} twice")
        places[score.index] = score
    whole = [score for score in places if score is not None]
    if len(whole) < count:
        raise ValueError(f"the answer has scores for {len(whole)} of {count} documents")
    return whole


def _scored(score: Score, scale: Scale, family: Family | None) -> Scored:
    try:
        logit, probability = from_scale(score.value, scale, family)
    except ValueError as error:
        message = (
            f"document {score.index} has a score that is not on the scale {scale!r}: {error}. "
            "State what the server returns as score_scale="
        )
        raise ValueError(message) from None
    return Scored(logit if score.logit is None else score.logit, probability, score.truncated)
