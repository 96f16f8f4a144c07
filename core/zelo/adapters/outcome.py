"""What comes of reranking a framework's items: places, and the failure where there was one."""

from dataclasses import dataclass

from zelo.results import RankedDocument

__all__ = ["RERANK_ERROR", "Outcome", "Place"]

RERANK_ERROR = "rerank_error"
"""Metadata key that marks an item whose order is the first stage's, because reranking failed.

Its value is the error's class name.
"""


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

    @property
    def marker(self) -> dict[str, str]:
        """Metadata that says that reranking failed; empty where it did not."""
        return {} if self.failure is None else {RERANK_ERROR: type(self.failure).__name__}
