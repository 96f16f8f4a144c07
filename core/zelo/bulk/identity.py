"""What the results of bulk scoring depend on, and how two such works differ, in words.

Input files count by address, size and the store's mark of their content; a local model by a digest
of its files, one of the hub by its commit. A server is known by its address only: that it serves
the same model tomorrow, nobody can tell from here. A number type counts where it is given, and
otherwise follows the hardware: give it where machines of several kinds share the work.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zelo.bulk.sources import Source
from zelo.bulk.storage import without_key
from zelo.errors import InputError
from zelo.local.loading.lora import read_adapter
from zelo.scoring.catalog import ModelSource, resolve, server_of_environment

__all__ = ["differences", "identity_of_model", "listed_files", "options_that_count"]

NEUTRAL = {
    *("device", "compile", "max_batch_tokens", "cache_dir", "local_files_only"),
    *("timeout", "max_retries", "base_url", "api_key", "allow_http", "http2", "dialect"),
    "revision",
}
"""Options of a reranker that leave its scores as they are, or that the model's identity tells."""
MODEL_FILES = (".json", ".safetensors", ".jinja")


def listed_files(sources: Sequence[Source]) -> list[list[Any]]:
    """Return the files of an input as JSON holds them."""
    return [[source.name, source.size, source.version] for source in sources]


def options_that_count(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given options of a reranker on which its scores depend."""
    return {
        name: value
        for name, value in sorted(options.items())
        if name not in NEUTRAL and value not in (None, False, "truncate")  # the defaults
    }


def identity_of_model(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Tell which weights a reranker will score with; a hub's branch is resolved to its commit.

    Raises:
        ModelError: there is no such model.
    """
    server = options.get("base_url") or server_of_environment(model)
    if server is not None:
        servers = [server] if isinstance(server, str) else list(server)
        return {"model": model, "server": [without_key(one) for one in servers]}
    return _identity(resolve(model, options.get("revision")), options)


def _identity(source: ModelSource, options: Mapping[str, Any]) -> dict[str, Any]:
    if source.folder is not None:
        found = {"model": source.name, "weights": _digest(source.folder)}
        adapter = read_adapter(source.folder)
        # an adapter's scores depend on what it changes as much as on itself
        return found | ({"base": _identity(adapter.base, options)} if adapter else {})
    revision = source.revision
    if revision is None or len(revision) != 40:
        from zelo.local.instances import model_folder  # brings torch
        from zelo.scoring.options import InstanceKey

        fetching = {
            name: options[name] for name in ("cache_dir", "local_files_only") if name in options
        }
        revision = model_folder(InstanceKey(source, **fetching)).name
    return {"model": source.repo_id, "revision": revision}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say what differs between the work of a plan and the one that is asked for."""
    return [
        *_of_files("input", before["input"], now["input"]),
        *_of_files("collection", before["collection"], now["collection"]),
        *_of_model(before["model"], now["model"]),
        *_of_values(before["settings"], now["settings"]),
    ]


def _of_files(
    role: str, before: Sequence[Sequence[Any]], now: Sequence[Sequence[Any]]
) -> Iterator[str]:
    old = {name: (size, version) for name, size, version in before}
    new = {name: (size, version) for name, size, version in now}
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"{role}: {name} is not there any more"
        elif name not in old:
            yield f"{role}: {name} is new"
        elif old[name][0] != new[name][0]:
            yield f"{role}: {name} had {old[name][0]} bytes, now it has {new[name][0]}"
        elif old[name] != new[name]:
            yield f"{role}: {name} has changed since (it was {old[name][1]}, now {new[name][1]})"
    if list(old) != list(new) and old.keys() == new.keys():
        yield f"{role}: its files come in another order"


def _of_model(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old = {name: value for name, value in before.items() if name != "model"}
    new = {name: value for name, value in now.items() if name != "model"}
    if old != new or ("weights" not in new and before != now):  # one folder may have two names
        yield f"model: it was {_told(before)}, now it is {_told(now)}"


def _of_values(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield f"{name}: it was {before.get(name)!r}, now it is {now.get(name)!r}"


def _told(model: Mapping[str, Any]) -> str:
    others = ", ".join(f"{name} {value}" for name, value in model.items() if name != "model")
    return f"{model['model']} ({others})"


def _digest(folder: Path) -> str:
    """Return a digest of a model's files and their names."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in MODEL_FILES)
    if not files:
        raise InputError(f"{folder} holds no model; give the folder that holds config.json")
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        with path.open("rb") as file:
            of_file = hashlib.file_digest(file, "blake2b").digest()
        digest.update(f"{path.relative_to(folder)}\n".encode() + of_file)
    return digest.hexdigest()
