"""Low-rank updates (Hu et al. 2021, arXiv:2106.09685) of a backbone's linear layers, by peft."""

from typing import Any

import torch
from torch import Tensor

from zelo.errors import MissingExtraError
from zelo.training.learning.settings import Learning

__all__ = ["add_updates", "check_peft", "merged_state"]

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Every linear layer of Qwen3's decoder."""


def check_peft() -> None:
    """Import what makes the updates.

    Raises:
        MissingExtraError: peft is not installed, or not as it must be.
    """
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("LoRA", "train") from error


def add_updates(backbone: torch.nn.Module, learning: Learning) -> None:
    """Put an update beside every linear layer, which changes nothing yet; train only those.

    Raises:
        MissingExtraError: peft is not installed.
    """
    check_peft()
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=learning.lora_rank,
        lora_alpha=learning.lora_scale * learning.lora_rank,  # type: ignore[arg-type]  # any number
        target_modules=list(LINEAR),
        lora_dropout=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(learning.seed)
        inject_adapter_in_model(config, backbone)


def merged_state(module: torch.nn.Module, masters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a module's tensors under their names without LoRA, updates added in float32.

    `masters` are the float32 values of what was trained, by parameter name; where it has none the
    module's own value counts.
    """
    found: dict[str, Tensor] = {}
    parameters: dict[str, Tensor] = dict(module.named_parameters())
    for name, parameter in parameters.items():
        if ".lora_" in name:
            continue
        place, base, kind = name.partition(".base_layer.")
        value = masters.get(name, parameter.detach())
        if base:
            layer: Any = module.get_submodule(place)
            down, up = (
                masters.get(key, parameters[key]).detach().float()
                for key in (f"{place}.lora_A.default.weight", f"{place}.lora_B.default.weight")
            )
            merged = value.float() + layer.scaling["default"] * (up @ down)
            value = merged.to(value.dtype)  # at once: in float32 they would be twice the model
            name = f"{place}.{kind}"
        found[name] = value
    return found
