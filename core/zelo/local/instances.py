"""One loaded model per process and configuration, whoever asks and however often.

Weights, tokenizer and worker are shared by every reranker with the same `InstanceKey`, counted,
and freed when the last of them is closed.
"""

import gc
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from zelo.catalog import ModelSource
from zelo.errors import ForkedError, InputError, ModelError
from zelo.local import device as devices
from zelo.local.checkpoint import Checkpoint, inspect_checkpoint
from zelo.local.engine import Engine
from zelo.local.head import read_score_row
from zelo.local.model import ScoringModel, load_backbone
from zelo.local.options import InstanceKey, Quantization
from zelo.local.out_of_memory import free_cached, is_out_of_memory, without_tensors
from zelo.local.quantization import check_quantization, quantize
from zelo.local.rehearsal import kinds_of_packs

__all__ = ["Instance", "acquire", "model_folder"]

log = logging.getLogger("zelo")


class Instance:
    """A loaded model with its tokenizer and worker."""

    def __init__(self, key: InstanceKey) -> None:
        self._key = key
        self._pid = os.getpid()
        self._users = 0
        folder = model_folder(key)
        checkpoint = inspect_checkpoint(folder, key.family or key.source.family, key.head)
        plan = _Plan.of(key, checkpoint)
        self.encoder = checkpoint.encoder
        self.commit = folder.name if key.source.repo_id else None
        """Of the hub repository, as the revision was resolved; None for a folder."""
        self.description = _description(key.source, self.commit, plan)
        self.max_tokens = checkpoint.max_tokens
        self.usual_tokens = checkpoint.usual_tokens
        row = read_score_row(checkpoint, self.encoder.positive_id, self.encoder.negative_id)
        models = [plan.load(checkpoint, row, device) for device in plan.devices]
        log.info("loaded %s", self.description)
        self._devices = plan.devices
        self.compiled = models[0].compiled
        """The layers are, so the first packs of each kind take long."""
        # of several cards, the one with the least free memory decides: larger packs are no faster
        wanted = key.max_batch_tokens
        tokens = min(devices.choose_batch_tokens(wanted, model.backbone) for model in models)
        self.engine = Engine(models, tokens)
        # a single thread: it guards the tokenizer, and works while the model does
        self.tokenizing = ThreadPoolExecutor(1, thread_name_prefix="zelo-tokenize")

    def warm_up(self) -> None:
        """Run on every device what is slow the first time. Blocks; no counter counts it.

        Raises:
            ScoringError: a model failed, or was closed.
        """
        if self.compiled or len(self._devices) > 1:
            packs = kinds_of_packs(self.encoder.positive_id)
            for done in self.engine.rehearse(packs):
                done.result()

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
        for device in self._devices:
            free_cached(device)


@dataclass(frozen=True)
class _Plan:
    """How a checkpoint is loaded, decided before any weight is read."""

    devices: list[torch.device]
    dtype: torch.dtype
    quantization: Quantization | None
    compile: bool

    @classmethod
    def of(cls, key: InstanceKey, checkpoint: Checkpoint) -> "_Plan":
        wanted = devices.choose_devices(key.device)
        dtype = devices.choose_dtype(key.dtype, wanted[0], checkpoint.files)
        if key.quantization is not None:
            for device in wanted:
                check_quantization(key.quantization, device, dtype)
        compiled = wanted[0].type == "cuda" if key.compile is None else key.compile
        return cls(wanted, dtype, key.quantization, compiled)

    def load(self, checkpoint: Checkpoint, row: torch.Tensor, device: torch.device) -> ScoringModel:
        """Read the weights for one device.

        Raises:
            ModelFileError: they cannot be read.
            ModelError: the device has no room for them.
        """
        try:
            if self.quantization is None:
                backbone = load_backbone(checkpoint.files, device, self.dtype)
            else:  # layer by layer, as there may be no room for all of them as they are
                backbone = load_backbone(checkpoint.files, torch.device("cpu"), self.dtype)
                quantize(backbone, self.quantization, device)
            return ScoringModel(backbone, row, compile=self.compile)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failure = without_tensors(error)
        free_cached(device)
        message = (
            f"the weights in {checkpoint.files.folder} do not fit into what is free of the memory "
            f"of {device}: stop what else is on it, choose another device, or load them smaller "
            "with quantization='int8-weights' or 'int4-weights'"
        )
        raise ModelError(message) from failure


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
        InputError: device, dtype or quantization cannot be used here.
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


def _description(source: ModelSource, commit: str | None, plan: _Plan) -> str:
    """Say which weights are in memory, with the commit that a hub repository was resolved to."""
    revision = f" @ {commit}" if commit else ""
    kinds = [str(plan.dtype).removeprefix("torch."), plan.quantization]
    where = ", ".join(map(str, plan.devices))
    how = f"{' with '.join(filter(None, kinds))} on {where}"
    return f"{source.repo_id or source.name}{revision} ({how})"
