"""The layout of one ragged sequence that holds several queries with their documents.

A pack has no padding. Each query's shared prefix stands in it once, followed by the rest of every
prompt; positions restart behind the prefix, so each prompt is numbered as if it stood alone:

    prefix A | suffix A1 | suffix A2 | prefix B | suffix B1 | ...

Knows lengths and places, nothing of tensors' contents, models or callers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

__all__ = ["Pack", "Part", "Segment", "build_pack"]


class Part(NamedTuple):
    """What one query contributes to a pack: prompts are `prefix + suffix`."""

    prefix: list[int]
    suffixes: list[list[int]]


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


@dataclass(frozen=True, slots=True)
class Pack:
    """Everything a forward pass needs, T tokens and N prompts."""

    ids: torch.Tensor
    """Token ids (T,), int64."""
    positions: torch.Tensor
    """Position of each token in its own prompt (T,), int64."""
    last_rows: torch.Tensor
    """Row of each prompt's last token (N,), int64."""
    segments: list[Segment]
    """What attends to what, for every row."""
    last_segments: list[Segment]
    """What attends to what when only the N last rows ask, as in the last layer."""


def build_pack(parts: Sequence[Part], device: torch.device) -> Pack:
    """Lay out the parts one after another; prompts keep their order."""
    ids: list[int] = []
    positions: list[int] = []
    last_rows: list[int] = []
    segments: list[Segment] = []
    last_segments: list[Segment] = []
    for prefix, suffixes in parts:
        prefix_start, prefix_length = len(ids), len(prefix)
        if prefix:
            ids += prefix
            positions += range(prefix_length)
            segments.append(Segment(prefix_start, prefix_length, 0, 0, prefix_start, prefix_length))
        for suffix in suffixes:
            keys = (prefix_start, prefix_length, len(ids), len(suffix))
            segments.append(Segment(len(ids), len(suffix), *keys))
            last_segments.append(Segment(len(last_rows), 1, *keys))
            ids += suffix
            positions += range(prefix_length, prefix_length + len(suffix))
            last_rows.append(len(ids) - 1)
    return Pack(
        torch.tensor(ids, device=device),
        torch.tensor(positions, device=device),
        torch.tensor(last_rows, device=device),
        segments,
        last_segments,
    )
