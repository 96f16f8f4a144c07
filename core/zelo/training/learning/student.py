"""The model that learns: packs in, raw logits out with gradients, and saved as a reranker.

The same maths as `zelo.local.model.ScoringModel`. Knows nothing of steps, losses or optimizers.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Qwen3ForCausalLM, Qwen3Model

from zelo._common.atomic_write import writing
from zelo.local.instances import model_folder
from zelo.local.loading.checkpoint import CONTROL_NAMES, SCORE_ROW, Checkpoint
from zelo.local.loading.device import choose_device
from zelo.local.loading.saving import save_reranker
from zelo.local.loading.score_head import read_score_row
from zelo.local.model import LastLayer, last_states, load_backbone
from zelo.local.packing import Pack
from zelo.local.prompt import PromptEncoder
from zelo.local.quiet import quiet
from zelo.scoring.catalog import resolve
from zelo.scoring.options import InstanceKey
from zelo.training.learning.lora import add_updates, merged_state
from zelo.training.learning.processes import own_card
from zelo.training.learning.settings import Learning
from zelo.training.learning.starting import inspect_start, start_encoder

__all__ = ["Student", "load_student"]

LONGEST = 32_768
"""Tokens of a prompt; what zelo.Reranker reads if it is told no other limit."""
OF_THE_START = ("auto_map", CONTROL_NAMES, SCORE_ROW)
"""Keys of config.json that say something of the files that training started from."""


class Student(torch.nn.Module):
    """A Qwen3 in training, which answers in zerank's frame by the logit of "Yes".

    All floating-point tensors have one number type, that of `Learning.precision`. Weights that
    are not trained do not ask for gradients.
    """

    def __init__(
        self, backbone: Qwen3Model, row: Tensor | None, encoder: PromptEncoder, tokenizer: Tokenizer
    ) -> None:
        super().__init__()
        self.backbone: Any = backbone
        self.row = None if row is None else torch.nn.Parameter(row.to(backbone.dtype))
        """The score row (hidden,) of a model that does not share it with its embedding."""
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.masters: dict[str, Tensor] = {}
        """Float32 values behind trained weights in bfloat16, by name; the loop keeps them here."""
        backbone.layers[-1] = LastLayer(backbone.layers[-1])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.backbone.device
        return device

    @property
    def max_tokens(self) -> int:
        """Longest prompt that the model reads."""
        return min(LONGEST, int(self.backbone.config.max_position_embeddings))

    def forward(self, pack: Pack) -> Tensor:
        """Return the raw logit of each prompt (N,), float32."""
        hidden = last_states(self.backbone, pack)
        row = self.row
        if row is None:
            row = self.backbone.embed_tokens.weight[self.encoder.positive_id]
        logits: Tensor = hidden.float() @ row.float()
        return logits

    def save(self, folder: Path, *, family: str = "zelo") -> None:
        """Write a reranker in the sentence-transformers form, LoRA's updates merged.

        `zelo.Reranker(folder)` gives the student's own scores, but for what merging rounds off in
        bfloat16. Weights are stored in the number type that they were trained to compute in.

        Raises:
            OutputError: a file cannot be written.
        """
        state = merged_state(self, self.masters)
        row = state.pop("row", None)
        names = {self._stock_name(name): value for name, value in state.items()}
        dtype: torch.dtype = self.backbone.dtype
        config = copy.deepcopy(self.backbone.config)
        for name in OF_THE_START:
            vars(config).pop(name, None)
        config.tie_word_embeddings = row is None
        with torch.device("meta"):
            whole = Qwen3ForCausalLM(config)
        names["lm_head.weight"] = self._projection(names["model.embed_tokens.weight"], row)
        whole.load_state_dict(
            {name: value.to(dtype) for name, value in names.items()}, strict=True, assign=True
        )
        whole.tie_weights()
        with quiet(), writing(folder):
            save_reranker(whole, self.tokenizer, folder, family=family, dtype=dtype)

    def _projection(self, embedding: Tensor, row: Tensor | None) -> Tensor:
        """The vocabulary projection: the embedding, or the score row alone, other rows 0."""
        if row is None:
            return embedding
        projection = torch.zeros_like(embedding, dtype=row.dtype)
        projection[self.encoder.positive_id] = row
        return projection

    def _stock_name(self, name: str) -> str:
        """Return a parameter's name in transformers' model, without the last layer's wrapper."""
        last = f"backbone.layers.{len(self.backbone.layers) - 1}"
        if name.startswith(f"{last}.layer."):
            name = last + name.removeprefix(f"{last}.layer")
        return name.replace("backbone.", "model.", 1)


def load_student(model: str, learning: Learning, *, device: str | None = None) -> Student:
    """Load a model that is to be trained.

    Args:
        model: alias, folder or hub name: whatever `zelo.Reranker` loads here, or a plain Qwen3.
            One with another prompt (Qwen3-Reranker) is a start like any other Qwen3: it learns
            zerank's frame.
        learning: precision, LoRA and what is left alone.
        device: such as cuda:1; None for an accelerator, where several processes train each its
            own, or else the CPU.

    Raises:
        ModelError: the model cannot be found, read or trusted.
        InputError: the device cannot be used here.
        MissingExtraError: LoRA is asked for and peft is not installed.
    """
    source = resolve(model)
    checkpoint = inspect_start(model_folder(InstanceKey(source)))
    encoder = start_encoder(checkpoint)
    dtype = torch.bfloat16 if learning.precision == "bf16" else torch.float32
    backbone = load_backbone(checkpoint.files, choose_device(device or own_card()), dtype)
    # of a classifier in zerank's frame, its own row, which is refused if it is none of an answer
    own = checkpoint.converted and checkpoint.family.negative is None
    start = Checkpoint(checkpoint.files, encoder.family, converted=own)
    row: Tensor | None = read_score_row(start, encoder.positive_id, None).to(backbone.device)
    embedded = backbone.embed_tokens.weight[encoder.positive_id]
    # a model that calls itself tied may have a projection of its own all the same
    tied = checkpoint.files.config.get("tie_word_embeddings")
    if tied and row is not None and (own or torch.equal(row.to(dtype), embedded)):
        row = None  # it is the embedding's
    tokenizer = Tokenizer.from_str(checkpoint.files.tokenizer_json)
    student = Student(backbone, row, encoder, tokenizer)
    _choose_weights(student, learning)
    return student


def _choose_weights(student: Student, learning: Learning) -> None:
    """Let only those weights ask for gradients that are trained."""
    if learning.lora_rank:
        student.requires_grad_(False)
        add_updates(student.backbone, learning)
    elif not learning.embedding_rate:
        student.backbone.embed_tokens.requires_grad_(False)
    if learning.gradient_checkpointing:
        backbone = student.backbone  # transformers 5 gave it another name on its way to 6
        name = "activation_checkpointing_enable"
        enable = getattr(backbone, name, None) or backbone.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    student.train()
