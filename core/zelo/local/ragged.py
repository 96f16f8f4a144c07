"""Which query rows see which key rows, laid out for a kernel that takes segments of any length.

There are two ways to let many documents see their query's prefix, and both are exact:

    gathered  each document gets a copy of the prefix's keys and values before its own, so one call
              does everything
    merged    nothing is copied: one call for every row's own tokens, one in which all documents of
              a query ask the prefix, and the two results are merged by their log-sum-exp

Knows lengths and places; nothing of tokens, models or the kernel itself.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

__all__ = [
    "Gathered",
    "Merged",
    "Ragged",
    "Segment",
    "Segments",
    "Way",
    "gathered_layout",
    "merged_layout",
]

Way = Literal["gathered", "merged"]

ROUNDING = 128
"""Longest segments are given rounded up to this, a kernel's tile of query rows. It starts no more
tiles, and keeps the kernel from its other code for a single query row, and torch.compile from a
graph of its own for it."""


class Segment(NamedTuple):
    """A run of query rows and the key rows that they may see.

    Row i of the segment sees all prefix rows, and own rows up to `own_length - query_length + i`:
    causal, aligned at the end.
    """

    query_start: int
    query_length: int
    prefix_start: int
    prefix_length: int
    own_start: int
    own_length: int


class Segments(NamedTuple):
    """Bounds of S segments. Segment s has query rows `queries[s]` up to `queries[s + 1]`."""

    queries: Tensor
    """(S + 1,) int32, 0 first."""
    keys: Tensor
    """The same of key rows."""
    longest_query: int
    """Query rows of the longest segment, or more."""
    longest_key: int
    """The same of key rows."""


class Gathered(NamedTuple):
    """One call: keys and values are copied first, segment after segment."""

    key_rows: Tensor
    """Rows to copy (K,), int64."""
    segments: Segments


class Merged(NamedTuple):
    """Two calls. The first `prefix_rows` key rows are all prefixes, and the rest are documents."""

    own: Segments
    """What sees its own tokens: every row, or in the last layer each document's last."""
    prefix: Segments
    """The documents' rows of each query, and the query's prefix."""
    prefix_rows: int
    pruned: bool
    """Only last rows ask: there are no queries of prefixes."""


class Ragged(NamedTuple):
    """How a pack attends in all layers but the last, and there."""

    every: Gathered | Merged
    last: Gathered | Merged
    last_rows: Tensor
    """Rows that ask in the last layer, int64: each prompt's last, and for a single prompt that
    row twice, since torch.compile makes another graph for one row."""


def gathered_layout(
    segments: Sequence[Segment], last_segments: Sequence[Segment], last_rows: Tensor
) -> Ragged:
    """Lay out the gathered way, on the host."""
    if len(last_segments) == 1:
        last_segments, last_rows = [*last_segments] * 2, last_rows.repeat(2)
    return Ragged(_gathered(segments), _gathered(last_segments), last_rows)


def merged_layout(segments: Sequence[Segment], groups: Sequence[int], last_rows: Tensor) -> Ragged:
    """Lay out the merged way, on the host.

    Args:
        segments: all prefixes, then all documents in the order of their prefixes; as their rows
            lie in the pack. No prefix is empty, and there are two documents or more.
        groups: how many documents each prefix has.
        last_rows: row of each document's last token.
    """
    own = torch.tensor([segment.own_length for segment in segments])
    prefixes, documents = own[: len(groups)], own[len(groups) :]
    counts = torch.tensor(groups)
    rows = torch.stack([lengths.sum() for lengths in torch.split(documents, list(groups))])
    every = Merged(
        _bounds(own, own), _bounds(rows, prefixes), prefix_rows=int(prefixes.sum()), pruned=False
    )
    last = every._replace(
        own=_bounds(torch.ones_like(documents), documents),
        prefix=_bounds(counts, prefixes),
        pruned=True,
    )
    return Ragged(every, last, last_rows)


def _gathered(segments: Sequence[Segment]) -> Gathered:
    table = torch.tensor(segments)  # (S, 6), columns as in Segment
    starts, lengths = table[:, 2::2].flatten(), table[:, 3::2].flatten()  # prefix, own, prefix, ...
    key_rows = torch.arange(int(lengths.sum()))
    key_rows += torch.repeat_interleave(starts - lengths.cumsum(0) + lengths, lengths)
    return Gathered(key_rows, _bounds(table[:, 1], table[:, 3] + table[:, 5]))


def _bounds(queries: Tensor, keys: Tensor) -> Segments:
    return Segments(_sums(queries), _sums(keys), _longest(queries), _longest(keys))


def _sums(lengths: Tensor) -> Tensor:
    sums = torch.zeros(len(lengths) + 1, dtype=torch.int32)
    torch.cumsum(lengths, 0, out=sums[1:])
    return sums


def _longest(lengths: Tensor) -> int:
    return -(-int(lengths.max()) // ROUNDING) * ROUNDING
