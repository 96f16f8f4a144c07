"""zerank rerankers for LangChain: a document compressor, a cross-encoder and a retriever."""

from typing import TYPE_CHECKING, Any

from langchain_zelo.cross_encoder import ZeloCrossEncoder
from langchain_zelo.rerank import ZeloRerank

if TYPE_CHECKING:
    from langchain_zelo.retriever import RerankRetriever

__all__ = ["RerankRetriever", "ZeloCrossEncoder", "ZeloRerank"]


def __getattr__(name: str) -> Any:
    """Import the retriever when it is asked for: its base class brings langsmith, half a second."""
    if name == "RerankRetriever":
        from langchain_zelo.retriever import RerankRetriever

        return RerankRetriever
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
