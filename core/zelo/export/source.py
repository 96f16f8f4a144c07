"""What is exported: a model that zelo scores with, opened without loading its layers.

Holds the score row, the tokenizer and where each tensor of the backbone lies on disk. Knows the
forms that `zelo.local.loading.checkpoint` knows, and no engine.
"""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config

from zelo.errors import UnsupportedModelError
from zelo.local.instances import model_folder, open_checkpoint
from zelo.local.loading.checkpoint import Checkpoint
from zelo.local.loading.files import EXPORT_RECORD
from zelo.local.loading.score_head import read_score_row
from zelo.local.loading.tensors import StoredTensor, backbone_tensors
from zelo.local.model import empty_backbone
from zelo.local.prompt import PromptEncoder
from zelo.scoring.catalog import ModelSource, resolve
from zelo.scoring.families import Family
from zelo.scoring.options import InstanceKey

__all__ = ["Source", "open_source"]


@dataclass(frozen=True)
class Source:
    """A model to export."""

    name: str
    """What to call it: an alias, a hub id with its commit, or a folder."""
    alias: str | None
    """What the catalogue calls it, where the catalogue knows it."""
    checkpoint: Checkpoint = field(repr=False)
    encoder: PromptEncoder = field(repr=False)
    """Writes the prompts that an engine must write too."""
    row: torch.Tensor = field(repr=False)
    """(hidden,), float32: the last hidden state times this is the family's raw logit."""
    tensors: tuple[StoredTensor, ...] = field(repr=False)
    """The backbone's, file by file in the order of their bytes."""

    @property
    def family(self) -> Family:
        """The model's family."""
        return self.checkpoint.family

    @property
    def folder(self) -> Path:
        """Where its files are; an adapter's are its own."""
        return self.checkpoint.files.own_folder

    @property
    def config(self) -> dict[str, Any]:
        """Its config.json; not to be changed."""
        return self.checkpoint.files.config

    @property
    def tokenizer_json(self) -> str:
        """Its tokenizer.json."""
        return self.checkpoint.files.tokenizer_json

    @property
    def scaled_row(self) -> torch.Tensor:
        """The row with which a plain sigmoid gives the probability: (hidden,), float32."""
        return self.row / self.family.scale

    @cached_property
    def parsed_config(self) -> Qwen3Config:
        """The configuration with what transformers fills in, as zelo scores with it."""
        return Qwen3Config.from_dict(self.config)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt that the model reads."""
        return self.checkpoint.max_tokens


def open_source(
    model: str,
    *,
    family: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Source:
    """Open a model by alias, hub id or folder.

    Raises:
        ModelError: it cannot be found, read or trusted; also where tensors are missing, have
            another shape than config.json says, or belong to another architecture.
        InputError: the family is unknown or contradicts the folder.
    """
    found = resolve(model, revision)
    key = InstanceKey(
        found,
        family=family,
        cache_dir=None if cache_dir is None else os.fspath(cache_dir),
        local_files_only=local_files_only,
    )
    folder = model_folder(key)
    if (folder / EXPORT_RECORD).is_file():
        message = (
            f"{folder} is an export itself, written for another engine; export the model that it "
            "was made of"
        )
        raise UnsupportedModelError(message)
    checkpoint = open_checkpoint(key)
    encoder = checkpoint.encoder
    tensors = backbone_tensors(checkpoint.files, empty_backbone(checkpoint.files))
    row = read_score_row(checkpoint, encoder.positive_id, encoder.negative_id)
    return Source(
        name=_name(found, folder),
        alias=found.name if found.repo_id or found.family else None,
        checkpoint=checkpoint,
        encoder=encoder,
        row=row,
        tensors=tuple(tensors.values()),
    )


def _name(found: ModelSource, folder: Path) -> str:
    """Name a hub repository with the commit that it was resolved to."""
    return f"{found.repo_id} @ {folder.name}" if found.repo_id else found.name
