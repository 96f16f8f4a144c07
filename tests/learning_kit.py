"""Tiny things to learn: a student of the tiny model, and queries with random targets."""

import random
from pathlib import Path
from typing import Any

import torch
from tiny import PARAGRAPHS
from torch import Tensor

from zelo.local.packing import Part
from zelo.scoring.options import Limits
from zelo.training.learning import Example, Learning, Student, load_student

WORDS = " ".join(PARAGRAPHS).split()


def settings(**changed: Any) -> Learning:
    """Return settings for some eight steps on the CPU in float32."""
    usual: dict[str, Any] = {"learning_rate": 1e-3, "tokens_per_step": 150, "precision": "float32"}
    return Learning(**usual | changed)


def student(folder: Path, learning: Learning | None = None) -> Student:
    """Return a student of a model folder."""
    return load_student(str(folder), learning or settings(), device="cpu")


def words(generator: random.Random, count: int) -> str:
    """Return random words."""
    return " ".join(generator.choices(WORDS, k=count))


def queries(count: int, documents: int = 4, seed: int = 0) -> list[tuple[str, list[str]]]:
    """Return random queries with random documents of different lengths."""
    generator = random.Random(seed)  # noqa: S311 - repeatable, not secret
    return [
        (words(generator, 4), [words(generator, generator.randint(2, 9)) for _ in range(documents)])
        for _ in range(count)
    ]


def examples(of: Student, count: int, documents: int = 4, seed: int = 0) -> list[Example]:
    """Return random queries as a student reads them, with random targets in [0, 1]."""
    generator = random.Random(seed)  # noqa: S311 - repeatable, not secret
    found = []
    for query, texts in queries(count, documents, seed):
        encoded = of.encoder.encode(query, texts, None, Limits(2_048))
        suffixes = [encoded.suffixes[slot.suffixes.start] for slot in encoded.slots]
        targets = [generator.random() for _ in texts]
        found.append(Example(Part(encoded.prefix, suffixes), targets))
    return found


def squares(logits: Tensor, targets: Tensor) -> Tensor:
    """A loss: the squared error of the probability."""
    return (torch.sigmoid(logits / 5) - targets).square()


def weights(of: Student) -> dict[str, Tensor]:
    """Return copies of all parameters, float32."""
    return {name: value.detach().float().clone() for name, value in of.named_parameters()}


def gradients(of: Student) -> dict[str, Tensor]:
    """Return copies of all gradients."""
    return {n: p.grad.clone() for n, p in of.named_parameters() if p.grad is not None}
