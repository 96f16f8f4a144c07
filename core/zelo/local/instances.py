"""One loaded model per process and configuration, whoever asks and however often.

Weights, tokenizer and worker are shared by every reranker with the same `InstanceKey`, counted,
and freed when the last of them is closed. A forked child has none of its parent's: the worker's
thread did not come along.
"""

import gc
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zelo._common.fork import compute, in_each_process
from zelo.errors import ForkedError, InputError, ModelError
from zelo.local.engine import Engine
from zelo.local.loading import device as devices
from zelo.local.loading.checkpoint import Checkpoint, inspect_checkpoint
from zelo.local.loading.score_head import read_score_row
from zelo.local.model import ScoringModel, load_backbone
from zelo.local.out_of_memory import free_cached, is_out_of_memory, without_tensors
from zelo.local.quantization import check_quantization
from zelo.local.rehearsal import kinds_of_packs
from zelo.scoring.catalog import ModelSource
from zelo.scoring.options import InstanceKey, Quantization

__all__ = ["Instance", "acquire", "model_folder", "open_checkpoint"]

log = logging.getLogger("zelo")

FORKED = (
    "this process was forked from one that had used CUDA, which cannot be used here any more: use "
    "it only after forking, start processes with 'spawn', or compute with device='cpu'"
)


class Instance:
    """A loaded model with its tokenizer and worker."""

    def __init__(self, key: InstanceKey) -> None:
        self._key = key
        self._users = 0
        checkpoint = open_checkpoint(key)
        wanted = devices.choose_devices(key.device)
        plan = compute(lambda: _Plan.of(key, checkpoint, wanted))
        self.encoder = checkpoint.encoder
        self.commit = checkpoint.files.own_folder.name if key.source.repo_id else None
        """Of the hub repository, as the revision was resolved; None for a folder."""
        self.description = _description(key, checkpoint, plan)
        self.max_tokens = checkpoint.max_tokens
        self.usual_tokens = checkpoint.usual_tokens
        row = read_score_row(checkpoint, self.encoder.positive_id, self.encoder.negative_id)
        models = compute(lambda: [plan.load(checkpoint, row, device) for device in plan.devices])
        log.info("loaded %s", self.description)
        self._devices = plan.devices
        self.compiled = models[0].compiled
        """The layers are, so the first packs of each kind take long."""
        # of several cards, the one with the least free memory decides: larger packs are no faster
        most = key.max_batch_tokens
        tokens = min(devices.choose_batch_tokens(most, model.backbone) for model in models)
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

    def release(self) -> None:
        """Count one user less; the last one frees the memory."""
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
    def of(cls, key: InstanceKey, checkpoint: Checkpoint, wanted: list[torch.device]) -> "_Plan":
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
            backbone = load_backbone(checkpoint.files, device, self.dtype, self.quantization)
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
        self.instances: dict[InstanceKey, Instance] = {}
        self.of_parents: set[InstanceKey] = set()
        """What this process would share, were it not forked."""
        self.cuda_used = self.cuda_taken = False
        """By this process when it last forked; by one that it was forked from."""
        in_each_process(self._begin)

    def _begin(self) -> None:
        # reentrant: the garbage collector may release a forgotten reranker's model at any moment,
        # also in a thread that is in here
        self.lock = threading.RLock()
        self.of_parents |= self.instances.keys()
        self.instances = {}
        self.cuda_taken |= self.cuda_used
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
            if self.cuda_taken and not (key.device or "").startswith("cpu"):
                raise ForkedError(FORKED)
            instance = Instance(key)
            if key in self.of_parents:
                log.warning(
                    "process %d was forked, and loaded its own copy of %s: memory is paid again",
                    *(os.getpid(), instance.description),
                )
            with self.lock:
                instance._users += 1
                self.instances[key] = instance
                return instance


_registry = _Registry()


def _before_fork() -> None:
    cuda: Any = torch.cuda
    _registry.cuda_used = cuda.is_initialized()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before_fork)


def acquire(key: InstanceKey) -> Instance:
    """Return the process's instance for a key, loading it if it is the first to ask.

    Raises:
        ModelError: the model cannot be found, read or trusted.
        InputError: device, dtype or quantization cannot be used here.
        ForkedError: a card is to be used, which CUDA allows no child of a process that used one.
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
    from zelo.local.loading import hub

    return hub.fetch(key.source.repo_id, key.source.revision, _cache(key), key.local_files_only)


def open_checkpoint(key: InstanceKey) -> Checkpoint:
    """Return what a model's folder holds, fetching what is not here.

    Raises:
        ModelError: it cannot be had, read or trusted.
        InputError: the name is of no model, or the family is unknown or contradicts the folder.
    """
    return inspect_checkpoint(
        model_folder(key),
        key.family or key.source.family,
        key.head,
        cache_dir=_cache(key),
        local_files_only=key.local_files_only,
    )


def _cache(key: InstanceKey) -> Path | None:
    return Path(key.cache_dir) if key.cache_dir else None


def _description(key: InstanceKey, checkpoint: Checkpoint, plan: _Plan) -> str:
    """Say which weights are in memory, with the commits that hub repositories were resolved to."""
    files = checkpoint.files
    told = _told(key.source, files.own_folder)
    if files.adapter is not None:
        told += f" merged into {_told(files.adapter.base, files.folder)}"
    kinds = [str(plan.dtype).removeprefix("torch."), plan.quantization]
    where = ", ".join(map(str, plan.devices))
    how = f"{' with '.join(filter(None, kinds))} on {where}"
    return f"{told} ({how})"


def _told(source: ModelSource, folder: Path) -> str:
    return f"{source.repo_id} @ {folder.name}" if source.repo_id else source.name
