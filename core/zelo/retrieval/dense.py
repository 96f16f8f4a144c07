"""Dense retrieval: the documents whose embeddings point most nearly where the query's does.

How texts become embeddings is the encoder's business. Every query is compared with every document,
which suits collections of up to about a million documents.
"""

from collections.abc import Sequence

from zelo._common.checks import instance_of, with_methods
from zelo.corpora import Collection
from zelo.retrieval.cache import Cache
from zelo.retrieval.candidates import check_search, choose, searchable
from zelo.retrieval.embedding import Encoder, embed
from zelo.retrieval.stage import Retrieved, Run
from zelo.retrieval.vectors import nearest
from zelo.scoring import Progress

__all__ = ["DenseStage"]


class DenseStage:
    """Cosine similarity of embeddings, which are kept on disk."""

    def __init__(
        self, encoder: Encoder, *, cache: Cache | None = None, name: str = "dense"
    ) -> None:
        self.name = name
        self._encoder = with_methods("encoder", encoder, "embed_queries", "embed_documents")
        self._cache = Cache() if cache is None else instance_of("cache", cache, Cache)

    def retrieve(
        self,
        collection: Collection,
        query_ids: Sequence[str],
        depth: int,
        progress: Progress | None = None,
    ) -> Run:
        """Return the nearest documents of each query; `progress` counts embedded documents.

        Raises:
            InputError: every document is blank, or the depth is below 1.
            ModelError: the encoder's model cannot be loaded.
            ScoringError: the encoder gave no usable vector for some text.
        """
        query_ids = check_search(collection, query_ids, depth, progress)
        doc_ids = searchable(collection)
        if not query_ids:
            return {}
        texts = [collection.documents[doc_id] for doc_id in doc_ids]
        documents = embed(self._encoder, "documents", texts, self._cache, progress)
        asked = [collection.queries[query_id] for query_id in query_ids]
        queries = embed(self._encoder, "queries", asked, self._cache)
        run: Run = {}
        for query_id, found in zip(query_ids, nearest(queries, documents, depth + 1), strict=True):
            ranking = (Retrieved(doc_ids[index], cosine) for index, cosine in found)
            run[query_id] = choose(collection, query_id, ranking, depth)
        return run
