"""A reranker as a step of a chain. Apart, as its base class brings langsmith: 0.2 s at import."""

from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config

from langchain_zelo.rerank import RerankInput, ZeloRerank

__all__ = ["RerankStep"]


class RerankStep(Runnable[RerankInput, list[Document]]):
    """Reranks, in a run whose metadata says how.

    Not a `RunnableLambda` with a config: that one takes what a config of its own lacks from the
    context, and so its run would stand below another than the one whose callbacks were given.
    """

    def __init__(self, reranker: ZeloRerank) -> None:
        self.name = type(reranker).__name__
        self._reranker = reranker
        # what takes a config is called with one, which the types of these two do not say
        self._compress: Any = reranker._compress
        self._acompress: Any = reranker._acompress

    def invoke(
        self, input: RerankInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the best documents."""
        told = self._told(config)
        found: list[Document] = self._call_with_config(self._compress, input, told, **kwargs)
        return found

    async def ainvoke(
        self, input: RerankInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        """`invoke` for event loops."""
        told = self._told(config)
        return await self._acall_with_config(self._acompress, input, told, **kwargs)

    def _told(self, config: RunnableConfig | None) -> RunnableConfig:
        """Add to the run's metadata what ranks and what is asked for, but for what is not chosen.

        A commit that is resolved when the model is loaded is told from the next call on.
        """
        rerank, config = self._reranker, ensure_config(config)
        told = {
            "model": rerank.model,
            "commit": rerank._scoring.commit,
            "top_n": rerank.top_n,
            "min_score": rerank.min_score,
            "instruction": rerank.instruction,
        }
        chosen = {name: value for name, value in told.items() if value is not None}
        config["metadata"] = config["metadata"] | chosen
        return config
