"""BM25 over `bm25s`: an index of texts in memory, and the first stage that keeps it on disk.

A word is a run of two or more letters, digits or underscores, in lower case. Languages written
without spaces have no such words; they need another first stage.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from zelo._common.atomic_write import writing
from zelo._common.checks import (
    check_text,
    file_path,
    fraction,
    in_order,
    instance_of,
    not_negative,
    one_of,
)
from zelo._common.journal import key_of
from zelo.corpora import Collection
from zelo.errors import InputError, MissingExtraError
from zelo.retrieval.cache import Cache
from zelo.retrieval.candidates import check_depth, check_search, choose, searchable
from zelo.retrieval.stage import Retrieved, Run
from zelo.scoring import Progress

try:
    import bm25s
    import Stemmer
except ImportError as error:
    raise MissingExtraError("BM25 retrieval", "demo") from error

__all__ = ["BM25", "BM25Stage", "Candidate"]

SETTINGS = "settings.json"
STOP_LISTS = {"english": "EN", "porter": "EN", "dutch_porter": "DUTCH"}
"""Names of bm25s' lists of stop words that differ from the language's. EN is Lucene's."""


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
    `language` is one that PyStemmer stems (`english`, `german`, ...; `porter` is what Anserini
    takes for English). Its stop words are left out where bm25s has a list: Danish, Dutch, English,
    French, German, Italian, Norwegian, Portuguese, Russian, Spanish, Swedish and Turkish. In the
    others common words stay, and count little because they are common. None takes words as they
    are, all of them.

    Raises:
        InputError: there are no documents, none of them has a word, or the language is unknown.
    """

    def __init__(
        self,
        documents: Iterable[str],
        *,
        k1: float = 0.9,
        b: float = 0.4,
        language: str | None = "english",
    ) -> None:
        texts = list(in_order("documents", documents, "a list of texts"))
        if not texts:
            raise InputError("there are no documents to index; BM25 needs at least one")
        for i, text in enumerate(texts):
            check_text(f"documents[{i}]", text)
        self._words = _Words(language)
        tokens = self._words.of(texts, return_ids=True)
        if not any(tokens.ids):
            raise InputError(f"none of {len(texts)} document(s) has a word that BM25 can find")
        self._index: Any = bm25s.BM25(**_weights(k1, b))
        self._index.index(tokens, show_progress=False)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Return the index that `save` wrote; it finds the same with the same scores.

        Raises:
            InputError: the folder holds none.
        """
        place = file_path("folder", folder)
        try:
            settings = json.loads((place / SETTINGS).read_text(encoding="utf-8"))
            index = cls.__new__(cls)
            index._words = _Words(settings["language"])
            index._index = bm25s.BM25.load(place, show_progress=False, allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"folder {place} holds no index that BM25.save wrote") from error
        return index

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the index to an existing folder, as arrays and JSON.

        Raises:
            OutputError: it cannot be written.
        """
        place = file_path("folder", folder)
        settings = json.dumps({"language": self._words.language})
        with writing(place):
            self._index.save(place, show_progress=False, allow_pickle=False)
            (place / SETTINGS).write_text(settings, encoding="utf-8")

    def __len__(self) -> int:
        return int(self._index.scores["num_docs"])

    def search(self, query: str, depth: int = 100) -> list[Candidate]:
        """Return the best `depth` documents for a query, best first, ties by index.

        Documents that share no word with the query are left out, so there may be fewer.
        """
        check_depth(depth)
        check_text("query", query)
        (words,) = self._words.of([query], return_ids=False)
        if not words:
            return []
        scores = self._index.get_scores(words)
        order = (-scores).argsort(kind="stable")[:depth]
        return [Candidate(int(i), float(scores[i])) for i in order if scores[i] > 0]


class BM25Stage:
    """BM25 over the documents of a collection; each collection is indexed once and kept on disk.

    The options are those of `BM25`. A `cache` other than the default one is named like
    `Cache("folder")`.
    """

    def __init__(
        self,
        *,
        k1: float = 0.9,
        b: float = 0.4,
        language: str | None = "english",
        cache: Cache | None = None,
        name: str = "bm25",
    ) -> None:
        _Words(language)  # an unknown one is told now, not after an hour
        self.name = name
        self._settings: dict[str, Any] = {**_weights(k1, b), "language": language}
        self._cache = Cache() if cache is None else instance_of("cache", cache, Cache)

    def retrieve(
        self,
        collection: Collection,
        query_ids: Sequence[str],
        depth: int,
        progress: Progress | None = None,
    ) -> Run:
        """Return the documents that share words with a query; `progress` counts queries.

        Raises:
            InputError: no document of the collection has a word, or the depth is below 1.
        """
        query_ids = check_search(collection, query_ids, depth, progress)
        doc_ids = searchable(collection)
        index = self._index(collection, doc_ids)
        run: Run = {}
        for query_id in query_ids:
            found = index.search(collection.queries[query_id], depth + 1)
            ranking = (Retrieved(doc_ids[each.index], each.score) for each in found)
            run[query_id] = choose(collection, query_id, ranking, depth)
            if progress is not None:
                progress(len(run), len(query_ids))
        return run

    def _index(self, collection: Collection, doc_ids: Sequence[str]) -> BM25:
        versions = (bm25s.__version__, Stemmer.version())
        return self._cache.recall(
            "bm25",
            key_of(collection.fingerprint(), self._settings, versions),
            read=BM25.load,
            make=lambda: BM25([collection.documents[i] for i in doc_ids], **self._settings),
            write=BM25.save,
        )


def _weights(k1: float, b: float) -> dict[str, float]:
    """Check how much a word's repetitions and a document's length count."""
    return {"k1": not_negative("k1", k1), "b": fraction("b", b, "it is a share")}


class _Words:
    """Splits texts into words, leaves out stop words and stems the rest."""

    def __init__(self, language: str | None) -> None:
        languages = Stemmer.algorithms()
        if language is not None:
            one_of("language", language, languages)
        self.language = language
        self._stemmer = None if language is None else Stemmer.Stemmer(language)
        name = "" if language is None else STOP_LISTS.get(language, language.upper())
        self._stop_words = list(getattr(bm25s.stopwords, f"STOPWORDS_{name}", ()))

    def of(self, texts: Sequence[str], *, return_ids: bool) -> Any:
        return bm25s.tokenize(
            list(texts),
            stopwords=self._stop_words,
            stemmer=self._stemmer,
            return_ids=return_ids,
            show_progress=False,
        )
