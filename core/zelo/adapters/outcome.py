"""What comes of reranking a framework's items: places, and the failure where there was one."""

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from zelo._common.checks import lone_surrogate
from zelo.results import RankedDocument
from zelo.scoring import Scored

__all__ = [
    "OURS",
    "RERANK_ERROR",
    "RERANK_REPLACED",
    "RERANK_SOURCE",
    "RERANK_TRUNCATED",
    "Outcome",
    "Place",
    "warn_of_truncation",
]

log = logging.getLogger("zelo")

RERANK_ERROR = "rerank_error"
"""Metadata key that marks an item whose order is the first stage's, because reranking failed.

Its value is the error's class name.
"""
RERANK_SOURCE = "rerank_source"
"""Metadata key that names who scored, where it was another server or the fallback."""
RERANK_TRUNCATED = "rerank_truncated"
"""Metadata key, True, that marks an item whose end was not read; others do not have it."""
RERANK_REPLACED = "rerank_replaced"
"""Metadata key, True, that marks an item in whose text the model read U+FFFD for half characters.

The text itself is as it was given, and still to be mended.
"""
OURS = frozenset({RERANK_ERROR, RERANK_SOURCE, RERANK_TRUNCATED, RERANK_REPLACED})
"""The keys that tell of one reranking, and are removed at the next."""


@dataclass(frozen=True, slots=True)
class Place:
    """An item that is kept, in its new place."""

    index: int
    """Position in the list that the framework handed over."""
    ranked: RankedDocument | None
    """What the model says; None where nothing was scored. A failure never becomes a score."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The places, best first, or the first stage's order with the failure that kept it."""

    places: list[Place]
    failure: Exception | None = None

    def notes(self, place: Place) -> dict[str, str | bool]:
        """Return what an item's metadata must say of how it was ranked; mostly nothing."""
        if self.failure is not None:
            return {RERANK_ERROR: type(self.failure).__name__}
        if place.ranked is None:
            return {}
        told = {
            RERANK_SOURCE: place.ranked.source,
            RERANK_TRUNCATED: place.ranked.truncated,
            RERANK_REPLACED: lone_surrogate(place.ranked.document) is not None,
        }
        return {name: value for name, value in told.items() if value}

    def metadata(self, place: Place, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return an item's metadata for its copy, nothing of it shared, with this ranking's notes.

        What an earlier reranker noted of its own work does not hold for this one's.
        """
        kept = {name: value for name, value in given.items() if name not in OURS}
        copied: dict[str, Any] = _copied(kept)
        return copied | self.notes(place)


def warn_of_truncation(answers: Sequence[Scored | RankedDocument]) -> None:
    """Log how many documents were not read to their end."""
    if truncated := sum(answer.truncated for answer in answers):
        log.warning(
            "%d of %d documents were longer than the limit, and their ends were not read; see "
            "max_document_tokens and long_documents",
            truncated,
            len(answers),
        )


def _copied(value: Any) -> Any:
    """Copy all the way down; what cannot be copied, such as a lock, alone stays shared."""
    try:
        return deepcopy(value)
    except RecursionError:  # nested without end
        return value
    except Exception:
        if isinstance(value, dict):
            return {name: _copied(of) for name, of in value.items()}
        if isinstance(value, list):
            return [_copied(of) for of in value]
        return value
