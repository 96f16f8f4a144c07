"""zerank rerankers as a LlamaIndex node postprocessor."""

from llama_index.postprocessor.zelo.base import ZeloRerank

__all__ = ["ZeloRerank"]
