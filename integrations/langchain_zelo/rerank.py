"""Documents to texts, rankings to documents, and a run in LangChain's traces around them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import Callbacks, adispatch_custom_event, dispatch_custom_event
from langchain_core.documents import BaseDocumentCompressor, Document
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from zelo.adapters import RERANK_ERROR, Outcome, RankingOptions
from zelo.checks import listed
from zelo.errors import InputError

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable, RunnableConfig

__all__ = ["RerankInput", "ZeloRerank"]

FAILED = "rerank_failed"
"""Name of the custom event that tells of a failure after which the order was kept."""


class RerankInput(TypedDict):
    """What the runnable takes, and what its run shows in a trace."""

    query: str
    documents: Sequence[Document]


class ZeloRerank(RankingOptions, BaseDocumentCompressor):
    """Reorders documents by a zerank model's probability that they answer the query.

    `ContextualCompressionRetriever(base_compressor=ZeloRerank(top_n=5), base_retriever=retriever)`

    Returns copies, best first, with the probability in `metadata["relevance_score"]`; the documents
    that were handed over are left as they are, and ids are kept. A blank document has 0.0.

    Raises, when it is made:
        InputError: an option is another reranker's, or has no meaning.
        UnknownModelError: `model` is no alias, folder or hub id.
    """

    rank_fields: tuple[str, ...] | None = None
    """Metadata that the model reads before the text, as `name: value` lines; default, none."""

    def compress_documents(
        self, documents: Iterable[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return the `top_n` best documents for the query, as copies with their scores.

        Raises:
            InputError: a text cannot be scored, or the family takes no instruction.
            ModelError: the model cannot be loaded.
            ScoringError: the model gave no finite score. With `on_error="keep_order"`, these three
                are logged, and the first `top_n` documents come back, marked by `rerank_error`.
        """
        documents = listed("documents", documents)
        if not documents:
            return []
        given = RerankInput(query=query, documents=documents)
        return self.as_runnable().invoke(given, {"callbacks": callbacks})

    async def acompress_documents(
        self, documents: Iterable[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """`compress_documents` for event loops: no thread is held, cancelling drops the work."""
        documents = listed("documents", documents)
        if not documents:
            return []
        given = RerankInput(query=query, documents=documents)
        return await self.as_runnable().ainvoke(given, {"callbacks": callbacks})

    def as_runnable(self) -> "Runnable[RerankInput, list[Document]]":
        """Return the reranking as a step of a chain: `{"query", "documents"}` in, documents out.

        `{"documents": retriever, "query": RunnablePassthrough()} | reranker.as_runnable()`
        """
        from langchain_core.runnables import RunnableLambda  # brings langsmith: 0.2 s at import

        return RunnableLambda(self._compress, afunc=self._acompress, name=type(self).__name__)

    def rerank(
        self,
        documents: Iterable[str | Document | Mapping[str, Any]],
        query: str,
        *,
        rank_fields: Iterable[str] | None = None,
        top_n: int | None = -1,
    ) -> list[dict[str, Any]]:
        """Return `[{"index": ..., "relevance_score": ...}]`, best first.

        Of a mapping the model reads its `name: value` lines, or those of `rank_fields`. `top_n=-1`
        is the adapter's own, None all. A failure is always raised: there are no scores to return.
        """
        cut = self._for_scores(top_n)
        fields = self.rank_fields if rank_fields is None else rank_fields
        return _scores(cut._rank(query, _texts(documents, fields)))

    async def arerank(
        self,
        documents: Iterable[str | Document | Mapping[str, Any]],
        query: str,
        *,
        rank_fields: Iterable[str] | None = None,
        top_n: int | None = -1,
    ) -> list[dict[str, Any]]:
        """`rerank` for event loops."""
        cut = self._for_scores(top_n)
        fields = self.rank_fields if rank_fields is None else rank_fields
        return _scores(await cut._arank(query, _texts(documents, fields)))

    def _for_scores(self, top_n: int | None) -> "ZeloRerank":
        changes = {} if top_n == -1 else {"top_n": top_n}
        return self.with_options(on_error="raise", **changes)

    def _read(self, documents: Sequence[Document]) -> list[str]:
        for i, document in enumerate(documents):
            if not isinstance(document, Document):
                message = f"documents[{i}] is a {type(document).__name__}; give a Document"
                raise InputError(message)
        return _texts(documents, self.rank_fields)

    def _compress(self, given: RerankInput, config: "RunnableConfig") -> list[Document]:
        query, documents = _taken(given)
        outcome = self._rank(query, self._read(documents))
        if outcome.failure is not None:
            dispatch_custom_event(FAILED, _told(outcome.failure), config=config)
        return _documents(documents, outcome)

    async def _acompress(self, given: RerankInput, config: "RunnableConfig") -> list[Document]:
        query, documents = _taken(given)
        outcome = await self._arank(query, self._read(documents))
        if outcome.failure is not None:
            await adispatch_custom_event(FAILED, _told(outcome.failure), config=config)
        return _documents(documents, outcome)


def _taken(given: RerankInput) -> tuple[str, list[Document]]:
    """Return the query and the documents of a step's input, which is whatever a chain hands on."""
    due = "the reranking takes {'query': text, 'documents': list}"
    if not isinstance(given, Mapping):
        raise InputError(f"{due}; it was given a {type(given).__name__}")
    if lacking := [repr(name) for name in ("query", "documents") if name not in given]:
        raise InputError(f"{due}; it was given a mapping without {' and '.join(lacking)}")
    return given["query"], listed("documents", given["documents"])


def _texts(
    documents: Iterable[str | Document | Mapping[str, Any]], fields: Iterable[str] | None
) -> list[str]:
    """Return what the model reads of each document."""
    names = None if fields is None else listed("rank_fields", fields)
    return [_text(i, document, names) for i, document in enumerate(listed("documents", documents))]


def _text(
    i: int, document: str | Document | Mapping[str, Any], fields: Sequence[str] | None
) -> str:
    if isinstance(document, str):
        return document
    if isinstance(document, Mapping):
        return _lines(document, document if fields is None else fields)
    if not isinstance(document, Document):
        message = (
            f"documents[{i}] is a {type(document).__name__}; give a Document, a str or a mapping"
        )
        raise InputError(message)
    # a blank document stays blank, whatever its metadata: there is nothing to answer with
    if fields is None or not document.page_content.strip():
        return document.page_content
    lines = _lines(document.metadata, fields).strip()
    # the white space is as LlamaIndex has it, so that both frameworks give one score
    return f"{lines}\n\n{document.page_content}".strip() if lines else document.page_content


def _lines(values: Mapping[str, Any], names: Iterable[str]) -> str:
    return "\n".join(f"{name}: {values[name]}" for name in names if name in values)


def _documents(documents: Sequence[Document], outcome: Outcome) -> list[Document]:
    """Return copies in their new places; model_copy keeps `Document.id`."""
    found = []
    for place in outcome.places:
        document = documents[place.index]
        score = {} if place.ranked is None else {"relevance_score": place.ranked.score}
        metadata = outcome.metadata(place, document.metadata) | score
        found.append(document.model_copy(update={"metadata": metadata}))
    return found


def _told(failure: Exception) -> dict[str, str]:
    return {RERANK_ERROR: type(failure).__name__}


def _scores(outcome: Outcome) -> list[dict[str, Any]]:
    return [
        {"index": place.index, "relevance_score": place.ranked.score}
        for place in outcome.places
        if place.ranked is not None
    ]
