"""The model under test: its folder, and the sides that load it, zelo first and its peers later.

One zelo is loaded at a time, as its users have it, which leaves the card's memory to it.
"""

import gc
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from zelo.bench.models import SHAPES, Shape, shape_named, write_random_model
from zelo.bench.peers import (
    CrossEncoderPeer,
    Peer,
    TransformersPeer,
    ZeloPeer,
    load_causal,
    load_cross_encoder,
)
from zelo.bulk.plan.models import shape_of
from zelo.errors import ScoringError
from zelo.local.loading.checkpoint import inspect_checkpoint
from zelo.local.prompt import PromptEncoder
from zelo.scoring.families import FAMILIES

__all__ = ["SENTENCE_TRANSFORMERS", "TRANSFORMERS", "Subject", "free_memory"]

SENTENCE_TRANSFORMERS, TRANSFORMERS = "sentence-transformers", "transformers"
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class Subject:
    """A model under test. Its folder, if it is ours, is gone after `close`.

    Args:
        name: of a shape, for random weights, or of a folder.
        tokenizer_json: the random model's tokenizer; a folder has its own.
        dtype: of the weights that are written and loaded, before they are quantised.
        device: where all sides compute.
    """

    def __init__(self, name: str, tokenizer_json: str, dtype: str, device: torch.device) -> None:
        self.name = name
        self.random = name in SHAPES
        self._dtype, self._device = dtype, device
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if self.random:
            self.shape = shape_named(name)
            self._folder: Path | None = None
            self.encoder = PromptEncoder(tokenizer_json, FAMILIES["zerank-2"])
        else:
            self._folder = Path(name)
            checkpoint = inspect_checkpoint(self._folder)
            self.shape = Shape.of(shape_of(name, checkpoint.family.name))
            tokenizer_json = checkpoint.files.tokenizer_json
            self.encoder = checkpoint.encoder
        self.tokenizer_json = tokenizer_json
        self._zelo: ZeloPeer | None = None
        self._quantization = ""
        self._peers: dict[str, Any] = {}

    @property
    def bytes(self) -> int:
        """Weights in memory, roughly: projections and embedding."""
        embedding = self.shape.vocabulary * self.shape.hidden
        return (self.shape.projection_weights + embedding) * BYTES[self._dtype]

    @property
    def is_to_be_written(self) -> bool:
        """Whether its weights are random, and not yet drawn."""
        return self._folder is None

    def folder(self) -> Path:
        """Return where the weights are, writing them first if they are random."""
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="zelo-bench-")
            folder = Path(self._temporary.name)
            dtype = getattr(torch, self._dtype)
            write_random_model(folder, self.shape, self.tokenizer_json, dtype, self._device)
            free_memory()
            self._folder = folder
        return self._folder

    def load_zelo(self, quantization: str, max_batch_tokens: int | None = None) -> ZeloPeer:
        """Load zelo with these weights, in place of the one that was loaded before."""
        self.unload_zelo()
        self._quantization = quantization
        self._zelo = ZeloPeer(
            self.folder(),
            self._dtype,
            str(self._device),
            quantization=None if quantization == "none" else quantization,
            max_batch_tokens=max_batch_tokens,
        )
        return self._zelo

    def zelo(self, quantization: str) -> ZeloPeer:
        """Return the one that is loaded.

        Raises:
            ScoringError: none is, or one in another number format.
        """
        if self._zelo is None or self._quantization != quantization:
            raise ScoringError("zelo was not loaded for it; see the row of its loading")
        return self._zelo

    def unload_zelo(self) -> None:
        """Free zelo's memory."""
        if self._zelo is not None:
            self._zelo.close()
            self._zelo = None
        free_memory()

    def peer(self, name: str, batch_size: int) -> Peer:
        """Return a peer at a batch size; its model is loaded once."""
        if name not in self._peers:
            self._peers[name] = self._load(name)
        if name == SENTENCE_TRANSFORMERS:
            return CrossEncoderPeer(self._peers[name], batch_size)
        return TransformersPeer(self._peers[name], self.encoder, batch_size)

    def _load(self, name: str) -> Any:
        loaders: dict[str, Callable[[Path, str, str], Any]] = {
            SENTENCE_TRANSFORMERS: load_cross_encoder,
            TRANSFORMERS: load_causal,
        }
        return loaders[name](self.folder(), self._dtype, str(self._device))

    def unload_peer(self, name: str) -> None:
        """Free a peer's memory."""
        self._peers.pop(name, None)
        free_memory()

    def close(self) -> None:
        """Free all memory, and remove the folder if it is ours."""
        self._peers.clear()
        self.unload_zelo()
        if self._temporary is not None:
            self._temporary.cleanup()


def free_memory() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
