"""A LoRA adapter's changes merged into the tensors of its model, each when it is read.

peft does the arithmetic, so whatever it merges comes out as it merges it, in float32. Only layers
can be changed: of the embedding and the heads single rows are read, which have no such form.
"""

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from zelo.errors import MissingExtraError, ModelFileError, UnsupportedModelError
from zelo.local.loading.files import refuse_faults
from zelo.local.loading.lora import SETTINGS, WEIGHTS, Adapter
from zelo.local.loading.tensors import PREFIX, ChangedTensor, StoredTensor, stored_tensors
from zelo.local.quiet import quiet

__all__ = ["merged"]

KEPT = {
    *("r", "lora_alpha", "rank_pattern", "alpha_pattern"),
    *("use_rslora", "use_dora", "fan_in_fan_out"),
}
"""What decides how an update is added to a weight."""
NEUTRAL = {
    *("base_model_name_or_path", "revision", "task_type", "auto_mapping", "peft_version"),
    *("inference_mode", "lora_dropout", "megatron_core"),
    # the names of the adapter's tensors say which projections they change
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
}
"""What does not."""
STARTS = (True, False, "gaussian", "eva", "orthogonal")
"""Ways of drawing the first updates, `init_lora_weights`, that leave the model itself as it is."""
TENSOR = re.compile(
    r"(?:model\.)?(layers\.\d+\.\w+\.\w+\.lora_(?:[AB]|magnitude_vector))(?:\.weight)?"
)


def merged(
    adapter: Adapter, tensors: Mapping[str, StoredTensor], backbone: torch.nn.Module
) -> dict[str, StoredTensor]:
    """Return a backbone's tensors with an adapter's changes; each is computed when it is read.

    Args:
        adapter: what changes them.
        tensors: the model's own, by name.
        backbone: a Qwen3Model of that shape, whose weights need no memory behind them.

    Raises:
        MissingExtraError: peft is not installed.
        UnsupportedModelError: it changes more than layers, or in a way that is not known here.
        ModelFileError: its tensors do not fit the model, or some are missing.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError(f"merging the adapter in {adapter.folder}", "train") from error
    _check_settings(adapter, vars(peft.LoraConfig()))
    state = _state(adapter)
    settings = {name: value for name, value in adapter.settings.items() if name in KEPT}
    whole: Any = torch.nn.Module()  # with the names that a causal model has
    whole.model = copy.deepcopy(backbone)
    places = sorted({name.partition(".lora_")[0] for name in state})
    try:
        with quiet():
            config = peft.LoraConfig(target_modules=places, **settings)
            peft.inject_adapter_in_model(config, whole, low_cpu_mem_usage=True)
            unexpected = whole.load_state_dict(state, strict=False, assign=True).unexpected_keys
    except Exception as error:  # peft raises whatever torch does
        why = " ".join(str(error).split("\n\t")[:2])  # torch lists every tensor
        message = f"the adapter in {adapter.folder} does not fit its model: {why}"
        raise ModelFileError(message) from error
    parts = {name: value for name, value in whole.named_parameters() if ".lora_" in name}
    faults = {
        "are missing": sorted(name for name, value in parts.items() if value.is_meta),
        "have no place in its model": sorted(unexpected),
    }
    refuse_faults(adapter.folder, faults)
    changed = {
        f"{place}.weight": ChangedTensor.of(
            tensors[f"{place}.weight"], _change(whole.get_submodule(place))
        )
        for place in places
    }
    return {name: changed.get(name, tensor) for name, tensor in tensors.items()}


def _change(projection: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what a projection with its update makes of a weight."""

    @torch.no_grad()
    def change(weight: torch.Tensor) -> torch.Tensor:
        base = projection.get_base_layer()
        empty = base.weight
        base.weight = torch.nn.Parameter(weight, requires_grad=False)
        try:
            projection.merge()
            found: torch.Tensor = base.weight.detach()
        finally:
            base.weight = empty
            projection.merged_adapters.clear()
        return found

    return change


def _check_settings(adapter: Adapter, usual: Mapping[str, Any]) -> None:
    for name, value in adapter.settings.items():
        known = name in KEPT or name in NEUTRAL or name == "peft_type"
        if name == "init_lora_weights":
            known = value in STARTS
        if not known and value and value != usual.get(name):
            message = (
                f"{adapter.folder / SETTINGS} says {name}={value!r}, which zelo does not merge; "
                "merge the adapter with peft's merge_and_unload, and give the result's folder"
            )
            raise UnsupportedModelError(message)


def _state(adapter: Adapter) -> dict[str, torch.Tensor]:
    """Return its tensors as peft calls them in a causal model, in float32.

    An adapter of the layers alone leaves out what a causal model puts before their names.
    """
    state = {}
    for stored in stored_tensors(adapter.folder / WEIGHTS):
        match = TENSOR.fullmatch(stored.name.removeprefix("base_model.model."))
        if match is None:
            message = (
                f"the adapter in {adapter.folder} changes {stored.name}, and zelo merges changes "
                "of layers alone; merge it with peft's merge_and_unload, and give that folder"
            )
            raise UnsupportedModelError(message)
        state[f"{PREFIX}{match[1]}.default.weight"] = stored.tensor(torch.float32)
    return state
