"""BM25 as a judge: the document that shares more, and rarer, words with its query is better."""

import asyncio
import hashlib
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zelo._common.journal import key_of
from zelo.retrieval import BM25
from zelo.training.judges.judge import PointwiseJudge, PointwiseScores

__all__ = ["BM25Judge"]

SCALE = 1.0
"""Of relevant documents against other candidates of BM25, on six training sets of 200 queries each,
the likelihood is highest at scales from 0.69 to 1.22, and at 0.86 over all of them."""


class BM25Judge(PointwiseJudge):
    """Scores by BM25, how rare a word is being taken from the documents that are to be judged.

    They are indexed in memory, equal texts once.

    Args:
        documents: all that will be asked about; no others can be scored.
        language: of the stemmer; None for none.
        name: what tables call it.
        scale: see `PointwiseJudge`, in BM25 score.

    Raises:
        InputError: no document has a word, or the language is unknown.
    """

    def __init__(
        self,
        documents: Iterable[str],
        *,
        language: str | None = "english",
        name: str = "bm25",
        scale: float = SCALE,
    ) -> None:
        super().__init__(name, scale)
        texts = {_digest(text): text for text in documents}
        self._places = {digest: place for place, digest in enumerate(texts)}
        self._index = BM25([*texts.values()], language=language)
        self._identity = {
            "bm25": importlib.metadata.version("bm25s"),
            "language": language,
            "documents": key_of(sorted(texts)),
        }

    @property
    def identity(self) -> Mapping[str, Any]:
        """The language, and the documents, which say what is rare."""
        return self._identity

    async def score(self, query: str, documents: Sequence[str]) -> PointwiseScores:
        """Return BM25 scores; 0 for a document that shares no word with the query."""
        return await asyncio.to_thread(self._score, query, documents)

    def _score(self, query: str, documents: Sequence[str]) -> PointwiseScores:
        found = {one.index: one.score for one in self._index.search(query, len(self._index))}
        values = [found.get(self._places[_digest(text)], 0.0) for text in documents]
        return PointwiseScores(values)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
