"""The sides of a comparison: each loads the same folder and turns a workload into raw logits."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from transformers import Qwen3ForCausalLM

from zelo.errors import InputError, MissingExtraError
from zelo.local.prompt import PromptEncoder
from zelo.local.quiet import quiet
from zelo.reranker import Reranker
from zelo.results import Stats
from zelo.scoring.options import Limits

if TYPE_CHECKING:  # brings pydantic
    from zelo.wire.values import Scale as WireScale

__all__ = [
    "DEFAULT_BATCH_SIZE",
    "CrossEncoderPeer",
    "Peer",
    "ServerPeer",
    "TransformersPeer",
    "ZeloPeer",
    "load_causal",
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
    """zelo as its users get it: defaults, tokenisation and queue included.

    `options` are the Reranker's.
    """

    name = "zelo"

    def __init__(self, folder: Path, dtype: str, device: str | None = None, **options: Any) -> None:
        self._reranker = Reranker(folder, dtype=dtype, device=device, **options)
        self._reranker.warmup()

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the raw logit of each document, in input order."""
        return self._reranker.score(query, documents, scale="logit")

    def stats(self) -> Stats:
        """Return what the model has done so far."""
        return self._reranker.stats()

    def close(self) -> None:
        """Free the model."""
        self._reranker.close()


class ServerPeer:
    """A server of any maker, asked over HTTP; its weights are its own.

    Its scores are read as zerank's, whatever it serves.
    """

    name = "server"

    def __init__(self, url: str, model: str, dialect: str, scale: "WireScale | None") -> None:
        self._reranker = Reranker(
            model, family="zerank-2", base_url=url, dialect=dialect, score_scale=scale
        )

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the raw logit of each document, in input order."""
        return self._reranker.score(query, documents, scale="logit")

    def close(self) -> None:
        """Close the connections."""
        self._reranker.close()


class TransformersPeer:
    """Plain transformers at one batch size: padded on the left, sorted by length, the last logits.

    The best that the stock model does without packing; `encoder` writes the same prompts as zelo.
    """

    def __init__(self, model: Any, encoder: PromptEncoder, batch_size: int) -> None:
        self.batch_size = batch_size
        self.name = f"transformers/{batch_size}"
        self._model = model
        self._encoder = encoder

    @torch.inference_mode()
    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the raw logit of each document, in input order."""
        limits = Limits(max_tokens=self._model.config.max_position_embeddings)
        encoded = self._encoder.encode(query, documents, None, limits)
        prompts = [encoded.prefix + encoded.suffixes[slot.suffixes[0]] for slot in encoded.slots]
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        logits = [0.0] * len(prompts)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            for i, logit in zip(batch, self._logits([prompts[i] for i in batch]), strict=True):
                logits[i] = logit
        return logits

    def _logits(self, prompts: list[list[int]]) -> list[float]:
        longest = max(map(len, prompts))
        pads = [longest - len(prompt) for prompt in prompts]
        ids = torch.tensor([[0] * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)])
        mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads])
        device = self._model.device
        out = self._model(
            input_ids=ids.to(device),  # (N, T)
            attention_mask=mask.to(device),
            position_ids=(mask.cumsum(1) - 1).clamp(min=0).to(device),
            logits_to_keep=1,
            use_cache=False,
        )
        last = out.logits[:, -1].float()  # (N, V)
        found = last[:, self._encoder.positive_id]
        if self._encoder.negative_id is not None:
            found = found - last[:, self._encoder.negative_id]
        logits: list[float] = found.tolist()
        return logits


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


def load_causal(folder: Path, dtype: str, device: str) -> Any:
    """Load a folder as the stock Qwen3ForCausalLM, with transformers' own attention."""
    with quiet():
        model: Any = Qwen3ForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, use_safetensors=True
        )
    return model.to(device).eval()


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
