"""The layout of one ragged sequence that holds several queries with their documents.

A pack has no padding. Each query's shared prefix stands in it once, and the rest of every prompt
behind all prefixes; positions restart behind the prefix, so each prompt is numbered as if it stood
alone:

    prefix A | prefix B | suffix A1 | suffix A2 | suffix B1 | ...

Knows lengths and places, nothing of tensors' contents, models or callers.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zelo.local.ragged import Ragged, Segment, Way, gathered_layout, merged_layout
from zelo.local.transfer import move

__all__ = ["Pack", "Part", "build_pack", "choose_way"]

COPIES_PER_ROW = 2
"""From so many copied prefix rows for each row of a document on, the merged way moves fewer bytes.
Copying a row reads and writes its keys and values, 8 kB with the 8 heads of zerank-2; merging
reads two results and writes one, 24 kB with its 32 heads. An estimate: not measured on a card."""
COPIES_THAT_MATTER = 8_192
"""Up to so many copied prefix rows the gathered way stays. They are 67 MB, 17 us at 4 TB/s, and
launching the merged way's second call takes a host about as long. An estimate likewise."""


class Part(NamedTuple):
    """What one query contributes to a pack: prompts are `prefix + suffix`."""

    prefix: list[int]
    suffixes: list[list[int]]


@dataclass(frozen=True, slots=True)
class Pack:
    """Everything a forward pass needs, T tokens and N prompts."""

    ids: Tensor
    """Token ids (T,), int64."""
    positions: Tensor
    """Position of each token in its own prompt (T,), int64."""
    last_rows: Tensor
    """Row of each prompt's last token (N,), int64."""
    segments: list[Segment]
    """What attends to what, for every row."""
    last_segments: list[Segment]
    """What attends to what when only the N last rows ask, as in the last layer."""
    ragged: Ragged | None = None
    """The same on the device, for a ragged kernel; None where none was expected."""


def build_pack(parts: Sequence[Part], device: torch.device, way: Way | None = None) -> Pack:
    """Lay out the parts one after another; prompts keep their order.

    Args:
        parts: at least one; each has a suffix or more, and no suffix is empty.
        device: where the tensors go, on a CUDA device in one copy that nothing waits for.
        way: how a ragged kernel is to share prefixes. None chooses by their lengths on a CUDA
            device, and lays out nothing for a ragged kernel elsewhere. What shares nothing, a
            single prompt or one without a prefix, is gathered in any case.
    """
    ids: list[int] = []
    segments: list[Segment] = []
    last_segments: list[Segment] = []
    prefixes: list[tuple[int, int]] = []
    for prefix, _ in parts:
        start, length = len(ids), len(prefix)
        prefixes.append((start, length))
        if prefix:
            segments.append(Segment(start, length, 0, 0, start, length))
        ids += prefix
    for (_, suffixes), shared in zip(parts, prefixes, strict=True):
        for suffix in suffixes:
            keys = (*shared, len(ids), len(suffix))
            segments.append(Segment(len(ids), len(suffix), *keys))
            last_segments.append(Segment(len(last_segments), 1, *keys))
            ids += suffix
    if way is None and device.type == "cuda":
        way = choose_way(parts)
    last_rows = [segment.own_start + segment.own_length - 1 for segment in last_segments]
    host = _integers(ids), _positions(segments), _integers(last_rows)
    ragged = _ragged(parts, segments, last_segments, host[2], way)
    tensors, ragged = move((host, ragged), device)
    return Pack(*tensors, segments, last_segments, ragged)


def _integers(values: list[int]) -> Tensor:
    """Return a tensor (n,), int64: as torch.tensor does, in an eighth of its time."""
    return torch.frombuffer(array("q", values), dtype=torch.int64)


def _positions(segments: list[Segment]) -> Tensor:
    """Number each row in its own prompt."""
    table = torch.tensor(segments)  # (S, 6), columns as in Segment
    offsets, lengths = table[:, 3] - table[:, 0], table[:, 1]
    return torch.arange(int(lengths.sum())) + torch.repeat_interleave(offsets, lengths)


def choose_way(parts: Sequence[Part]) -> Way:
    """Return the way that shares prefixes at the lesser cost, as far as it can be told."""
    copies = sum(len(part.prefix) * len(part.suffixes) for part in parts)
    rows = sum(len(suffix) for part in parts for suffix in part.suffixes)
    return "merged" if copies > max(COPIES_THAT_MATTER, COPIES_PER_ROW * rows) else "gathered"


def _ragged(
    parts: Sequence[Part],
    segments: list[Segment],
    last_segments: list[Segment],
    last_rows: Tensor,
    way: Way | None,
) -> Ragged | None:
    if way is None:
        return None
    if way == "merged" and len(last_segments) > 1 and all(part.prefix for part in parts):
        return merged_layout(segments, [len(part.suffixes) for part in parts], last_rows)
    return gathered_layout(segments, last_segments, last_rows)
