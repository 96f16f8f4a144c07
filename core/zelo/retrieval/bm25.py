"""BM25 over `bm25s`, with an English stemmer. Knows texts and scores, nothing of rerankers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zelo.errors import InputError, MissingExtraError

try:
    import bm25s
    import Stemmer
except ImportError as error:
    raise MissingExtraError("BM25 retrieval", "demo") from error

__all__ = ["BM25", "Candidate"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document handed over by the first stage."""

    index: int
    """Position in the list of documents that was indexed."""
    score: float
    """BM25 score: unbounded, comparable within one query only."""


class BM25:
    """A BM25 index over a list of documents, held in memory.

    `k1` and `b` default to 0.9 and 0.4, the values that Anserini tuned for BEIR-like collections.
    """

    def __init__(self, documents: Sequence[str], *, k1: float = 0.9, b: float = 0.4) -> None:
        if not documents:
            raise InputError("there are no documents to index; BM25 needs at least one")
        self._size = len(documents)
        self._stemmer = Stemmer.Stemmer("english")
        self._index: Any = bm25s.BM25(k1=k1, b=b)
        self._index.index(self._tokens(documents), show_progress=False)

    def __len__(self) -> int:
        return self._size

    def search(self, query: str, depth: int = 100) -> list[Candidate]:
        """Return the best `depth` documents for one query, best first, ties by index."""
        return self.search_many([query], depth)[0]

    def search_many(self, queries: Sequence[str], depth: int = 100) -> list[list[Candidate]]:
        """Return the best `depth` documents for each query.

        Documents that share no word with the query are left out, so a list may be shorter.
        """
        if depth < 1:
            raise InputError(f"depth is {depth}; it counts documents and must be at least 1")
        words = bm25s.tokenize(
            list(queries),
            stopwords="en",
            stemmer=self._stemmer,
            return_ids=False,
            show_progress=False,
        )
        return [self._search_words(query, depth) for query in words]

    def _search_words(self, words: list[str], depth: int) -> list[Candidate]:
        if not words:
            return []
        scores = self._index.get_scores(words)
        order = (-scores).argsort(kind="stable")[:depth]
        return [Candidate(int(i), float(scores[i])) for i in order if scores[i] > 0]

    def _tokens(self, texts: Sequence[str]) -> Any:
        return bm25s.tokenize(
            list(texts), stopwords="en", stemmer=self._stemmer, show_progress=False
        )
