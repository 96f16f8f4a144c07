"""Documents to texts, rankings to documents, and a run in LangChain's traces around them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import Callbacks, adispatch_custom_event, dispatch_custom_event
from langchain_core.documents import BaseDocumentCompressor, Document
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from zelo._common.checks import in_order
from zelo.adapters import RERANK_ERROR, Outcome, RankingOptions, Takes
from zelo.errors import InputError

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable, RunnableConfig

__all__ = ["RerankInput", "ZeloRerank"]

FAILED = "rerank_failed"
"""Name of the custom event that tells of a failure after which the order was kept."""


DUE = "a list of Documents"


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

    rank_fields: Takes[list[str] | tuple[str, ...] | None, tuple[str, ...] | None] = cast(Any, None)
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
        documents = list(in_order("documents", documents, DUE))
        if not documents:
            return []
        given = RerankInput(query=query, documents=documents)
        return self.as_runnable().invoke(given, {"callbacks": callbacks})

    async def acompress_documents(
        self, documents: Iterable[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """`compress_documents` for event loops: no thread is held, cancelling drops the work."""
        documents = list(in_order("documents", documents, DUE))
        if not documents:
            return []
        given = RerankInput(query=query, documents=documents)
        return await self.as_runnable().ainvoke(given, {"callbacks": callbacks})

    def as_runnable(self) -> "Runnable[RerankInput, list[Document]]":
        """Return the reranking as a step of a chain: `{"query", "documents"}` in, documents out.

        `{"documents": retriever, "query": RunnablePassthrough()} | reranker.as_runnable()`
        """
        from langchain_zelo.step import RerankStep

        return RerankStep(self)

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
        is the adapter's own, None all. What a document's metadata would say of its reading, such as
        `rerank_truncated`, its row says. A failure is always raised: there are no scores to return.
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
        changes = {} if isinstance(top_n, int) and top_n == -1 else {"top_n": top_n}
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
    return given["query"], list(in_order("documents", given["documents"], DUE))


def _texts(
    documents: Iterable[str | Document | Mapping[str, Any]], fields: Iterable[str] | None
) -> list[str]:
    """Return what the model reads of each document."""
    if fields is not None:
        keys = "list(rank_fields)"
        what = "a list of metadata keys"
        fields = list(in_order("rank_fields", fields, what, of_mapping=keys, of_table=keys))
        if not all(isinstance(name, str) for name in fields):
            raise InputError(f"rank_fields holds what is no str; give {what}")
    listed = in_order(
        "documents",
        documents,
        "a list of texts, mappings or Documents",
        of_mapping="list(documents.values()), or [documents] if it is a document itself",
        of_table="documents.to_dict('records')",
    )
    return [_text(i, document, fields) for i, document in enumerate(listed)]


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
        {"index": place.index, "relevance_score": place.ranked.score} | outcome.notes(place)
        for place in outcome.places
        if place.ranked is not None
    ]
