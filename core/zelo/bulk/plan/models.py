"""The shapes of models, from which their work and memory follow. No weights are read.

zerank's are those of the models they were trained from: Qwen3-4B and, for zerank-1-small,
Qwen3-1.7B (their config.json; 4,022,468,096 parameters is what zerank-2's index counts).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zelo.errors import InputError, MissingExtraError, ModelFileError, UnsupportedModelError
from zelo.scoring.catalog import ALIASES, HUB_NAMES, resolve
from zelo.scoring.families import Family, family_named

__all__ = ["NAMED", "SIZES", "ModelShape", "ProjectionWeights", "shape_of"]


class ProjectionWeights:
    """Counts what tokens are multiplied with, for whatever has a Qwen3 model's sizes."""

    __slots__ = ()
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int

    @property
    def query_width(self) -> int:
        """Numbers of one token's queries, of all heads."""
        return self.heads * self.head_dim

    @property
    def key_width(self) -> int:
        """Numbers of one token's keys, and of its values."""
        return self.kv_heads * self.head_dim

    @property
    def key_value_weights(self) -> int:
        """Weights of the projections to keys and values, in one layer."""
        return 2 * self.hidden * self.key_width

    @property
    def other_weights(self) -> int:
        """Weights of all other projections of a layer: queries, output and the MLP's three."""
        return 2 * self.hidden * self.query_width + 3 * self.hidden * self.intermediate

    @property
    def projection_weights(self) -> int:
        """Weights of all layers: a token that goes through them costs two operations for each."""
        return self.layers * (self.key_value_weights + self.other_weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape(ProjectionWeights):
    """The sizes of a Qwen3 model, and how it is asked."""

    name: str
    family: Family
    layers: int
    hidden: int
    intermediate: int
    """Width of the MLP."""
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    """Rows of the embedding."""
    context: int
    """Longest prompt, in tokens."""
    tokenizer: Path | None = None
    """tokenizer.json, where there is one; without it, Qwen3's own tokenizer is meant."""
    family_is_told: bool = True
    """Whether the folder or the caller named the family; it decides about the frame alone."""

    @property
    def parameters(self) -> int:
        """Numbers that are held in memory: embedding, layers and norms, no vocabulary projection.

        A layer has norms of two hidden states and of one head's query and key.
        """
        norms = 2 * self.hidden + 2 * self.head_dim
        embedding = self.vocabulary * self.hidden
        return embedding + self.projection_weights + self.layers * norms + self.hidden


def _qwen3(
    alias: str, layers: int, hidden: int, intermediate: int, heads: int, kv_heads: int
) -> ModelShape:
    return ModelShape(
        name=alias,
        family=family_named(ALIASES[alias].family or ""),
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=128,
        vocabulary=151_936,
        context=40_960,
    )


NAMED = {
    shape.name: shape
    for shape in (
        _qwen3("zerank-2", 36, 2560, 9728, 32, 8),
        _qwen3("zerank-1", 36, 2560, 9728, 32, 8),
        _qwen3("zerank-1-small", 28, 2048, 6144, 16, 8),
    )
}


def shape_of(model: str, family: str | None = None) -> ModelShape:
    """Return the shape of a model by its name, or by the config.json in its folder.

    Raises:
        UnknownModelError: it is no alias, hub id or folder.
        InputError: its shape is not known by name, or the family is unknown.
        ModelFileError: config.json is missing or lacks a size.
        UnsupportedModelError: it is no Qwen3.
        MissingExtraError: a folder is given, and the packages that read it are not installed.
    """
    source = resolve(model)
    if source.folder is not None:
        return _of_folder(source.folder, source.name, family or source.family)
    known = HUB_NAMES[model].name if model in HUB_NAMES else source.name
    if known not in NAMED:
        message = (
            f"the shape of {model!r} is not known here; give a folder with its config.json. Known "
            f"by name are {', '.join(sorted(NAMED))} and zelo-nano"
        )
        raise InputError(message)
    return NAMED[known]


SIZES = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "intermediate": "intermediate_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "vocabulary": "vocab_size",
    "context": "max_position_embeddings",
}
"""How config.json calls them."""


def _of_folder(folder: Path, name: str, family: str | None) -> ModelShape:
    config = _config(folder)
    if config.get("model_type") != "qwen3":
        message = (
            f"{folder} holds a model of type {config.get('model_type')!r}, and zelo runs Qwen3"
        )
        raise UnsupportedModelError(message)
    sizes: dict[str, int] = {}
    for field, key in SIZES.items():
        value = config.get(key)
        if type(value) is not int or value < 1:
            message = f"{folder / 'config.json'} says {key}={value!r}; it must be a whole number"
            raise ModelFileError(message)
        sizes[field] = value
    told = family or config.get("zelo_family")
    tokenizer = folder / "tokenizer.json"
    return ModelShape(
        name=name,
        family=family_named(str(told or "zerank")),
        tokenizer=tokenizer if tokenizer.is_file() else None,
        family_is_told=told is not None,
        **sizes,
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        from zelo.local.loading.files import read_json
    except ImportError as error:
        raise MissingExtraError("planning for a model in a folder", "local") from error
    return read_json(folder / "config.json")
