"""A folder that holds a LoRA adapter alone: which model it changes, told before anything is loaded.

Its changes are merged in `zelo.local.loading.merging`.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zelo.errors import ModelFileError, UnknownModelError, UnsupportedModelError
from zelo.local.loading.files import missing, read_json, tensor_entries
from zelo.scoring.catalog import ModelSource, resolve

__all__ = ["SETTINGS", "WEIGHTS", "Adapter", "check_base", "read_adapter"]

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The files that peft writes. Its pickle, adapter_model.bin, is never read."""
OF_WHOLE = ("model.safetensors", "model.safetensors.index.json", "pytorch_model*.bin")


@dataclass(frozen=True)
class Adapter:
    """Changes of another model's layers, and which model that is."""

    folder: Path
    settings: dict[str, Any]
    """Its adapter_config.json."""
    base: ModelSource
    """The model that it was trained on."""


def read_adapter(folder: Path) -> Adapter | None:
    """Return the adapter that a folder is; None for a folder without one.

    Raises:
        UnsupportedModelError: whole weights lie beside it, or it is no LoRA.
        ModelFileError: one of its files is missing, cut short or unreadable.
        UnknownModelError: the name of the model that it changes means nothing here.
    """
    if not (folder / SETTINGS).is_file():
        return None
    if any(beside for pattern in OF_WHOLE for beside in folder.glob(pattern)):
        message = (
            f"{folder} holds a model and an adapter beside it ({SETTINGS}), and nothing says "
            "whether the one is merged into the other. If it is, remove the adapter's files, "
            f"{SETTINGS} and {WEIGHTS}; if it is not, move them into a folder of their own and "
            "give that one, or merge them with peft's merge_and_unload and save the result"
        )
        raise UnsupportedModelError(message)
    settings = read_json(folder / SETTINGS)
    if settings.get("peft_type") != "LORA":
        message = (
            f"{folder} holds an adapter of type {settings.get('peft_type')!r}; zelo merges LORA "
            "alone. Merge it with peft's merge_and_unload, and give the folder of the result"
        )
        raise UnsupportedModelError(message)
    if not (folder / WEIGHTS).is_file():
        message = missing(folder / WEIGHTS)
        if (folder / "adapter_model.bin").is_file():
            message += ". adapter_model.bin is a pickle, which can run code and is not read"
        raise ModelFileError(message)
    tensor_entries(folder / WEIGHTS)
    adapter = Adapter(folder, settings, _base(folder, settings))
    if adapter.base.folder is not None:
        check_base(adapter, adapter.base.folder)
    return adapter


def check_base(adapter: Adapter, base: Path) -> None:
    """Refuse the folder of an adapter's model that is one of an adapter, which may be the same.

    Raises:
        UnsupportedModelError: it is.
    """
    if (base / SETTINGS).is_file():
        message = (
            f"the adapter in {adapter.folder} changes {adapter.base.name}, which holds an adapter "
            "itself; merge that one into its model, with peft's merge_and_unload, and save the "
            "result"
        )
        raise UnsupportedModelError(message)


def _base(folder: Path, settings: dict[str, Any]) -> ModelSource:
    name, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not name or not isinstance(name, str):
        message = (
            f"{folder / SETTINGS} does not name the model that the adapter changes; write its "
            "folder or hub id there, as base_model_name_or_path"
        )
        raise ModelFileError(message)
    beside = folder / os.path.expanduser(name)  # a relative path may be meant from here
    try:
        source = resolve(os.fspath(beside) if beside.is_dir() else name)
    except UnknownModelError as error:
        message = (
            f"the adapter in {folder} changes {name!r}, which is not here ({error}); correct "
            f"base_model_name_or_path in its {SETTINGS}"
        )
        raise UnknownModelError(message) from error
    return resolve(name, str(revision)) if revision and source.repo_id else source
