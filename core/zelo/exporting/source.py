"""What is exported: a model that zelo scores with, opened without loading its layers.

Holds the score row, the tokenizer and where each tensor of the backbone lies on disk. Knows the
forms that `zelo.local.checkpoint` knows, and no engine.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3Model

from zelo.catalog import ModelSource, resolve
from zelo.errors import ModelFileError, UnsupportedModelError
from zelo.families import Family
from zelo.local.checkpoint import Checkpoint, inspect_checkpoint
from zelo.local.files import EXPORT_RECORD, refuse_faults, tensor_entries
from zelo.local.head import read_score_row
from zelo.local.instances import model_folder
from zelo.local.options import InstanceKey
from zelo.local.prompt import PromptEncoder

__all__ = ["PIECE", "TORCH", "Source", "StoredTensor", "open_source", "stored_tensors"]

PIECE = 16 * 2**20
"""Bytes of a tensor that are in memory at once; a multiple of every number's size."""
TORCH = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
"""Number types by what safetensors calls them."""
PREFIX = "model."
NOT_BACKBONE = ("lm_head.weight", "score.weight", "score.bias")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of the backbone and where its bytes lie."""

    name: str
    """As Qwen3ForCausalLM names it, such as model.layers.0.mlp.up_proj.weight."""
    path: Path
    kind: str
    """Number type as safetensors writes it: BF16, F32 or F16."""
    shape: tuple[int, ...]
    start: int
    """Where its bytes begin in the file."""
    size: int
    """Bytes."""

    def pieces(self) -> Iterator[bytes]:
        """Read its bytes piece by piece, without mapping the file into memory.

        Raises:
            ModelFileError: the file has become shorter since it was opened.
        """
        with self.path.open("rb") as file:
            file.seek(self.start)
            left = self.size
            while left:
                piece = file.read(min(PIECE, left))
                if len(piece) < min(PIECE, left):
                    raise ModelFileError(f"{self.path} became shorter while it was read")
                left -= len(piece)
                yield piece

    def numbers(self) -> Iterator[torch.Tensor]:
        """Read its numbers piece by piece, (n,) each, in the type that they are stored in.

        Raises:
            ModelFileError: as `pieces` does.
        """
        for piece in self.pieces():
            yield torch.frombuffer(bytearray(piece), dtype=TORCH[self.kind])


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
        """Where its files are."""
        return self.checkpoint.files.folder

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
    checkpoint = inspect_checkpoint(folder, family or found.family)
    encoder = checkpoint.encoder
    row = read_score_row(checkpoint, encoder.positive_id, encoder.negative_id)
    source = Source(
        name=_name(found, checkpoint.files.folder),
        alias=found.name if found.repo_id or found.family else None,
        checkpoint=checkpoint,
        encoder=encoder,
        row=row,
        tensors=tuple(_backbone(checkpoint)),
    )
    _check_shapes(source)
    return source


def _name(found: ModelSource, folder: Path) -> str:
    """Name a hub repository with the commit that it was resolved to."""
    return f"{found.repo_id} @ {folder.name}" if found.repo_id else found.name


def _backbone(checkpoint: Checkpoint) -> Iterator[StoredTensor]:
    for path in sorted(set(checkpoint.files.tensor_files.values())):
        for tensor in stored_tensors(path):
            if tensor.name not in NOT_BACKBONE:
                whole = tensor.name if tensor.name.startswith(PREFIX) else PREFIX + tensor.name
                yield replace(tensor, name=whole)


def stored_tensors(path: Path) -> list[StoredTensor]:
    """Return the tensors of a safetensors file, by their place in it.

    Raises:
        ModelFileError: the file is missing or not whole.
    """
    found = [StoredTensor(name, path, *entry) for name, entry in tensor_entries(path).items()]
    return sorted(found, key=lambda tensor: tensor.start)


def _check_shapes(source: Source) -> None:
    """Refuse what `zelo.local.model.load_backbone` would refuse, without reading a tensor."""
    with torch.device("meta"):
        wanted = {
            PREFIX + name: tuple(tensor.shape)
            for name, tensor in Qwen3Model(source.parsed_config).state_dict().items()
        }
    found = {tensor.name: tensor.shape for tensor in source.tensors}
    faults = {
        "are missing": sorted(set(wanted) - set(found)),
        "have another shape than config.json says": sorted(
            name for name in set(wanted) & set(found) if wanted[name] != found[name]
        ),
        "belong to another architecture": sorted(set(found) - set(wanted)),
        "hold numbers that are no floats": sorted(
            tensor.name for tensor in source.tensors if tensor.kind not in ("BF16", "F16", "F32")
        ),
    }
    refuse_faults(source.folder, faults)
