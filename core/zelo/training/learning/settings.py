"""How a model is to be trained, as one checked value. Light: nothing of torch is imported."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from zelo.errors import InputError

__all__ = ["Learning", "Precision"]

Precision = Literal["bf16", "float32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """The settings of a training run.

    Raises:
        InputError: a value is not as it must be; the message names it.
    """

    epochs: float = 1.0
    """How often every example is seen; 0.5 is half of the examples once."""
    learning_rate: float = 2e-5
    """At its highest: it rises for `warmup`, then falls along half a cosine to 0."""
    warmup: float = 0.1
    """Share of the steps."""
    tokens_per_step: int = 65_536
    """About; a prefix that prompts share counts once. Gradients are added up over packs."""
    tokens_per_pack: int | None = None
    """What is in memory at once. None: 16,384 on an accelerator and 4,096 on a CPU."""
    weight_decay: float = 0.0
    """Of matrices; norms, embedding and score row are left alone."""
    clip_norm: float = 1.0
    seed: int = 0
    """Of the order of the examples, and of LoRA's first weights."""
    lora_rank: int = 0
    """0 trains all weights; above, low-rank updates of the backbone's linear layers alone."""
    lora_alpha: float | None = None
    """The update is scaled by alpha / rank. None: twice the rank, so that another rank learns at
    the same pace."""
    precision: Precision = "bf16"
    """bf16 computes in bfloat16 and keeps what it trains in float32 as well: 18 bytes for a weight
    that is trained and 2 for one that is not, against 16 and 4. On a CPU it takes one with
    instructions for bfloat16; there it is 1.7 times as fast, and faster than torch's autocast."""
    gradient_checkpointing: bool = False
    """Computes each layer twice, and holds the activations of one layer only."""
    keep_zeros: bool = False
    """Weights that are exactly 0 stay 0, so a constructed or pruned model keeps its shape."""
    embedding_rate: float = 1.0
    """Share of the learning rate for the embedding, and so for a score row that is tied to it: its
    rare rows see few gradients, which Adam blows up to full steps. 0 leaves it as it is."""
    evaluate_every: int | None = None
    """Steps from one look at the held-out examples to the next. None: a fifth of all."""
    checkpoint_every: int | None = None
    """Steps that a killed run loses at most. None: a tenth of all."""

    def __post_init__(self) -> None:
        """Check every value."""
        for name in ("epochs", "learning_rate", "clip_norm"):
            self._number(name, above=0)
        for name in ("weight_decay", "embedding_rate"):
            self._number(name, least=0)
        self._number("warmup", least=0, most=1)
        for name, least in (("tokens_per_step", 1), ("lora_rank", 0)):
            self._whole(name, least)
        for name in ("tokens_per_pack", "evaluate_every", "checkpoint_every"):
            if getattr(self, name) is not None:
                self._whole(name, 1)
        if self.lora_alpha is not None:
            self._number("lora_alpha", above=0)
        if type(self.seed) is not int:
            self._refuse("seed", "a whole number")
        if self.precision not in get_args(Precision):
            self._refuse("precision", " or ".join(get_args(Precision)))
        if self.keep_zeros and self.lora_rank:
            message = (
                "keep_zeros cannot be used with lora_rank: low-rank updates change every weight "
                "of a matrix. Train all weights (lora_rank=0), or leave keep_zeros out"
            )
            raise InputError(message)

    @property
    def lora_scale(self) -> float:
        """What LoRA's update is multiplied by."""
        alpha = 2 * self.lora_rank if self.lora_alpha is None else self.lora_alpha
        return alpha / max(1, self.lora_rank)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, 0 the first of `steps`."""
        rising = round(self.warmup * steps)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        done = (step - rising) / max(1, steps - rising)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))

    def _number(
        self,
        name: str,
        *,
        above: float | None = None,
        least: float | None = None,
        most: float = math.inf,
    ) -> None:
        value: Any = getattr(self, name)
        low = f"above {above}" if above is not None else f"of at least {least}"
        wanted = f"a number {low}" + (f" and at most {most}" if most < math.inf else "")
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(name, wanted)
        bound = -math.inf if above is None else above
        if not (math.isfinite(value) and value > bound and (least or 0) <= value <= most):
            self._refuse(name, wanted)

    def _whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if type(value) is not int or value < least:
            self._refuse(name, f"a whole number of at least {least}")

    def _refuse(self, name: str, wanted: str) -> None:
        raise InputError(f"{name}={getattr(self, name)!r}; it must be {wanted}")
