"""How much memory a model's weights take, by arithmetic: no weights are read."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3Model

from zelo.local.quantization.replacing import quantize
from zelo.scoring.options import Quantization

__all__ = ["weights_bytes"]


def weights_bytes(
    config: Mapping[str, Any], dtype: torch.dtype, quantization: Quantization | None = None
) -> int:
    """Return the bytes of a Qwen3 backbone's weights: embedding, layers and norms.

    One layer is made without memory behind it and quantised as real ones are; all are alike.

    Args:
        config: the content of config.json.
        dtype: of what is not quantised.
        quantization: of the layers' projections.

    Raises:
        InputError: a projection's widths do not suit the kernel.
    """
    settings = Qwen3Config.from_dict(dict(config))
    single = Qwen3Config.from_dict(dict(config) | {"num_hidden_layers": 1, "layer_types": None})
    with torch.device("meta"):
        backbone: Any = Qwen3Model(single)
    backbone.to(dtype)
    if quantization is not None:
        quantize(backbone, quantization)
    layer = _bytes(backbone.layers[0])
    return _bytes(backbone) + (settings.num_hidden_layers - 1) * layer


def _bytes(module: torch.nn.Module) -> int:
    return sum(tensor.nbytes for tensor in module.state_dict().values())
