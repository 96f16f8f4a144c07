"""Reranking by a chat model that puts whole lists of documents in order."""

from zelo.evaluation.listwise.reranker import Listwise

__all__ = ["Listwise"]
