"""What a first stage is: it finds, in a whole collection, the candidates that are reranked."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from zelo.corpora import Collection
from zelo.scoring import Progress

__all__ = ["FirstStage", "Retrieved", "Run"]


class Retrieved(NamedTuple):
    """A candidate document of one query."""

    doc_id: str
    score: float
    """The first stage's own: comparable within one query only; higher is better."""


Run = dict[str, list[Retrieved]]
"""Per query id, its candidates, best first, none twice."""


class FirstStage(Protocol):
    """Finds candidates for queries of a collection."""

    @property
    def name(self) -> str:
        """What tables call it, such as `bm25`."""
        ...

    def retrieve(
        self,
        collection: Collection,
        query_ids: Sequence[str],
        depth: int,
        progress: Progress | None = None,
    ) -> Run:
        """Return at most `depth` candidates for each of the queries; fewer where fewer are found.

        A document that is the query itself (`Collection.itself`) is not among them.

        Raises:
            InputError: the collection cannot be searched by this stage.
        """
        ...
