"""An embedding model in this process, by sentence-transformers.

Nothing is imported or loaded before the first text that no cache knows.
"""

import functools
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

from zelo._common.checks import at_least_one, path_text
from zelo._common.fork import compute
from zelo.errors import MissingExtraError, ModelFileError, ScoringError
from zelo.retrieval.model_folder import check_folder, digest_of, find_folder
from zelo.retrieval.vectors import Vectors
from zelo.scoring.options import device_name

__all__ = ["LocalEncoder"]


class LocalEncoder:
    """Embeds with a model's own prompts for queries and documents, where it has them.

    A text longer than the model reads is cut by its tokenizer, as sentence-transformers does.
    Weights are float32 on every device, so that kept vectors do not depend on the machine.

    Args:
        model: a folder in sentence-transformers' form, the name of an installed Python package
            that holds one, or a hub id. Code of a model is never run, nor a pickle read.
        device: as torch names it; default, the accelerator if there is one.
        batch_size: texts in a forward pass.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        ModelError: there is no such model, or it cannot be loaded safely.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        device: str | int | None = None,
        batch_size: int = 32,
    ) -> None:
        if importlib.util.find_spec("sentence_transformers") is None:
            raise MissingExtraError("a local embedding model", "eval")
        self._batch_size = at_least_one("batch_size", batch_size)
        self._device = device_name(device)
        self._folder = find_folder(path_text("model", model))
        check_folder(self._folder)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """The model's files and the library's version; not its path, device or batch size."""
        version = importlib.metadata.version("sentence-transformers")
        return {"files": digest_of(self._folder), "sentence-transformers": version}

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per query.

        Raises:
            ModelError: the model cannot be loaded.
            ScoringError: it failed.
        """
        return self._encode(self._model.encode_query, texts)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per document.

        Raises:
            ModelError: the model cannot be loaded.
            ScoringError: it failed.
        """
        return self._encode(self._model.encode_document, texts)

    def _encode(self, encode: Callable[..., Any], texts: Sequence[str]) -> Vectors:
        try:
            found = compute(
                lambda: encode(
                    list(texts),
                    batch_size=self._batch_size,
                    show_progress_bar=False,
                    convert_to_tensor=True,
                )
            )
        except Exception as error:  # torch, the tokenizer and the modules raise what they like
            message = (
                f"{self._folder} could not embed {len(texts)} texts ({type(error).__name__}); if "
                "memory ran out, use a smaller batch_size"
            )
            raise ScoringError(message) from error
        vectors: Vectors = found.float().cpu().numpy()
        return vectors

    @functools.cached_property
    def _model(self) -> Any:
        import torch
        from sentence_transformers import SentenceTransformer

        from zelo.local.loading.device import choose_device
        from zelo.local.quiet import quiet

        device = choose_device(self._device)
        try:
            with quiet():
                model = compute(
                    lambda: SentenceTransformer(
                        str(self._folder),
                        device=str(device),
                        local_files_only=True,
                        trust_remote_code=False,
                        model_kwargs={"use_safetensors": True, "dtype": torch.float32},
                    )
                )
        except Exception as error:  # each of its modules raises what it likes
            message = (
                f"{self._folder} cannot be loaded by sentence-transformers "
                f"({type(error).__name__}); copy the model again, or use another one"
            )
            raise ModelFileError(message) from error
        return model.float().eval()
