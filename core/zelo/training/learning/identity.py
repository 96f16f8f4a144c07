"""What the result of a training run depends on: data, model, loss and settings."""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import torch

from zelo.training.learning.examples import Example
from zelo.training.learning.settings import Learning

__all__ = ["identity"]

UNTOLD = ("checkpoint_every",)
"""Settings that change nothing in the result."""


def identity(
    model: torch.nn.Module,
    examples: Sequence[Example],
    held_out: Sequence[Example],
    loss: Callable[..., object],
    learning: Learning,
    rounds: int,
) -> dict[str, Any]:
    """Return it by name, as JSON holds it; large things as digests, a loss as its name."""
    settings = {name: value for name, value in asdict(learning).items() if name not in UNTOLD}
    return {
        "examples": _digest_of_examples(examples),
        "held_out": _digest_of_examples(held_out),
        "model": _digest_of_weights(model),
        "loss": getattr(loss, "__qualname__", type(loss).__qualname__),
        "rounds": rounds,
        **settings,
    }


def _digest_of_examples(examples: Iterable[Example]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for (prefix, suffixes), targets in examples:
        digest.update(len(suffixes).to_bytes(8))
        for ids in (prefix, *suffixes):
            digest.update(len(ids).to_bytes(8))
            digest.update(array("i", ids).tobytes())
        digest.update(array("d", targets).tobytes())
    return digest.hexdigest()


def _digest_of_weights(model: torch.nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, parameter in model.named_parameters():
        digest.update(name.encode())
        flat = parameter.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
