"""First stages: what makes the candidates that a reranker then orders."""

from zelo.retrieval.bm25 import BM25, Candidate

__all__ = ["BM25", "Candidate"]
