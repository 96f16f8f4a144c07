"""Embeddings as arrays: kept in files, checked, and compared.

Knows nothing of texts, models or collections.
"""

import pathlib
from collections.abc import Sequence
from typing import TypeAlias

from zelo.errors import MissingExtraError, ScoringError

try:
    import numpy as np
    from numpy.typing import NDArray
except ImportError as error:
    raise MissingExtraError("dense retrieval", "eval") from error

__all__ = ["Vectors", "checked", "nearest", "read", "stack", "write"]

Vectors: TypeAlias = "NDArray[np.float32]"
"""One row per text, [texts, dimensions], not necessarily of length 1."""

QUERIES, DOCUMENTS = 256, 4_096
"""How many are compared at once; their cosines take 8 MB."""
PRECISION = 2.0**-24
"""Of a cosine: that of float32 near 1. Computed in float64, it is good to a millionth of that."""
FILE = "vectors.npy"


def checked(vectors: Vectors, count: int) -> Vectors:
    """Return the vectors of `count` texts as float32, if that is what they are.

    Raises:
        ScoringError: there are more or fewer, or some hold NaN or infinity.
    """
    if vectors.ndim != 2 or len(vectors) != count:
        message = (
            f"the embedding model gave an array of shape {vectors.shape} for {count} texts; it "
            "must give one vector per text"
        )
        raise ScoringError(message)
    bad = count - int(np.isfinite(vectors).all(axis=1).sum())
    if bad:
        message = (
            f"the embedding model gave NaN or infinity for {bad} of {count} texts, so none can be "
            "said to be nearest; check its weights, or use another model"
        )
        raise ScoringError(message)
    return vectors.astype(np.float32, copy=False)


def read(folder: pathlib.Path, count: int) -> Vectors:
    """Return the vectors of `count` texts that `write` left in a folder."""
    return checked(np.load(folder / FILE, allow_pickle=False), count)


def write(vectors: Vectors, folder: pathlib.Path) -> None:
    """Write vectors to a file in a folder."""
    np.save(folder / FILE, vectors, allow_pickle=False)


def stack(blocks: Sequence[Vectors]) -> Vectors:
    """Return the rows of all blocks, one block after the other."""
    return np.concatenate(blocks)


def nearest(queries: Vectors, documents: Vectors, count: int) -> list[list[tuple[int, float]]]:
    """Return, per query, the `count` nearest documents as (index, cosine).

    Best first, equal cosines in the order of the documents. The search is exact: every query is
    compared with every document. A vector of zeros points nowhere; its cosine is 0 with any other.
    """
    starts = range(0, len(queries), QUERIES)
    return [
        row
        for start in starts
        for row in _nearest(_unit(queries[start : start + QUERIES]), documents, count)
    ]


def _nearest(
    queries: "NDArray[np.float64]", documents: Vectors, count: int
) -> list[list[tuple[int, float]]]:
    indices = np.empty((len(queries), 0), dtype=np.int64)
    cosines = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(documents), DOCUMENTS):
        block = _unit(documents[start : start + DOCUMENTS])
        # Products differ in their last bits with the place in a block; equal vectors shall tie.
        rounded = (np.rint(queries @ block.T / PRECISION) * PRECISION).astype(np.float32)
        cosines = np.concatenate([cosines, rounded], axis=1)
        places = np.arange(start, start + len(block))
        indices = np.concatenate([indices, np.tile(places, (len(queries), 1))], axis=1)
        # What was kept stands before the block, so a stable sort leaves ties in document order.
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        cosines = np.take_along_axis(cosines, order, axis=1)
        indices = np.take_along_axis(indices, order, axis=1)
    return [
        list(zip(*row, strict=True)) for row in zip(indices.tolist(), cosines.tolist(), strict=True)
    ]


def _unit(vectors: Vectors) -> "NDArray[np.float64]":
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(lengths == 0, 1.0, lengths)
