"""Why a request is not answered with scores: one value for every reason, with its status.

Knows errors and statuses; how a dialect writes them is the dialect's matter.
"""

from collections.abc import Mapping

from pydantic import ValidationError

from zelo.errors import (
    ClosedError,
    InputError,
    ModelFailedError,
    NonFiniteScoreError,
    ScoringTimeoutError,
    ZeloError,
)

__all__ = ["ClientGoneError", "Refusal", "refusal_of"]

MOST_FAULTS = 5
"""How many faults of a body are told; the rest are counted."""
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that went away: nobody reads it, logs and metrics show it."""


class Refusal(Exception):
    """A request that gets no scores. The message holds nothing of its texts."""

    def __init__(
        self, status: int, reason: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        """One word for the metrics."""
        self.message = message
        """What was wrong and what to do, for the client."""
        self.headers = headers or {}


class ClientGoneError(Exception):
    """The client closed its connection before it was answered."""


def refusal_of(error: Exception) -> Refusal:
    """Return what a client is told of an error; of one that nobody expected, nothing."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ClientGoneError):
        return Refusal(CLIENT_CLOSED_REQUEST, "gone", "the client went away")
    if isinstance(error, ValidationError):
        return Refusal(422, "invalid", _faults(error))
    for kind, status, reason in STATUSES:
        if isinstance(error, kind):
            headers = {"Retry-After": "1"} if status == 503 else {}
            return Refusal(status, reason, str(error), headers)
    message = "an error that was not foreseen; the server's log names it under this request's id"
    return Refusal(500, "internal", message)


STATUSES: tuple[tuple[type[Exception], int, str], ...] = (
    (InputError, 422, "invalid"),
    (NonFiniteScoreError, 500, "non_finite"),
    (ScoringTimeoutError, 504, "timeout"),
    (ModelFailedError, 503, "failed"),
    (ClosedError, 503, "closed"),
    (ZeloError, 500, "failed"),
)
"""The first kind that fits decides."""


def _faults(error: ValidationError) -> str:
    """Name the members that are wrong, without repeating what they hold."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:MOST_FAULTS]]
    more = len(faults) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")
