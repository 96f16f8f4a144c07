"""Texts to vectors, block by block, each block kept on disk as soon as it is done.

Knows neither models nor servers: an `Encoder` does the work. A run that breaks off goes on with
the block that it was at.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, Protocol

from zelo._common.journal import key_of
from zelo.retrieval.cache import Cache
from zelo.retrieval.vectors import Vectors, checked, read, stack, write
from zelo.scoring import Progress

__all__ = ["Encoder", "embed"]

BLOCK = 256
"""Texts between two writes: seconds of work, and enough to be batched by length."""


class Encoder(Protocol):
    """Embeds texts; queries and documents differently, where a model wants it."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the vectors depend on besides the texts, as JSON; kept vectors are found by it."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per query, float32 [texts, dimensions]."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per document; none of them is blank."""
        ...


def embed(
    encoder: Encoder,
    kind: Literal["queries", "documents"],
    texts: Sequence[str],
    cache: Cache,
    progress: Progress | None = None,
) -> Vectors:
    """Return the vectors of one or more texts, from the cache where it holds them.

    Raises:
        ScoringError: the encoder gave no usable vector for some text.
    """
    work = encoder.embed_queries if kind == "queries" else encoder.embed_documents

    def compute(block: Sequence[str]) -> Vectors:
        return checked(work(block), len(block))

    blocks = []
    for start in range(0, len(texts), BLOCK):
        block = texts[start : start + BLOCK]
        vectors = cache.recall(
            "embeddings",
            key_of(dict(encoder.identity), kind, block),
            read=partial(read, count=len(block)),
            make=partial(compute, block),
            write=write,
        )
        blocks.append(vectors)
        if progress is not None:
            progress(start + len(block), len(texts))
    return stack(blocks)
