"""Pairs with a planted preference, for a pairwise model of any size to learn in seconds.

Documents say how much of something there is, in one word; more is better. Three teachers see it
with noise, each its own, and their mean is the ensemble's preference.
"""

import random
from pathlib import Path
from typing import Any, NamedTuple

import tiny
import torch
from safetensors.torch import load_file

from zelo.training.judges import Pair, Side
from zelo.training.learning import Learning, load_student
from zelo.training.pairs import sample
from zelo.training.pairwise.distill import Distilled, distill
from zelo.training.pairwise.folder import save_pairwise
from zelo.training.pairwise.prompt import Reading
from zelo.training.records import Candidates, Document, Preferences, Query, write_records

__all__ = [
    "NOISE",
    "WORDS",
    "Planted",
    "beginner",
    "distilled",
    "pair",
    "planted",
    "untrained",
]

WORDS = ("cold", "grey", "old", "stone", "spring", "water", "town", "river")
"""From worst to best; each is a token or two of the tiny tokenizer."""
NOISE = {"sober": 0.05, "tired": 0.15, "drunk": 0.35}
"""How often each teacher says the opposite of the truth."""


class Planted(NamedTuple):
    """What distilling reads."""

    preferences: Path
    candidates: Path


def planted(folder: Path, *, queries: int = 40, documents: int = 8, seed: int = 0) -> Planted:
    """Write candidates and their preferences."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    candidates, lines = [], []
    for number in range(queries):
        query = Query(id=f"q{number}", query=f"number {number}")
        words = {f"d{place}": rng.choice(WORDS) for place in range(documents)}
        shown = [Document(id=doc_id, content=word) for doc_id, word in words.items()]
        candidates.append(Candidates(query=query, documents=shown))
        pairs = sample(query.id, list(words), cycles=3, seed=seed).pairs
        truth = [better(words[one], words[other]) for one, other in pairs]
        votes = {name: [_vote(x, noise, rng) for x in truth] for name, noise in NOISE.items()}
        means = [sum(said) / len(said) for said in zip(*votes.values(), strict=True)]
        lines.append(Preferences(query=query.id, pairs=pairs, preferences=means, votes=votes))
    found = Planted(folder / "preferences.jsonl", folder / "candidates.jsonl")
    write_records(found.preferences, lines)
    write_records(found.candidates, candidates)
    return found


def better(first: str, second: str) -> float:
    """The truth of two documents."""
    one, other = WORDS.index(first), WORDS.index(second)
    return 0.5 if one == other else float(one > other)


def beginner(folder: Path) -> Path:
    """Write a tiny model that knows nothing yet: small weights, so that it learns fast."""
    tiny.save_causal(folder)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    small = {n: torch.ones_like(t) if "norm" in n else 0.1 * t for n, t in tensors.items()}
    tiny.save_tensors(path, small)
    return folder


def distilled(files: Planted, model: Path, out: Path, **options: Any) -> Distilled:
    """Teach a tiny model the planted preferences."""
    held_out = options.pop("held_out", 0.2)
    on_progress = options.pop("on_progress", None)
    settings: dict[str, Any] = {
        "epochs": 3,
        "learning_rate": 3e-3,
        "tokens_per_step": 400,
        "precision": "float32",
        "checkpoint_every": 999,  # with each, the curve is drawn anew
    }
    return distill(
        files.preferences,
        files.candidates,
        out,
        model=str(model),
        learning=Learning(**(settings | options)),
        held_out=held_out,
        device="cpu",
        on_progress=on_progress,
    )


def untrained(model: Path, folder: Path, **reading: Any) -> Path:
    """Write a pairwise model that never learned anything, with another model's weights."""
    student = load_student(str(model), Learning(precision="float32"), device="cpu")
    folder.mkdir()
    save_pairwise(student, folder, Reading(**({"max_tokens": 512} | reading)))
    return folder


def pair(query: str, first: str, second: str, other: str | None = None) -> Pair:
    """A pair of these texts; with another query, across the two."""
    if other is None:
        return Pair(Side("1", query, "a", first), Side("1", query, "b", second))
    return Pair(Side("1", query, "a", first), Side("2", other, "b", second))


def _vote(truth: float, noise: float, rng: random.Random) -> float:
    return 1 - truth if rng.random() < noise else truth
