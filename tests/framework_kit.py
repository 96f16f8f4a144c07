"""The adapters behind one handle, so that one test holds for every framework.

A `Face` turns plain texts into its framework's items, calls the adapter as that framework does,
and reads order and scores from what comes back. `RANKERS` rank; `FACES` also has the cross-encoder,
which only scores.
"""

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from langchain_core.documents import Document
from langchain_core.tracers import BaseTracer
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.zelo import ZeloRerank as LlamaIndexRerank

from langchain_zelo import ZeloCrossEncoder
from langchain_zelo import ZeloRerank as LangChainRerank

__all__ = [
    "BAD_OF_ANY",
    "BAD_OF_RANKERS",
    "FACES",
    "RANKERS",
    "URL",
    "Face",
    "Found",
    "Runs",
    "documents",
    "every_face",
    "every_ranker",
    "nodes",
    "of_documents",
    "of_nodes",
]


class Found(NamedTuple):
    """One item of an answer."""

    index: int
    """Position among the texts that were handed over."""
    score: float | None
    """What the adapter wrote into the item; None where it wrote nothing."""
    metadata: Mapping[str, Any]


class Runs(BaseTracer):
    """Keeps every run of LangChain's traces."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.seen.append(run)


@dataclass(frozen=True)
class Face:
    """One adapter, and how its framework calls it."""

    name: str
    adapter: type[Any]
    rank: Callable[[Any, str, Sequence[str]], list[Found]]
    """Rank texts with an adapter, blocking."""
    arank: Callable[[Any, str, Sequence[str]], Awaitable[list[Found]]]
    """The same, awaiting."""

    def make(self, model: str | os.PathLike[str], **options: Any) -> Any:
        """Make an adapter that computes as exactly as the tests compare."""
        return self.adapter(model=model, dtype="float32", device="cpu", **options)

    def run(self, way: str, adapter: Any, query: str, texts: Sequence[str]) -> list[Found]:
        """Rank texts, "waiting" or "awaiting"."""
        if way == "waiting":
            return self.rank(adapter, query, texts)
        return asyncio.run(_awaited(self.arank(adapter, query, texts)))

    def scores(self, adapter: Any, query: str, texts: Sequence[str]) -> list[float | None]:
        """Return the score of each text, in the order in which they were given."""
        if "top_n" in self.adapter.model_fields:
            adapter = adapter.with_options(top_n=None)
        return [found.score for found in sorted(self.rank(adapter, query, texts))]


def nodes(
    texts: Sequence[str], metadata: Sequence[Mapping[str, Any]] | None = None
) -> list[NodeWithScore]:
    """Return LlamaIndex's items, with the scores of a first stage that kept this order."""
    return [
        NodeWithScore(
            node=TextNode(text=text, id_=str(i), metadata=dict(metadata[i]) if metadata else {}),
            score=float(len(texts) - i),
        )
        for i, text in enumerate(texts)
    ]


def documents(
    texts: Sequence[str], metadata: Sequence[Mapping[str, Any]] | None = None
) -> list[Document]:
    """Return LangChain's items."""
    return [
        Document(text, id=str(i), metadata=dict(metadata[i]) if metadata else {})
        for i, text in enumerate(texts)
    ]


def of_nodes(answer: Sequence[NodeWithScore]) -> list[Found]:
    """Read an answer of LlamaIndex."""
    return [Found(int(item.node.node_id), item.score, item.node.metadata) for item in answer]


def of_documents(answer: Sequence[Document]) -> list[Found]:
    """Read an answer of LangChain."""
    return [
        Found(int(str(item.id)), item.metadata.get("relevance_score"), item.metadata)
        for item in answer
    ]


async def _awaited(answer: Awaitable[list[Found]]) -> list[Found]:
    return await answer


def _postprocess(adapter: Any, query: str, texts: Sequence[str]) -> list[Found]:
    return of_nodes(adapter.postprocess_nodes(nodes(texts), query_str=query))


async def _apostprocess(adapter: Any, query: str, texts: Sequence[str]) -> list[Found]:
    return of_nodes(await adapter.apostprocess_nodes(nodes(texts), query_str=query))


def _compress(adapter: Any, query: str, texts: Sequence[str]) -> list[Found]:
    return of_documents(adapter.compress_documents(documents(texts), query))


async def _acompress(adapter: Any, query: str, texts: Sequence[str]) -> list[Found]:
    return of_documents(await adapter.acompress_documents(documents(texts), query))


def _score(adapter: Any, query: str, texts: Sequence[str]) -> list[Found]:
    scores = adapter.score([(query, text) for text in texts])
    return [Found(i, score, {}) for i, score in enumerate(scores)]


async def _ascore(adapter: Any, query: str, texts: Sequence[str]) -> list[Found]:
    return await asyncio.to_thread(_score, adapter, query, texts)


RANKERS = (
    Face("llama-index", LlamaIndexRerank, _postprocess, _apostprocess),
    Face("langchain", LangChainRerank, _compress, _acompress),
)
FACES = (*RANKERS, Face("cross-encoder", ZeloCrossEncoder, _score, _ascore))

every_ranker = pytest.mark.parametrize("face", RANKERS, ids=lambda face: face.name)
every_face = pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)

URL = "https://user:pass-word@host.example/v1"

BAD = [
    ("model", 3),
    ("model", None),
    ("family", "bert"),
    ("cache_dir", 3),
    ("max_tokens", 0),
    ("max_tokens", "9"),
    ("max_document_tokens", -1),
    ("max_batch_tokens", 1.5),
    ("long_documents", "drop"),
    ("invalid_text", "drop"),
    ("quantization", "int3"),
    ("compile", "perhaps"),
    ("timeout", 0),
    ("timeout", "5"),
    ("max_retries", -1),
    ("strip", "perhaps"),
    ("local_files_only", "perhaps"),
    ("instruction", 3),
    ("progress", 3),
    ("api_key", 3),
    ("base_url", URL),
    ("tpo_n", 3),
]
BAD_OF_RANKERS = [
    ("top_n", 0),
    ("top_n", -1),
    ("top_n", 1.5),
    ("top_n", "all"),
    ("min_score", -0.1),
    ("min_score", 1.1),
    ("min_score", math.nan),
    ("min_score", "high"),
    ("on_error", "ignore"),
    ("on_error", None),
]
BAD_OF_ONE = [
    (RANKERS[0], "metadata_mode", "some"),
    (RANKERS[0], "keep_retrieval_score", "perhaps"),
    (RANKERS[1], "rank_fields", 3),
]
BAD_OF_ANY = [
    *[(face, *bad) for face in FACES for bad in BAD],
    *[(face, *bad) for face in RANKERS for bad in BAD_OF_RANKERS],
    *BAD_OF_ONE,
]
"""Options without meaning, for every face: a wrong type, a wrong range, or an unknown name."""
