"""An embedding model on a server, as the encoder of dense retrieval. Knows nothing of HTTP."""

from collections.abc import Sequence
from typing import Any

from zelo._common.checks import positive, with_methods
from zelo.llm import Embeddings
from zelo.retrieval.vectors import Vectors

__all__ = ["EndpointEncoder"]


class EndpointEncoder:
    """Embeds by `zelo.llm.Embeddings`; queries and documents alike.

    A text that is too long for the model is the server's error to tell, unless `max_characters`
    says where to cut every text: nothing is cut unasked.
    """

    def __init__(self, embeddings: Embeddings, *, max_characters: int | None = None) -> None:
        self._embeddings = with_methods("embeddings", embeddings, "embed")
        self._max_characters = positive("max_characters", max_characters)

    @property
    def identity(self) -> dict[str, Any]:
        """The server, the model and its options; no key."""
        return {**self._embeddings.identity, "max_characters": self._max_characters}

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per query."""
        return self._embeddings.embed([text[: self._max_characters] for text in texts])

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per document."""
        return self.embed_queries(texts)
