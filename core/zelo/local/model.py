"""The stock transformers Qwen3 behind a score row: a pack of prompts in, logits out.

Knows weights and packs; knows nothing of texts, families' scales or callers.
"""

import logging
import math
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3Model
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from zelo.errors import ModelFileError
from zelo.local import attention
from zelo.local.attention import kernel
from zelo.local.compiling import compile_layers, compiler_failure, uncompile_layers
from zelo.local.loading.checkpoint import CheckpointFiles
from zelo.local.loading.tensors import PREFIX, backbone_tensors
from zelo.local.packing import Pack
from zelo.local.quantization import quantize
from zelo.local.quiet import quiet
from zelo.local.ragged import gathered_layout
from zelo.scoring.options import Quantization

__all__ = [
    "LastLayer",
    "Pending",
    "ScoringModel",
    "empty_backbone",
    "last_states",
    "load_backbone",
]

log = logging.getLogger("zelo")


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


def load_backbone(
    files: CheckpointFiles,
    device: torch.device,
    dtype: torch.dtype,
    quantization: Quantization | None = None,
    *,
    attend: str = attention.NAME,
) -> Qwen3Model:
    """Load a folder's Qwen3 layers, from safetensors only and without remote code.

    Each tensor is read, converted and moved by itself, and a projection that is to be quantised is
    so at once: neither the whole model in another number type nor the unquantised one ever stands
    in memory. Numbers that are not converted stay mapped to the file.

    Args:
        files: the folder.
        device: where the model is to run.
        dtype: number type of what is not quantised.
        quantization: of the layers' projections; see `zelo.local.quantization`.
        attend: transformers' name for how attention is computed.

    Raises:
        ModelFileError: a tensor is missing, has another shape than config.json says, or holds
            NaN or infinity.
        InputError: a projection's widths do not suit the quantisation's kernel.
    """
    backbone = empty_backbone(files, attend)
    backbone.config.dtype = dtype
    tensors = backbone_tensors(files, backbone)
    names = {parameter: name for name, parameter in backbone.named_parameters()}

    def fill(module: torch.nn.Module) -> None:
        """Read those weights of a module that are still without memory."""
        for parameter in filter(names.__contains__, [*module.parameters()]):
            name = names[parameter]
            value = tensors[PREFIX + name].tensor(dtype)
            _check_finite(files, name, value)
            place, _, leaf = name.rpartition(".")
            setattr(backbone.get_submodule(place), leaf, torch.nn.Parameter(value.to(device)))

    # the largest tensor comes first: what reading it takes beside it adds to nothing then
    fill(backbone.embed_tokens)
    if quantization is not None:
        quantize(backbone, quantization, fill)
    fill(backbone)
    model: Qwen3Model = backbone.to(device).eval()
    return model


def empty_backbone(files: CheckpointFiles, attend: str = "sdpa") -> Any:
    """Return the Qwen3Model of a folder's config.json, its weights without memory behind them.

    Raises:
        ModelFileError: config.json makes no sense to transformers.
    """
    try:
        with quiet():
            config: Any = Qwen3Config.from_dict(files.config | {"attn_implementation": attend})
            with torch.device("meta"):
                backbone = Qwen3Model(config)
            backbone.rotary_emb = Qwen3RotaryEmbedding(config)  # computed, not stored
    except Exception as error:  # a senseless config.json fails anywhere in transformers
        message = f"{files.folder} could not be loaded as Qwen3: {error}"
        raise ModelFileError(message) from error
    return backbone


def _check_finite(files: CheckpointFiles, name: str, value: Tensor) -> None:
    # extremes carry NaN along and, unlike isfinite, take no memory
    if not all(map(math.isfinite, (float(extreme) for extreme in value.aminmax()))):
        message = (
            f"tensor {name} of {files.folder} holds NaN or infinity; the file is damaged, or "
            "its numbers do not fit the dtype asked for"
        )
        raise ModelFileError(message)
