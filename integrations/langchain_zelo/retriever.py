"""Any retriever, with its results reranked, as a retriever again."""

from collections.abc import Iterable
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever, RetrieverLike
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, patch_config, set_config_context
from langchain_core.runnables.utils import ConfigurableFieldSpec, coro_with_context
from pydantic import ConfigDict, Field, InstanceOf, model_validator

from langchain_zelo.rerank import ZeloRerank
from zelo._common.checks import in_order, positive
from zelo.adapters import Numeric
from zelo.adapters.foreign import refuse_foreign
from zelo.errors import InputError

__all__ = ["RerankRetriever"]


class RerankRetriever(BaseRetriever):
    """Fetches with a retriever, returns the best of it in a zerank model's order.

    `RerankRetriever(base_compressor=ZeloRerank(), base_retriever=retriever, k=5)` stands wherever a
    retriever stands: in chains, graphs and tools. Its fields are those of langchain-classic's
    `ContextualCompressionRetriever`, which it replaces without that package: any document
    compressor will do, such as a pipeline with a `ZeloRerank` in it. With a `MultiQueryRetriever`
    as `base_retriever`, what all its queries found is reranked for the question that was asked.

    More can be said per call: `k`, or `top_n`, and every option of `ZeloRerank` that can be
    assigned, as in `invoke(query, k=1, min_score=0.5, instruction="...")`. Further arguments of a
    call, and its whole config, reach the base retriever.
    """

    base_compressor: ZeloRerank | InstanceOf[BaseDocumentCompressor] = Field(
        default_factory=ZeloRerank
    )
    """The reranker, or another compressor."""
    base_retriever: RetrieverLike
    """Where the candidates come from; let it return many more than `k`."""
    k: Numeric[int | None] = Field(default=None, ge=1)
    """How many documents are returned at most; default, the reranker's `top_n`, or all that another
    compressor returns."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        hide_input_in_errors=True,  # it may hold an API key
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_options_of_the_reranker(cls, data: Any) -> Any:
        for name in data if isinstance(data, dict) else ():
            if name in ("top_n", "top_k"):
                raise InputError(f"{name}: here, `k`")
            if name in ZeloRerank.model_fields:
                raise InputError(f"{name}: write base_compressor=ZeloRerank({name}=...)")
        return data

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """What can be configured per call: whatever the base retriever lets one configure."""
        return self.base_retriever.config_specs

    def invoke(
        self, input: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the best documents for a query; see the class for what a call may say."""
        config = ensure_config(config)
        return super().invoke(input, config, of_caller=config, **kwargs)

    async def ainvoke(
        self, input: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        """`invoke` for event loops."""
        config = ensure_config(config)
        return await super().ainvoke(input, config, of_caller=config, **kwargs)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        of_caller: RunnableConfig | None = None,  # the framework hands on its callbacks alone
        **arguments: Any,
    ) -> list[Document]:
        compressor, k, further = self._for_call(arguments)
        callbacks = run_manager.get_child()
        config = patch_config(of_caller, callbacks=callbacks)

        def call() -> list[Document]:
            found = _listed(self.base_retriever.invoke(query, config, **further))
            if not found:
                return found
            return list(compressor.compress_documents(found, query, callbacks=callbacks))[:k]

        with set_config_context(config) as context:  # as a chain does for its steps
            return context.run(call)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        of_caller: RunnableConfig | None = None,
        **arguments: Any,
    ) -> list[Document]:
        compressor, k, further = self._for_call(arguments)
        callbacks = run_manager.get_child()
        config = patch_config(of_caller, callbacks=callbacks)

        async def call() -> list[Document]:
            found = _listed(await self.base_retriever.ainvoke(query, config, **further))
            if not found:
                return found
            kept = await compressor.acompress_documents(found, query, callbacks=callbacks)
            return list(kept)[:k]

        with set_config_context(config) as context:
            return await coro_with_context(call(), context)

    def _for_call(
        self, arguments: dict[str, Any]
    ) -> tuple[BaseDocumentCompressor, int | None, dict[str, Any]]:
        """Return the compressor with this call's options, its cut, and what is the retriever's."""
        compressor = self.base_compressor
        kind = type(compressor) if isinstance(compressor, ZeloRerank) else ZeloRerank
        own = kind.model_fields
        refuse_foreign(arguments, {*own, "k"})
        if {"k", "top_n"} <= arguments.keys():
            raise InputError("k and top_n say the same; give one of them")
        options = {name: value for name, value in arguments.items() if name in own}
        further = {name: arguments[name] for name in arguments.keys() - own.keys() - {"k"}}
        k = arguments.get("k", self.k)
        if k is not None:
            options.setdefault("top_n", k)
        if isinstance(compressor, ZeloRerank):
            return compressor.with_options(**options), None, further
        k = positive("k", options.pop("top_n", None))
        if options:
            message = (
                f"{', '.join(options)}: base_compressor is a {type(compressor).__name__}, and only "
                "a ZeloRerank takes options per call; give them to the one in it"
            )
            raise InputError(message)
        return compressor, k, further


def _listed(found: Iterable[Document]) -> list[Document]:
    return list(in_order("what base_retriever returned", found, "a list of Documents"))
