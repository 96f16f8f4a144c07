"""One loaded model per process and configuration, whoever asks and however often.

Weights, tokenizer and worker are shared by every reranker with the same `InstanceKey`, counted,
and freed when the last of them is closed.
"""

import gc
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from zelo.catalog import ModelSource
from zelo.errors import ForkedError, InputError
from zelo.local import device as devices
from zelo.local.checkpoint import Checkpoint, inspect_checkpoint
from zelo.local.engine import Engine
from zelo.local.head import read_score_row
from zelo.local.model import ScoringModel, load_backbone
from zelo.local.options import InstanceKey
from zelo.local.prompt import PromptEncoder

__all__ = ["Instance", "acquire", "model_folder"]

log = logging.getLogger("zelo")


class Instance:
    """A loaded model with its tokenizer and worker."""

    def __init__(self, key: InstanceKey) -> None:
        self._key = key
        self._pid = os.getpid()
        self._users = 0
        folder = model_folder(key)
        checkpoint = inspect_checkpoint(folder, key.family or key.source.family)
        device = devices.choose_device(key.device)
        dtype = devices.choose_dtype(key.dtype, device, checkpoint.files)
        self.encoder = PromptEncoder(checkpoint.files.tokenizer_json, checkpoint.family)
        self.description = _description(key.source, folder, device, dtype)
        self.max_tokens = _context(checkpoint)
        model = _load(checkpoint, self.encoder, device, dtype)
        log.info("loaded %s", self.description)
        self.engine = Engine(model, devices.choose_batch_tokens(key.max_batch_tokens, device))
        # a single thread: it guards the tokenizer, and works while the model does
        self.tokenizing = ThreadPoolExecutor(1, thread_name_prefix="zelo-tokenize")

    def check_process(self) -> None:
        """Refuse to be used in a forked child, where the worker's thread does not exist."""
        if os.getpid() != self._pid:
            message = (
                "this process was forked after the model was loaded, and cannot use its parent's "
                "copy: make a new Reranker here, load after forking, or start with 'spawn'"
            )
            raise ForkedError(message)

    def release(self) -> None:
        """Count one user less; the last one frees the memory."""
        if os.getpid() != self._pid:
            return
        with _registry.lock:
            self._users -= 1
            if self._users > 0:
                return
            _registry.instances.pop(self._key, None)
        self.engine.close()
        self.tokenizing.shutdown(wait=False)  # what is left to encode meets a closed engine
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Registry:
    """The instances of this process, with a lock for each that is being loaded."""

    def __init__(self) -> None:
        # reentrant: the garbage collector may release a forgotten reranker's model at any moment,
        # also in a thread that is in here
        self.lock = threading.RLock()
        self.instances: dict[InstanceKey, Instance] = {}
        self.loading: dict[InstanceKey, threading.Lock] = {}

    def acquire(self, key: InstanceKey) -> Instance:
        with self.lock:
            loading = self.loading.setdefault(key, threading.Lock())
        with loading:
            with self.lock:
                instance = self.instances.get(key)
                if instance is not None:
                    instance._users += 1
                    return instance
            instance = Instance(key)
            with self.lock:
                instance._users += 1
                self.instances[key] = instance
                return instance


_registry = _Registry()


def _forget() -> None:
    global _registry
    _registry = _Registry()


# a forked child starts with none: threads did not come along, and locks may be held forever
os.register_at_fork(after_in_child=_forget)


def acquire(key: InstanceKey) -> Instance:
    """Return the process's instance for a key, loading it if it is the first to ask.

    Raises:
        ModelError: the model cannot be found, read or trusted.
        InputError: device or dtype cannot be used here.
    """
    return _registry.acquire(key)


def model_folder(key: InstanceKey) -> Path:
    """Return the folder with a model's files, fetching them if they are not here.

    Raises:
        ModelError: they cannot be had.
        InputError: the name is of no folder and no hub repository.
    """
    if key.source.folder is not None:
        return key.source.folder
    if key.source.repo_id is None:
        raise InputError(f"{key.source.name!r} names neither a folder nor a hub repository")
    from zelo.local import hub

    cache_dir = Path(key.cache_dir) if key.cache_dir else None
    return hub.fetch(key.source.repo_id, key.source.revision, cache_dir, key.local_files_only)


def _description(
    source: ModelSource, folder: Path, device: torch.device, dtype: torch.dtype
) -> str:
    """Say which weights are in memory, with the commit that a hub repository was resolved to."""
    commit = f" @ {folder.name}" if source.repo_id else ""
    number_type = str(dtype).removeprefix("torch.")
    return f"{source.repo_id or source.name}{commit} ({number_type} on {device})"


def _context(checkpoint: Checkpoint) -> int:
    return int(checkpoint.files.config.get("max_position_embeddings", 32_768))


def _load(
    checkpoint: Checkpoint, encoder: PromptEncoder, device: torch.device, dtype: torch.dtype
) -> ScoringModel:
    row = read_score_row(checkpoint, encoder.positive_id, encoder.negative_id)
    return ScoringModel(load_backbone(checkpoint.files, device, dtype), row)
