"""First stages: what finds the candidates that a reranker then orders.

Importing this package imports nothing heavy; each name below brings its module when it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zelo.retrieval.bm25 import BM25, BM25Stage, Candidate
    from zelo.retrieval.cache import Cache
    from zelo.retrieval.dense import DenseStage
    from zelo.retrieval.embedding import Encoder
    from zelo.retrieval.endpoint_encoder import EndpointEncoder
    from zelo.retrieval.external import FunctionStage, GivenStage, RunStage
    from zelo.retrieval.fusion import HybridStage
    from zelo.retrieval.local_encoder import LocalEncoder
    from zelo.retrieval.stage import FirstStage, Retrieved, Run

__all__ = [
    "BM25",
    "BM25Stage",
    "Cache",
    "Candidate",
    "DenseStage",
    "Encoder",
    "EndpointEncoder",
    "FirstStage",
    "FunctionStage",
    "GivenStage",
    "HybridStage",
    "LocalEncoder",
    "Retrieved",
    "Run",
    "RunStage",
]

_MODULES = {
    "bm25": ("BM25", "BM25Stage", "Candidate"),
    "cache": ("Cache",),
    "dense": ("DenseStage",),
    "embedding": ("Encoder",),
    "endpoint_encoder": ("EndpointEncoder",),
    "external": ("FunctionStage", "GivenStage", "RunStage"),
    "fusion": ("HybridStage",),
    "local_encoder": ("LocalEncoder",),
    "stage": ("FirstStage", "Retrieved", "Run"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import the module of a name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
