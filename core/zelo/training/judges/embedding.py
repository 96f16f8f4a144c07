"""An embedding model as a judge."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zelo.retrieval.embedding import Encoder
from zelo.retrieval.vectors import Vectors, checked, nearest, stack
from zelo.training.judges.judge import PointwiseJudge, PointwiseScores

__all__ = ["EmbeddingJudge"]

KEPT_BYTES = 256_000_000
"""Of document vectors in memory: what one query found, the next one often finds too."""


class EmbeddingJudge(PointwiseJudge):
    """The document whose embedding points more nearly where its query's does is better.

    Scores are cosines. Sentence embedding models are commonly trained with a softmax over 20 times
    the cosine (sentence-transformers' default), under which a document is preferred to another
    with the probability sigmoid(20 * difference): hence the scale of 0.05. Of relevant documents
    against other candidates, on three training sets of 50 queries each, all-MiniLM-L6-v2 has the
    highest likelihood at scales from 0.046 to 0.052.

    Args:
        encoder: texts to vectors.
        name: what tables call it.
        scale: see `PointwiseJudge`, in cosine.
        tokens: counts what the encoder has read so far, where it is counted.
    """

    def __init__(
        self,
        encoder: Encoder,
        name: str,
        *,
        scale: float = 0.05,
        tokens: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(name, scale)
        self.metered = tokens is not None
        self._encoder = encoder
        self._tokens = tokens or (lambda: 0)
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()

    @property
    def identity(self) -> Mapping[str, Any]:
        """The encoder's."""
        return {"embedding": dict(self._encoder.identity)}

    async def score(self, query: str, documents: Sequence[str]) -> PointwiseScores:
        """Return cosines; one query at a time, so that its tokens can be told."""
        return await asyncio.to_thread(self._score, query, list(documents))

    def _score(self, query: str, documents: Sequence[str]) -> PointwiseScores:
        before = self._tokens()
        asked = checked(self._encoder.embed_queries([query]), 1)
        cosines = dict(nearest(asked, self._embedded(documents), len(documents))[0])
        values = [cosines[place] for place in range(len(documents))]
        return PointwiseScores(values, self._tokens() - before, 1)

    def _embedded(self, documents: Sequence[str]) -> Vectors:
        """Return the documents' vectors; those that are not in memory are computed."""
        digests = [_digest(text) for text in documents]
        known = {one: self._vectors[one] for one in digests if one in self._vectors}
        new = {one: text for one, text in zip(digests, documents, strict=True) if one not in known}
        if new:
            vectors = checked(self._encoder.embed_documents([*new.values()]), len(new))
            known |= {one: vectors[place : place + 1].copy() for place, one in enumerate(new)}
        for one, vector in known.items():
            self._vectors[one] = vector
            self._vectors.move_to_end(one)
        while len(self._vectors) * vector.nbytes > KEPT_BYTES:
            self._vectors.popitem(last=False)
        return stack([known[one] for one in digests])


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
