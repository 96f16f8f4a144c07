"""The suite's workloads by name. Lengths in tokens; texts are written in `zelo.bench.workloads`.

A prefix is the query with the frame around it, 8 tokens of Qwen3's tokenizer; what is a document's
own is its text with the frame behind it, 5 tokens. `short`, `rag` and `instruction` follow a
log-normal law of sigma 0.5, cut at 8 and at four times the mean.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from zelo.bench.suite.scale import Scale
from zelo.bench.workloads import Workload, Writer
from zelo.bulk.plan.frames import Frame
from zelo.local.prompt import PromptEncoder
from zelo.scoring.options import Limits

__all__ = ["CURVES", "NAMED", "STREAM", "frame_of", "memory_workload", "stream", "workload_named"]

SEED = 20_261_122
SIGMA = 0.5
SHORTEST, LONGEST = 8, 4  # tokens; means
STREAM = "many-queries"
STREAM_DOCUMENTS, STREAM_MEAN = 25, 150
MEMORY_MEAN = 400
PAYLOAD_CHARACTERS, PAYLOAD_TOKENS = 1_500, 348
"""Of one document: 75 kB in 50 documents were 17,400 tokens of Qwen3's tokenizer."""

Lengths = Callable[[np.random.Generator, int], np.ndarray]
"""Own tokens of so many documents."""


def _log_normal(mean: int) -> Lengths:
    def draw(random: np.random.Generator, documents: int) -> np.ndarray:
        normal = random.normal(np.log(mean) - SIGMA**2 / 2, SIGMA, documents)
        return np.exp(normal).clip(SHORTEST, LONGEST * mean)

    return draw


def _uniform(shortest: int, longest: int) -> Lengths:
    return lambda random, documents: random.integers(shortest, longest + 1, documents)


class Recipe(NamedTuple):
    """One query with documents of its own length each."""

    prefix: int
    documents: int
    lengths: Lengths


NAMED: dict[str, Recipe | int] = {
    "short": Recipe(40, 100, _log_normal(128)),
    "rag": Recipe(40, 100, _log_normal(400)),
    "instruction": Recipe(512, 100, _log_normal(256)),
    "polaria": Recipe(20, 100, _uniform(305, 505)),
    "polaria-long-query": Recipe(308, 100, _uniform(305, 505)),
    "payload-75kB": 50,
    "small": Recipe(20, 10, _uniform(105, 105)),
}
"""By name; a number is of documents of 1.5 kB. Texts of 300 to 500 tokens, and of 100, have 5 more
with their frame."""
CURVES: dict[str, Recipe | int] = {
    **{f"documents-{n}": Recipe(40, n, _log_normal(200)) for n in (10, 30, 100, 300)},
    **{f"payload-{n * 3 // 2}kB": n for n in (10, 30, 150)},
}
"""Further points of the chart."""


def frame_of(encoder: PromptEncoder) -> Frame:
    """Return how many tokens a prompt has beside its query and its document."""
    # letters, of a token each; two documents, so that what they share becomes the prefix
    encoded = encoder.encode("q", ["a", "b"], None, Limits(max_tokens=1_000))
    return Frame(len(encoded.prefix) - 1, len(encoded.suffixes[0]) - 1)


def workload_named(name: str, writer: Writer, scale: Scale, frame: Frame) -> Workload:
    """Return one of the workloads, the same at every call; smaller where the scale is."""
    recipes = NAMED | CURVES
    recipe = recipes[name]
    random = np.random.default_rng([SEED, list(recipes).index(name)])
    if isinstance(recipe, int):
        size = PAYLOAD_TOKENS // scale.shorter, PAYLOAD_CHARACTERS // scale.shorter
        return writer.payload(name, random, _fewer(recipe, scale), *size)
    return _written(name, random, recipe, writer, scale, frame)


def stream(writer: Writer, scale: Scale, frame: Frame) -> list[Workload]:
    """Return the calls of `many-queries`, no text twice."""
    random = np.random.default_rng([SEED, 1_000])
    recipe = Recipe(20, STREAM_DOCUMENTS, _log_normal(STREAM_MEAN))
    return [
        _written(STREAM, random, recipe, writer, scale, frame) for _ in range(scale.stream_calls)
    ]


def memory_workload(writer: Writer, scale: Scale, frame: Frame) -> Workload:
    """Return documents that fill two of the packs whose memory is measured."""
    random = np.random.default_rng([SEED, 2_000])
    recipe = Recipe(
        40, 2 * scale.pack_tokens * scale.shorter // MEMORY_MEAN, _log_normal(MEMORY_MEAN)
    )
    return _written("pack-32k", random, recipe, writer, replace(scale, fewer=1), frame)


def _written(
    name: str,
    random: np.random.Generator,
    recipe: Recipe,
    writer: Writer,
    scale: Scale,
    frame: Frame,
) -> Workload:
    own = recipe.lengths(random, _fewer(recipe.documents, scale)) / scale.shorter
    words = [max(1, round(tokens) - frame.own) for tokens in own.tolist()]
    query = max(1, recipe.prefix // scale.shorter - frame.shared)
    return writer.workload(name, random, query, words)


def _fewer(documents: int, scale: Scale) -> int:
    return max(2, documents // scale.fewer)
