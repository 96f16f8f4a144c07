"""From an embedding model's name to a folder in sentence-transformers' form that is safe to load.

Looks at files without loading any, imports no package and no code out of a model's folder.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from zelo.errors import (
    MissingExtraError,
    ModelFileError,
    UnknownModelError,
    UnsupportedModelError,
)
from zelo.scoring.catalog import HUB_ID

__all__ = ["check_folder", "digest_of", "find_folder"]

READ = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")
"""All that loading reads. Pickles and code are not even fetched."""
MODULES = "modules.json"
ADAPTER = "adapter_config.json"
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
OTHER_BACKENDS = {"onnx", "openvino"}
"""Folders of exports, whose .bin files are no pickles; they are not read."""
OURS = "sentence_transformers."


def find_folder(model: str | os.PathLike[str]) -> pathlib.Path:
    """Return the folder of a model: a folder, an installed package's, or a hub repository's.

    A folder comes first, then a package that is installed under that name and holds one model,
    then a hub id such as `sentence-transformers/all-MiniLM-L6-v2`, which is fetched if need be.

    Raises:
        UnknownModelError: it is none of these.
        ModelFileError: the repository could not be fetched.
    """
    name = os.fspath(model)
    if name and pathlib.Path(name).is_dir():
        return pathlib.Path(name)
    if packaged := _packaged(name):
        return packaged
    if HUB_ID.fullmatch(name):
        return _fetched(name)
    message = (
        f"{name!r} is no folder, no installed package that holds a sentence-transformers model, "
        "and no hub id such as owner/name; check the spelling"
    )
    raise UnknownModelError(message)


def check_folder(folder: pathlib.Path) -> None:
    """Refuse a folder that is no model, or whose loading would run its code or a pickle.

    Raises:
        ModelFileError: it is not in sentence-transformers' form.
        UnsupportedModelError: it names code that is not sentence-transformers' own, has weights
            that are not safetensors, or an adapter, which is applied where peft is installed and
            left out where it is not.
    """
    for adapter in folder.rglob(ADAPTER):
        message = (
            f"{adapter.parent} holds an adapter; merge it into its model with peft's "
            "merge_and_unload, and give the result's folder. If that has been done to the weights "
            f"beside it, remove {adapter.name} and adapter_model.safetensors"
        )
        raise UnsupportedModelError(message)
    for kind in _module_types(folder):
        if not kind.startswith(OURS):
            message = (
                f"{folder} wants the class {kind}, which is not sentence-transformers' own; code "
                "that comes with a model is never run, so use another model"
            )
            raise UnsupportedModelError(message)
    for home in {path.parent for path in folder.rglob("*") if path.suffix in PICKLES}:
        if home.name not in OTHER_BACKENDS and not any(home.glob("*.safetensors")):
            message = (
                f"{home} holds weights as a pickle, which can run code when it is read; save the "
                "model as safetensors"
            )
            raise UnsupportedModelError(message)


def digest_of(folder: pathlib.Path) -> str:
    """Return a digest of the files that loading reads, their names and contents."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted({path for pattern in READ for path in folder.rglob(pattern)}):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "blake2b").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\0".encode())
    return digest.hexdigest()


def _module_types(folder: pathlib.Path) -> Iterator[str]:
    """Yield the names of the classes that loading would make, also those inside routers."""
    modules = _json(folder / MODULES)
    try:
        kinds = [str(module["type"]) for module in modules]
    except (TypeError, KeyError):
        kinds = []
    if not kinds:
        raise ModelFileError(f"{folder / MODULES} is no list of modules; copy the model again")
    yield from kinds
    for path in folder.rglob("*config.json"):
        config = _json(path)
        types = config.get("types") if isinstance(config, dict) else None
        if isinstance(types, dict):
            yield from map(str, types.values())


def _json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"{path} does not exist; an embedding model is a folder with a {MODULES}"
        raise ModelFileError(message) from None
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read ({type(error).__name__}); copy the model again"
        raise ModelFileError(message) from error


def _packaged(name: str) -> pathlib.Path | None:
    """Find the model that an installed package brought, without importing the package."""
    try:
        files = importlib.metadata.files(name) or ()
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None
    lists = [pathlib.Path(str(file.locate())) for file in files if file.name == MODULES]
    folders = [path.parent for path in lists if path.is_file()]
    if len(folders) > 1:
        shown = ", ".join(map(str, folders))
        raise UnknownModelError(f"package {name!r} holds {len(folders)} models; name one: {shown}")
    return folders[0] if folders else None


def _fetched(repo_id: str) -> pathlib.Path:
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingExtraError("a local embedding model", "eval") from error
    try:
        return pathlib.Path(huggingface_hub.snapshot_download(repo_id, allow_patterns=list(READ)))
    except errors.RepositoryNotFoundError as error:
        message = (
            f"{repo_id} is no folder, and the hub has no such repository, or it is private; check "
            "the spelling, and log in with `hf auth login` if it is yours"
        )
        raise UnknownModelError(message) from error
    except Exception as error:  # the HTTP library under huggingface_hub differs by version
        message = (
            f"fetching {repo_id} broke off ({type(error).__name__}); run the same again, or give "
            "a local folder as the embedding model"
        )
        raise ModelFileError(message) from error
