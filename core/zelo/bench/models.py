"""Random Qwen3 rerankers of known shapes, saved so that every side of a comparison loads them.

Speed does not depend on what weights hold, so a random model of the true shape stands for a real
one. The folder is in the sentence-transformers form, which both zelo and CrossEncoder read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import Qwen3Config, Qwen3ForCausalLM

from zelo.bulk.plan.models import NAMED, ModelShape, ProjectionWeights
from zelo.errors import InputError, ModelFileError
from zelo.local.loading.saving import save_reranker
from zelo.local.quiet import quiet
from zelo.scoring.catalog import resolve

__all__ = ["SHAPES", "Shape", "read_tokenizer", "shape_named", "write_random_model"]

SEED = 0
CPU = torch.device("cpu")
ANSWER = "Yes"
END_OF_TEXT = "<|endoftext|>"
CONTEXT = 40_960  # tokens, as in Qwen3's config.json


@dataclass(frozen=True, slots=True)
class Shape(ProjectionWeights):
    """The sizes of a Qwen3 model with tied embeddings."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int = 151_936
    """Embedding rows; Qwen3's own number, whatever tokenizer the texts go through."""

    @classmethod
    def of(cls, planned: ModelShape) -> "Shape":
        """Return the sizes of a model that is planned for."""
        sizes = {field.name: getattr(planned, field.name) for field in fields(cls)}
        return cls(**sizes)


SHAPES = {
    shape.name: shape
    for shape in (
        # name, layers, hidden, intermediate, heads, kv_heads, head_dim
        Shape("cpu-small", 4, 512, 1_536, 8, 4, 64),
        *map(Shape.of, NAMED.values()),
    )
}
"""The shapes that can be asked for by name. A further one is a row here."""


def shape_named(name: str) -> Shape:
    """Return a shape by name, or raise an InputError that lists them."""
    if name not in SHAPES:
        raise InputError(f"unknown shape {name!r}; shapes are {', '.join(sorted(SHAPES))}")
    return SHAPES[name]


def read_tokenizer(folder: Path | None = None) -> str:
    """Return the text of a folder's tokenizer.json; without a folder, of the packaged zelo-nano.

    Raises:
        InputError: there is no such file.
        ModelFileError: it is not a tokenizer, or lacks a token that zerank's frame needs.
    """
    path = (folder or resolve("zelo-nano").folder or Path()) / "tokenizer.json"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}); name a folder that holds one"
        raise InputError(message) from error
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises bare Exception on bad JSON
        raise ModelFileError(f"{path} is not a tokenizer ({error})") from error
    needed = (END_OF_TEXT, "<|im_start|>", "<|im_end|>")
    absent = [token for token in needed if tokenizer.token_to_id(token) is None]
    # it may write the answer in its own way, as lower-cased
    if len(tokenizer.encode(ANSWER, add_special_tokens=False).ids) != 1:
        absent.append(ANSWER)
    if absent:
        message = f"{path} has no token {', '.join(absent)}; use the tokenizer of a Qwen3 model"
        raise ModelFileError(message)
    return text


def write_random_model(
    folder: Path,
    shape: Shape,
    tokenizer_json: str,
    dtype: torch.dtype = torch.float32,
    device: torch.device = CPU,
) -> None:
    """Fill an empty folder with a random zerank of this shape, the same at every call.

    It is drawn on `device`, in `dtype` where that is a card: four thousand million numbers take a
    minute on a processor, and there they are float32 first, twice.

    Raises:
        InputError: the tokenizer has more tokens than the shape has rows.
    """
    tokenizer = Tokenizer.from_str(tokenizer_json)
    if tokenizer.get_vocab_size() > shape.vocabulary:
        message = (
            f"the tokenizer has {tokenizer.get_vocab_size()} tokens, and shape {shape.name!r} "
            f"only {shape.vocabulary} rows for them"
        )
        raise InputError(message)
    drawn_in = dtype if device.type == "cuda" else torch.float32
    forked = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked), device, _default_dtype(drawn_in):
        # the caller's random numbers stay as they were
        torch.manual_seed(SEED)
        model: Any = Qwen3ForCausalLM(_config(shape, tokenizer))
    with quiet():
        save_reranker(model, tokenizer, folder, dtype=dtype)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _config(shape: Shape, tokenizer: Tokenizer) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id("<|im_end|>"),
        pad_token_id=tokenizer.token_to_id(END_OF_TEXT),
    )
