"""The sides of a comparison: each loads the same folder and turns a workload into raw logits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from zelo.errors import InputError, MissingExtraError
from zelo.local.quiet import quiet
from zelo.reranker import Reranker

__all__ = [
    "DEFAULT_BATCH_SIZE",
    "CrossEncoderPeer",
    "Peer",
    "ZeloPeer",
    "load_cross_encoder",
]

DEFAULT_BATCH_SIZE = 32
"""What CrossEncoder.predict takes when its caller does not say."""


class Peer(Protocol):
    """Something that scores documents for a query."""

    @property
    def name(self) -> str:
        """What the report calls it."""
        ...

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the raw logit of each document, in input order."""
        ...


class ZeloPeer:
    """zelo as its users get it: defaults, tokenisation and queue included."""

    name = "zelo"

    def __init__(self, folder: Path, dtype: str, device: str | None = None) -> None:
        self._reranker = Reranker(folder, dtype=dtype, device=device)
        self._reranker.warmup()

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the raw logit of each document, in input order."""
        return self._reranker.score(query, documents, scale="logit")

    def close(self) -> None:
        """Free the model."""
        self._reranker.close()


class CrossEncoderPeer:
    """sentence-transformers' CrossEncoder at one batch size; several may share one model."""

    def __init__(self, model: Any, batch_size: int) -> None:
        self.batch_size = batch_size
        self.name = f"CrossEncoder/{batch_size}"
        self._model = model

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the raw logit of each document, in input order."""
        logits = self._model.predict(
            [(query, document) for document in documents],
            batch_size=self.batch_size,
            show_progress_bar=False,
        )
        return [float(logit) for logit in logits]


def load_cross_encoder(folder: Path, dtype: str, device: str | None = None) -> Any:
    """Load a folder of the sentence-transformers form as a CrossEncoder that gives raw logits.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        InputError: the folder is of another form, which CrossEncoder would read with the wrong
            head and without an error.
    """
    if not (folder / "modules.json").is_file():
        message = f"{folder} has no modules.json; the comparison needs the sentence-transformers "
        raise InputError(message + "form of a model")
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise MissingExtraError("comparing with sentence-transformers", "bench") from error
    with quiet():
        return CrossEncoder(
            str(folder),
            device=device,
            local_files_only=True,
            model_kwargs={"dtype": getattr(torch, dtype)},
            activation_fn=torch.nn.Identity(),  # not the sigmoid that is its default
        )
