"""The course of a training run, as numbers. Knows nothing of models."""

from dataclasses import dataclass

__all__ = ["Learned", "Point"]


@dataclass(frozen=True, slots=True)
class Point:
    """How things stood after a number of steps."""

    step: int
    epoch: float
    loss: float | None
    """Mean over the prompts since the point before; None before the first step."""
    held_out: float | None
    """Mean loss of the held-out prompts; None where they were not looked at."""
    learning_rate: float
    tokens: int
    """Learned from, prefixes once."""
    seconds: float
    """At work, pauses between a stop and its resumption left out."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a training run came to."""

    points: tuple[Point, ...]
    steps: int
    tokens: int
    seconds: float
    best_step: int
    """The student has this step's weights: those of the lowest loss on held-out examples, the
    untrained ones among them; of the last step where nothing is held out."""
    held_out: float | None
    """Mean loss of the held-out prompts with these weights."""
