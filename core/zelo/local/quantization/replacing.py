"""Puts quantised projections in the place of a backbone's own, one at a time.

Knows where projections are, nothing of number formats.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from zelo.errors import InputError
from zelo.local.quantization.methods import METHODS
from zelo.scoring.options import Quantization

__all__ = ["quantize"]


def quantize(
    backbone: torch.nn.Module,
    name: Quantization,
    prepare: Callable[[torch.nn.Module], None] = lambda projection: None,
) -> None:
    """Replace q, k, v, o, gate, up and down of every decoder layer, in place.

    A projection is freed before the next one is converted, so a model does not stand in memory
    twice, and not even once where `prepare` is what gives a projection its weights. Embeddings and
    norms stay as they are.

    Args:
        backbone: a Qwen3 model without its vocabulary projection, its last layer wrapped or not.
        name: the way; `check_quantization` tells whether a device has it.
        prepare: called with each projection, right before it is converted.

    Raises:
        InputError: a projection's widths do not suit the kernel; nothing has been changed.
        ValueError: there is nothing to quantise, because it was done before.
    """
    layers: Any = backbone.layers
    method = METHODS[name]
    places = [place for layer in layers for place in _projections(layer)]
    if not places:
        raise ValueError("the backbone has no projection left to quantise")
    for place in places:
        _check_widths(place.projection, name, method.multiple)
    for place in places:
        prepare(place.projection)
        # nothing but the model holds the projection, so it is freed here
        setattr(place.parent, place.name, method(place.projection))


class _Place(NamedTuple):
    """Where a projection stands."""

    parent: torch.nn.Module
    name: str

    @property
    def projection(self) -> torch.nn.Linear:
        """What stands there now."""
        found: torch.nn.Linear = getattr(self.parent, self.name)
        return found


def _projections(layer: torch.nn.Module) -> list[_Place]:
    """Return the places of a layer's projections that are not quantised."""
    return [
        _Place(parent, name)
        for parent in layer.modules()
        for name, child in parent.named_children()
        if isinstance(child, torch.nn.Linear)
    ]


def _check_widths(linear: torch.nn.Linear, name: Quantization, multiple: int) -> None:
    widths = linear.in_features, linear.out_features
    if any(width % multiple for width in widths):
        message = (
            f"quantization={name!r} needs projections whose widths are multiples of {multiple}, "
            f"and this model has one of {widths[0]} by {widths[1]}; leave it out, or use "
            "'int8-weights' or 'int4-weights', which take any"
        )
        raise InputError(message)
