"""Losses over the raw logits of groups [groups, documents].

Where labels are used, the first document of each group is the relevant one.
"""

import torch
from torch import Tensor
from torch.nn import functional

from zelo.families import FAMILIES

PROBABILITY_SCALE = FAMILIES["zelo"].scale
"""probability = sigmoid(logit / scale), as it will be read."""


def listwise(logits: Tensor) -> Tensor:
    """Cross entropy of the relevant document against its group; logits [groups, documents]."""
    return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))


def calibration(logits: Tensor) -> Tensor:
    """Binary cross entropy of sigmoid(logit / 5); both classes weigh the same in each group."""
    scaled = logits / PROBABILITY_SCALE
    positive = functional.softplus(-scaled[:, 0])
    negative = functional.softplus(scaled[:, 1:]).mean(1)
    return (positive + negative).mean()


def imitation(logits: Tensor, scores: Tensor, temperature: float) -> Tensor:
    """KL divergence from the order of `scores` / temperature to the order of the logits."""
    target = functional.log_softmax(scores / temperature, dim=1)
    own = functional.log_softmax(logits, dim=1)
    return functional.kl_div(own, target, log_target=True, reduction="batchmean")
