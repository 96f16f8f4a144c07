"""A training loop: seeded, AdamW, warm-up and cosine, bfloat16 compute over float32 weights.

It knows models and steps, nothing of collections; a recipe hands it a function that computes the
loss of one step.
"""

import copy
import dataclasses
import logging
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM

from zelo.training.nano.batches import pad_by_length

_log = logging.getLogger("zelo")


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn."""

    steps: int
    learning_rate: float
    warmup_steps: int = 50
    embedding_share: float = 0.1
    """Of the learning rate, for the embedding: its rare rows see few gradients, which Adam blows
    up to full steps, and the codes they hold are what matching rests on."""
    weight_decay: float = 0.0
    clip_norm: float = 1.0

    def rate(self, step: int) -> float:
        """The learning rate of a step: linear to the top, then half a cosine down to zero."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))


def last_logits(
    model: Qwen3ForCausalLM, sequences: list[list[int]], yes_id: int, *, max_tokens: int = 4_096
) -> Tensor:
    """The raw logit of each sequence in order, float32 [sequences], gradients attached."""
    row = model.model.embed_tokens.weight[yes_id].float()
    places: list[int] = []
    parts = []
    for chunk, ids, lengths in pad_by_length(sequences, max_tokens):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        last = hidden[torch.arange(len(chunk)), lengths - 1].float()  # [batch, hidden]
        places += chunk
        parts.append(last @ row)
    back = torch.empty(len(places), dtype=torch.long)
    back[torch.tensor(places)] = torch.arange(len(places))
    return torch.cat(parts)[back]


def train(
    model: Qwen3ForCausalLM,
    step_loss: Callable[[Qwen3ForCausalLM, int], Tensor],
    schedule: Schedule,
    *,
    trained: dict[str, Tensor] | None = None,
    on_progress: Callable[[int, float], None] | None = None,
    every: int = 100,
) -> list[float]:
    """Train `model` (float32) in place and return the loss of every step.

    A bfloat16 copy computes; gradients are applied to the float32 weights, which would lose small
    updates in bfloat16. Measured on two AVX512-BF16 cores: 12,000 against 5,300 tokens a second.
    `trained` holds per parameter name a mask of the weights that may change; without it all may.
    `on_progress(step, mean loss since the last call)` runs every `every` steps, with the model
    up to date.
    """
    working = copy.deepcopy(model).bfloat16()
    working.train()
    masters, copies = list(model.parameters()), list(working.parameters())
    table = model.model.embed_tokens.weight
    matrices = [p for p in masters if p.ndim > 1 and p is not table]
    gains = [p for p in masters if p.ndim <= 1]
    groups = [
        {"params": [table], "weight_decay": 0.0, "share": schedule.embedding_share},
        {"params": matrices, "weight_decay": schedule.weight_decay, "share": 1.0},
        {"params": gains, "weight_decay": 0.0, "share": 1.0},
    ]
    masks = [None if trained is None else trained[name] for name, _ in model.named_parameters()]
    optimizer = torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=(0.9, 0.98))
    losses: list[float] = []
    begin = time.monotonic()
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step) * group["share"]
        loss = step_loss(working, step)
        loss.backward()  # type: ignore[no-untyped-call]
        for master, used, mask in zip(masters, copies, masks, strict=True):
            master.grad = None if used.grad is None else used.grad.float()
            if master.grad is not None and mask is not None:
                master.grad *= mask  # a gradient that is always 0 moves nothing in Adam
            used.grad = None
        torch.nn.utils.clip_grad_norm_(masters, schedule.clip_norm)
        optimizer.step()
        with torch.no_grad():
            for master, used in zip(masters, copies, strict=True):
                used.copy_(master)
        losses.append(float(loss.detach()))
        if (step + 1) % every == 0:
            recent = sum(losses[-every:]) / every
            _log.info("step %d loss %.4f %.0f s", step + 1, recent, time.monotonic() - begin)
            if on_progress is not None:
                on_progress(step + 1, recent)
    return losses
