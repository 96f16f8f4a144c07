"""Any retriever, with its results reranked, as a retriever again."""

from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, RetrieverLike
from pydantic import ConfigDict, Field

from langchain_zelo.rerank import ZeloRerank
from zelo.adapters import Numeric

__all__ = ["RerankRetriever"]


class RerankRetriever(BaseRetriever):
    """Fetches with a retriever, returns the best of it in a zerank model's order.

    `RerankRetriever(base_compressor=ZeloRerank(), base_retriever=retriever, k=5)` stands wherever a
    retriever stands: in chains, graphs and tools. Its fields are those of langchain-classic's
    `ContextualCompressionRetriever`, which it replaces without that package, and more can be said
    per call: `invoke(query, k=1, min_score=0.5, instruction="...")`. Further arguments of a call
    reach the base retriever.
    """

    base_compressor: ZeloRerank = Field(default_factory=ZeloRerank)
    """The reranker."""
    base_retriever: RetrieverLike
    """Where the candidates come from; let it return many more than `k`."""
    k: Numeric[int | None] = Field(default=None, ge=1)
    """How many documents are returned; default, the reranker's `top_n`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **arguments: Any
    ) -> list[Document]:
        reranker, further = self._for_call(arguments)
        callbacks = run_manager.get_child()
        found = self.base_retriever.invoke(query, {"callbacks": callbacks}, **further)
        return list(reranker.compress_documents(found, query, callbacks))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **arguments: Any
    ) -> list[Document]:
        reranker, further = self._for_call(arguments)
        callbacks = run_manager.get_child()
        found = await self.base_retriever.ainvoke(query, {"callbacks": callbacks}, **further)
        return list(await reranker.acompress_documents(found, query, callbacks))

    def _for_call(self, arguments: dict[str, Any]) -> tuple[ZeloRerank, dict[str, Any]]:
        """Return the reranker with this call's options, and what is meant for the retriever."""
        options = {"k": self.k} | arguments
        k = options.pop("k")
        changes = {} if k is None else {"top_n": k}
        for name in ("min_score", "instruction"):
            if name in options:
                changes[name] = options.pop(name)
        return self.base_compressor.with_options(**changes), options
