"""The stock transformers Qwen3 behind a score row: a pack of prompts in, logits out.

Knows weights and packs; knows nothing of texts, families' scales or callers.
"""

import logging
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3Model

from zelo.errors import ModelFileError
from zelo.local import attention
from zelo.local.attention import kernel
from zelo.local.checkpoint import CheckpointFiles
from zelo.local.compiling import compile_layers, compiler_failure, uncompile_layers
from zelo.local.files import refuse_faults
from zelo.local.packing import Pack
from zelo.local.quiet import quiet
from zelo.local.ragged import gathered_layout

__all__ = ["LastLayer", "Pending", "ScoringModel", "last_states", "load_backbone"]

log = logging.getLogger("zelo")

UNUSED = ("lm_head.weight", "score.weight")
"""Tensors that a folder may hold and the backbone has no place for."""


class Pending:
    """The logits of a pack, which the device may still be computing."""

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits  # (N,) float32
        self._copied: torch.cuda.Event | None = None
        if logits.is_cuda:
            self._logits = torch.empty_like(logits, device="cpu", pin_memory=True)
            self._logits.copy_(logits, non_blocking=True)
            event: Any = torch.cuda.Event
            self._copied = event()
            self._copied.record(torch.cuda.current_stream(logits.device))

    def result(self) -> list[float]:
        """Wait for the device, once, and return one raw logit per prompt."""
        if self._copied is not None:
            self._copied.synchronize()
        logits: list[float] = self._logits.tolist()
        return logits


class ScoringModel:
    """Qwen3 without its vocabulary projection, and the one row that gives the logit.

    Args:
        backbone: the model; its last layer is replaced by a `LastLayer`.
        row: the score row (hidden,).
        compile: compile the layers, at the first packs; see `zelo.local.compiling`.
    """

    def __init__(self, backbone: Qwen3Model, row: Tensor, *, compile: bool = False) -> None:
        self.backbone: Any = backbone.requires_grad_(False)
        self.device: torch.device = backbone.device
        self._row = row.to(self.device, torch.float32)
        backbone.layers[-1] = LastLayer(backbone.layers[-1])
        self._fast = kernel.runs_on(self.device, backbone.dtype, backbone.config.head_dim)
        if self._fast:
            kernel.prefer_newest(self.device)
        self.compiled = False
        """The layers are compiled, or will be when they first run."""
        if compile and (self._fast or self.device.type == "cpu"):
            compile_layers(backbone)
            self.compiled = True
        elif compile:
            number_type = str(backbone.dtype).removeprefix("torch.")
            log.info(
                "layers are not compiled: on %s in %s attention runs document by document, which "
                "no graph can hold",
                *(self.device, number_type),
            )

    @property
    def asynchronous(self) -> bool:
        """`start` returns before the device is done, so the next pack can be prepared meanwhile."""
        return self.device.type == "cuda"

    def logits(self, pack: Pack) -> list[float]:
        """Return the raw logit of each prompt: a float32 dot product of its last hidden state."""
        return self.start(pack).result()

    @torch.inference_mode()
    def start(self, pack: Pack) -> Pending:
        """Begin to compute the logits of a pack, whose tensors are on the model's device."""
        if self.compiled:
            try:
                return self._start(pack)
            except Exception as error:
                if (reason := compiler_failure(error)) is None:
                    raise
                log.warning("layers cannot be compiled, and run as they are, slower: %s", reason)
            uncompile_layers(self.backbone)
            self.compiled = False
        return self._start(pack)

    def _start(self, pack: Pack) -> Pending:
        hidden = last_states(self.backbone, pack, ragged=self._fast or self.compiled)
        return Pending(hidden.float() @ self._row)


def last_states(backbone: Any, pack: Pack, *, ragged: bool = False) -> Tensor:
    """Return each prompt's last hidden state (N, hidden); the layers end in a `LastLayer`.

    With `ragged` attention takes the ragged kernel, which gives no gradients.
    """
    every: Any = pack.segments
    last: Any = pack.last_segments
    last_rows = pack.last_rows
    if ragged:
        every, last, last_rows = pack.ragged or gathered_layout(every, last, last_rows)
    states: Tensor = backbone(
        input_ids=pack.ids[None],
        position_ids=pack.positions[None],
        attention_mask={"full_attention": None},
        use_cache=False,
        layout=every,
        last_layout=last,
        last_rows=last_rows,
    ).last_hidden_state[0]
    return states[: len(pack.last_rows)]


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
        hidden: Tensor,
        *,
        position_embeddings: tuple[Tensor, Tensor],
        last_rows: Tensor,
        last_layout: Any,
        **_: Any,
    ) -> Tensor:
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
            layout=last_layout,
        )[0]
        rows = rows + attend.o_proj(mixed.flatten(2))
        out: Tensor = rows + layer.mlp(layer.post_attention_layernorm(rows))
        return out


def _heads(norm: Any, flat: Tensor, head_dim: int) -> Tensor:
    """Split (1, T, H * D) into heads (1, H, T, D), normalised where Qwen3 does."""
    heads = flat.view(*flat.shape[:-1], -1, head_dim)
    heads = heads if norm is None else norm(heads)
    return heads.transpose(1, 2)


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
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
