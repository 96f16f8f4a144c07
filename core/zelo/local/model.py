"""The stock transformers Qwen3 behind a score row: a pack of prompts in, logits out.

Knows weights and packs; knows nothing of texts, families' scales or callers.
"""

from typing import Any

import torch
from transformers import Qwen3Config, Qwen3Model
from transformers.utils import logging

from zelo.errors import ModelFileError
from zelo.local import attention
from zelo.local.checkpoint import CheckpointFiles
from zelo.local.files import refuse_faults
from zelo.local.packing import Pack
from zelo.local.quiet import quiet

__all__ = ["LastLayer", "ScoringModel", "last_states", "load_backbone"]

reports: Any = logging  # transformers' own, whose functions carry no types

UNUSED = ("lm_head.weight", "score.weight")
"""Tensors that a folder may hold and the backbone has no place for."""


class ScoringModel:
    """Qwen3 without its vocabulary projection, and the one row that gives the logit."""

    def __init__(self, backbone: Qwen3Model, row: torch.Tensor) -> None:
        self.backbone: Any = backbone.requires_grad_(False)
        self.device: torch.device = backbone.device
        self._row = row.to(self.device, torch.float32)
        backbone.layers[-1] = LastLayer(backbone.layers[-1])

    @torch.inference_mode()
    def logits(self, pack: Pack) -> list[float]:
        """Return the raw logit of each prompt: a float32 dot product of its last hidden state."""
        hidden = last_states(self.backbone, pack)
        logits: list[float] = (hidden.float() @ self._row).tolist()
        return logits


def last_states(backbone: Any, pack: Pack) -> torch.Tensor:
    """Return each prompt's last hidden state (N, hidden); the layers end in a `LastLayer`."""
    states: torch.Tensor = backbone(
        input_ids=pack.ids[None],
        position_ids=pack.positions[None],
        attention_mask={"full_attention": None},
        use_cache=False,
        segments=pack.segments,
        last_segments=pack.last_segments,
        last_rows=pack.last_rows,
    ).last_hidden_state[0]
    return states


class LastLayer(torch.nn.Module):
    """The last decoder layer, computed for the rows whose hidden state is read.

    Keys and values are needed of every token; queries, the output projection and the MLP only of
    the last one of each prompt. That spares most of one layer and changes no result.
    """

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer
        # the first releases of transformers 5 read it in the model's loop; always "full_attention"
        self.attention_type = getattr(layer, "attention_type", None)

    def forward(
        self,
        hidden: torch.Tensor,
        *,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        last_rows: torch.Tensor,
        last_segments: Any,
        **_: Any,
    ) -> torch.Tensor:
        """Map hidden states (1, T, hidden) to those of the last rows (1, N, hidden)."""
        layer: Any = self.layer
        attend: Any = layer.self_attn
        normed = layer.input_layernorm(hidden)
        rows = hidden[:, last_rows]
        key = _heads(attend.k_norm, attend.k_proj(normed), attend.head_dim)
        query = _heads(attend.q_norm, attend.q_proj(normed[:, last_rows]), attend.head_dim)
        value = _heads(None, attend.v_proj(normed), attend.head_dim)
        cos, sin = position_embeddings  # (1, T, head_dim)
        mixed = attention.packed_attention(
            attend,
            _rotate(query, cos[:, last_rows], sin[:, last_rows]),
            _rotate(key, cos, sin),
            value,
            None,
            scaling=attend.scaling,
            segments=last_segments,
        )[0]
        rows = rows + attend.o_proj(mixed.flatten(2))
        out: torch.Tensor = rows + layer.mlp(layer.post_attention_layernorm(rows))
        return out


def _heads(norm: Any, flat: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Split (1, T, H * D) into heads (1, H, T, D), normalised where Qwen3 does."""
    heads = flat.view(*flat.shape[:-1], -1, head_dim)
    heads = heads if norm is None else norm(heads)
    return heads.transpose(1, 2)


def _rotate(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Apply the rotary embedding to (1, H, T, D), halves rotated as in Qwen3."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cos[:, None] + torch.cat((-second, first), dim=-1) * sin[:, None]


def load_backbone(files: CheckpointFiles, device: torch.device, dtype: torch.dtype) -> Qwen3Model:
    """Load a folder's Qwen3 layers, from safetensors only and without remote code.

    Raises:
        ModelFileError: a tensor is missing, has another shape than config.json says, or holds
            NaN or infinity.
    """
    try:
        with quiet():
            load: Any = Qwen3Model  # its signature does not tell that a report can come along
            backbone, report = load.from_pretrained(
                files.folder,
                config=Qwen3Config.from_dict(files.config),
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                attn_implementation=attention.NAME,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, with all names
            )
    except Exception as error:  # a senseless config.json fails anywhere in transformers
        message = f"{files.folder} could not be loaded as Qwen3: {error}"
        raise ModelFileError(message) from error
    _check_report(files, report)
    _check_finite(files, backbone)
    model: Qwen3Model = backbone.to(device).eval()
    return model


def _check_report(files: CheckpointFiles, report: dict[str, Any]) -> None:
    faults = {
        "are missing": sorted(report["missing_keys"]),
        "have another shape than config.json says": sorted(map(str, report["mismatched_keys"])),
        "belong to another architecture": sorted(set(report["unexpected_keys"]) - set(UNUSED)),
    }
    refuse_faults(files.folder, faults)


def _check_finite(files: CheckpointFiles, backbone: torch.nn.Module) -> None:
    for name, parameter in backbone.named_parameters():
        if not torch.isfinite(parameter).all():
            message = (
                f"tensor {name} of {files.folder} holds NaN or infinity; the file is damaged, or "
                "its numbers do not fit the dtype asked for"
            )
            raise ModelFileError(message)
