"""What exported weights score, computed a layer at a time: a 4B model takes a gigabyte of memory.

Stock transformers layers run whole prompts in float32, one prompt at a time, as in
`zelo.doctor.reference`; only one layer's weights are in memory. Knows tensors and token ids;
knows no texts and no engine.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import (
    Qwen3DecoderLayer,
    Qwen3RMSNorm,
    Qwen3RotaryEmbedding,
)

from zelo.export.export import OnBytes
from zelo.local.loading.tensors import TORCH, StoredTensor

__all__ = ["streamed_logits"]

EMBEDDING, NORM = "model.embed_tokens.weight", "model.norm.weight"


@torch.inference_mode()
def streamed_logits(
    tensors: Mapping[str, StoredTensor],
    config: Qwen3Config,
    row: torch.Tensor,
    prompts: Sequence[Sequence[int]],
    on_bytes: OnBytes = lambda done, total: None,
) -> list[float]:
    """Return the product of each prompt's last hidden state with a row.

    Args:
        tensors: the backbone's, by name.
        config: the model's shapes.
        row: (hidden,), float32.
        prompts: token ids.
        on_bytes: told as layers are read.
    """
    config = copy.deepcopy(config)
    config._attn_implementation = "sdpa"
    layers = int(config.num_hidden_layers)
    rotary: Any = Qwen3RotaryEmbedding(config)
    total = sum(t.size for n in range(layers) for t in _of_layer(tensors, n).values())
    done = 0
    states = [_embedded(tensors[EMBEDDING], ids) for ids in prompts]  # (1, T, hidden) each
    for number in range(layers):
        states = _passed(_of_layer(tensors, number), number, config, rotary, states)
        done += sum(tensor.size for tensor in _of_layer(tensors, number).values())
        on_bytes(done, total)
    norm: Any = Qwen3RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
    norm.weight = torch.nn.Parameter(_loaded(tensors[NORM]))
    return [float(norm(state[:, -1])[0] @ row) for state in states]


def _of_layer(tensors: Mapping[str, StoredTensor], number: int) -> dict[str, StoredTensor]:
    """Return a layer's tensors by their names in the layer."""
    prefix = f"model.layers.{number}."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _passed(
    tensors: Mapping[str, StoredTensor],
    number: int,
    config: Any,
    rotary: Any,
    states: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    """Send states through a layer, which is gone from memory when this returns."""
    layer = _layer(tensors, number, config)
    return [layer(state, **_positions(rotary, state)) for state in states]


def _layer(tensors: Mapping[str, StoredTensor], number: int, config: Any) -> Any:
    with torch.device("meta"):
        layer = Qwen3DecoderLayer(config, number)
    weights = {name: _loaded(tensor) for name, tensor in tensors.items()}
    layer.load_state_dict(weights, assign=True)
    return layer.eval()


def _positions(rotary: Any, state: torch.Tensor) -> dict[str, Any]:
    positions = torch.arange(state.shape[1])[None]
    return {
        "attention_mask": None,  # causal, of one prompt
        "position_ids": positions,
        "position_embeddings": rotary(state, positions),
    }


def _embedded(embedding: StoredTensor, ids: Sequence[int]) -> torch.Tensor:
    """Read the rows of some tokens: (1, T, hidden), float32."""
    kind = TORCH[embedding.kind]
    hidden = embedding.shape[1]
    rows: dict[int, torch.Tensor] = {}
    with embedding.path.open("rb") as file:
        for token in set(ids):
            file.seek(embedding.start + token * hidden * kind.itemsize)
            row = bytearray(file.read(hidden * kind.itemsize))
            rows[token] = torch.frombuffer(row, dtype=kind).float()
    return torch.stack([rows[token] for token in ids])[None]


def _loaded(tensor: StoredTensor) -> torch.Tensor:
    """Read a tensor as float32, without holding all of its bytes beside it."""
    found = torch.empty(torch.Size(tensor.shape).numel())
    done = 0
    for numbers in tensor.numbers():
        found[done : done + len(numbers)] = numbers
        done += len(numbers)
    return found.reshape(tensor.shape)
