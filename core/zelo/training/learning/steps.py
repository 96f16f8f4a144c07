"""Which examples make a step, and how they are laid out: pure functions of seed and lengths.

Knows nothing of models. Neither packs nor processes change what a step's gradient is the mean of.
"""

import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zelo.local.packing import Pack, Part, build_pack
from zelo.training.learning.examples import Example, tokens_of

__all__ = ["Batch", "batches", "plan", "share"]


class Batch(NamedTuple):
    """What one forward pass takes."""

    pack: Pack
    targets: Tensor
    """Of the pack's prompts (N,), float32."""


def plan(
    sizes: Sequence[int], *, epochs: float, rounds: int, tokens_per_step: int, seed: int
) -> list[list[int]]:
    """Return the examples' places, step by step.

    Every epoch is a new order, cut into steps of about equal size: `tokens_per_step`, or what
    divides the epoch evenly. So a step depends on the seed and its number alone.

    Args:
        sizes: tokens of each example.
        epochs: may be broken; at least one example is taken.
        rounds: the examples are this many blocks of equal length, of which an epoch reads one.
        tokens_per_step: wanted size.
        seed: of the orders.
    """
    block = len(sizes) // rounds
    left = max(1, round(epochs * block))
    steps: list[list[int]] = []
    for epoch in range(math.ceil(left / block)):
        places = list(range(block))
        random.Random(f"{seed} {epoch}").shuffle(places)  # noqa: S311 - repeatable, not secret
        order = [epoch % rounds * block + place for place in places[:left]]
        steps += _cut(order, sizes, tokens_per_step)
        left -= block
    return steps


def share(examples: Sequence[Example], rank: int, processes: int) -> list[Example]:
    """Return one process's share of a step: the longest are dealt out first, to the least."""
    loads = [0] * processes
    mine = []
    for example in sorted(examples, key=tokens_of, reverse=True):
        least = loads.index(min(loads))
        loads[least] += tokens_of(example)
        if least == rank:
            mine.append(example)
    return mine


def batches(
    examples: Sequence[Example], tokens_per_pack: int, device: torch.device
) -> Iterator[Batch]:
    """Yield packs of at most so many tokens, prompts in order.

    An example that is too long is divided, and its prefix repeated; a single prompt that is too
    long is a pack of its own.
    """
    held: list[Example] = []
    room = tokens_per_pack
    for example in examples:
        for piece in _pieces(example, tokens_per_pack):
            size = tokens_of(piece)
            if held and size > room:
                yield _batch(held, device)
                held, room = [], tokens_per_pack
            held.append(piece)
            room -= size
    if held:
        yield _batch(held, device)


def _cut(order: Sequence[int], sizes: Sequence[int], tokens_per_step: int) -> list[list[int]]:
    """Cut an order where the tokens before reach an even share."""
    total = sum(sizes[place] for place in order)
    count = max(1, min(round(total / tokens_per_step), len(order)))
    steps: list[list[int]] = [[] for _ in range(count)]
    before = 0
    for place in order:
        steps[before * count // total].append(place)
        before += sizes[place]
    return [step for step in steps if step]


def _pieces(example: Example, most: int) -> Iterator[Example]:
    prefix, suffixes = example.part
    start, size = 0, len(prefix)
    for number, suffix in enumerate(suffixes):
        if number > start and size + len(suffix) > most:
            yield Example(Part(prefix, suffixes[start:number]), example.targets[start:number])
            start, size = number, len(prefix)
        size += len(suffix)
    yield Example(Part(prefix, suffixes[start:]), example.targets[start:])


def _batch(examples: Sequence[Example], device: torch.device) -> Batch:
    targets = [target for example in examples for target in example.targets]
    pack = build_pack([example.part for example in examples], device)
    return Batch(pack, torch.tensor(targets, dtype=torch.float32, device=device))
