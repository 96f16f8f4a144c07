"""What an optimizer works on: float32 weights behind a model that may compute in bfloat16.

In bfloat16 small updates would be lost, so every trained weight has a float32 master; the model's
own weight is its rounded copy. What is frozen has neither. Knows no data and no steps.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from zelo.training.learning.settings import Learning
from zelo.training.learning.student import Student

__all__ = ["Weights"]

BETAS = (0.9, 0.98)
"""Of Adam; its second moment forgets sooner than by default, as runs of some hundred steps want."""
BUCKET = 2**26
"""Numbers that processes add up at once."""


class Weights:
    """A student's trained weights, their gradients and their optimizer."""

    def __init__(self, student: Student, learning: Learning) -> None:
        trained = {n: p for n, p in student.named_parameters() if p.requires_grad}
        self._used = list(trained.values())
        self.names = list(trained)
        self.masters = [_master(parameter) for parameter in self._used]
        # they stand for the student's weights from now on, also when it is saved
        student.masters = dict(zip(self.names, self.masters, strict=True))
        self._kept = [master != 0 for master in self.masters] if learning.keep_zeros else None
        self._hooks = [
            used.register_post_accumulate_grad_hook(_handing_over(master))  # type: ignore[no-untyped-call]
            for used, master in zip(self._used, self.masters, strict=True)
            if used is not master
        ]
        self._clip_norm = learning.clip_norm
        self.optimizer = torch.optim.AdamW(
            self._groups(student, learning), lr=learning.learning_rate, betas=BETAS, fused=True
        )

    def update(self, rate: float, add_up: Callable[[Tensor], Tensor] | None = None) -> bool:
        """Make one step with the gradients that came together; False if one is not finite.

        `add_up` adds a tensor up over all processes.
        """
        for master in self.masters:
            if master.grad is None:
                master.grad = torch.zeros_like(master)
        gradients = [master.grad for master in self.masters if master.grad is not None]
        if add_up is not None:
            _add_up(gradients, add_up)
        if self._kept is not None:  # a gradient that is always 0 moves nothing in Adam
            for gradient, kept in zip(gradients, self._kept, strict=True):
                gradient.mul_(kept)
        norm = torch.nn.utils.clip_grad_norm_(self.masters, self._clip_norm)
        if not torch.isfinite(norm):
            return False
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._copy()
        return True

    def state(self) -> dict[str, Tensor]:
        """Return all that the next step depends on: weights and Adam's moments, by name."""
        found = {f"weight.{name}": m for name, m in zip(self.names, self.masters, strict=True)}
        for name, master in zip(self.names, self.masters, strict=True):
            moments: dict[str, Any] = self.optimizer.state.get(master, {})
            found |= {f"{kind}.{name}": value for kind, value in moments.items()}
        return {name: value.detach() for name, value in found.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go back to what `state` returned; without moments, to the weights alone."""
        with torch.no_grad():
            for name, master in zip(self.names, self.masters, strict=True):
                master.copy_(state[f"weight.{name}"])
                if f"step.{name}" in state:
                    self.optimizer.state[master] = {
                        kind: state[f"{kind}.{name}"].to(master.device)
                        for kind in ("step", "exp_avg", "exp_avg_sq")
                    }
        self._copy()

    def release(self) -> None:
        """Let go of the gradients and the optimizer; the masters stay with the student."""
        for hook in self._hooks:
            hook.remove()
        self.optimizer.state.clear()
        for parameter in (*self._used, *self.masters):
            parameter.grad = None

    @torch.no_grad()
    def _copy(self) -> None:
        for master, used in zip(self.masters, self._used, strict=True):
            if used is not master:
                used.copy_(master)

    def _groups(self, student: Student, learning: Learning) -> list[dict[str, Any]]:
        embedding = student.backbone.embed_tokens.weight
        groups: dict[str, list[Tensor]] = {"embedding": [], "matrices": [], "vectors": []}
        for used, master in zip(self._used, self.masters, strict=True):
            kind = "matrices" if used.ndim > 1 else "vectors"
            groups["embedding" if used is embedding else kind].append(master)
        return [
            {
                "params": masters,
                "share": learning.embedding_rate if kind == "embedding" else 1.0,
                "weight_decay": learning.weight_decay if kind == "matrices" else 0.0,
            }
            for kind, masters in groups.items()
            if masters
        ]


def _master(used: torch.nn.Parameter) -> torch.nn.Parameter:
    return used if used.dtype == torch.float32 else torch.nn.Parameter(used.detach().float())


def _handing_over(master: torch.nn.Parameter) -> Callable[[Tensor], None]:
    """Return a hook that adds a weight's gradient to its master's, in float32, and frees it."""

    def hand_over(used: Tensor) -> None:
        if used.grad is None:
            return
        if master.grad is None:
            master.grad = used.grad.float()
        else:
            master.grad += used.grad
        used.grad = None

    return hand_over


def _add_up(tensors: Iterable[Tensor], add_up: Callable[[Tensor], Tensor]) -> None:
    """Add tensors up over all processes, many small ones at once."""
    bucket: list[Tensor] = []
    for tensor in [*tensors, None]:
        full = sum(one.numel() for one in bucket) + (0 if tensor is None else tensor.numel())
        if bucket and (tensor is None or full > BUCKET):
            flat = add_up(torch.cat([one.reshape(-1) for one in bucket]))
            parts = torch.split(flat, [one.numel() for one in bucket])
            for one, part in zip(bucket, parts, strict=True):
                one.copy_(part.view_as(one))
            bucket = []
        if tensor is not None:
            bucket.append(tensor)
