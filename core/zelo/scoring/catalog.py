"""Names of models: aliases, hub repositories with pinned commits, the packaged zelo-nano.

Pinned commits of the zerank models: those checked live by cohere-ai/rcp-ndcg (2026-10). Old
repository names redirect on the hub; here they lead to the new one directly.
"""

import difflib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from zelo.errors import InputError, UnknownModelError

__all__ = ["ModelSource", "folder_of", "other_format", "resolve", "server_of_environment"]

SERVERS = ("ZELO_BASE_URL", "ZEROENTROPY_BASE_URL")
"""Variables of the environment that name a server, ours first."""
PACKAGED = Path(__file__).parents[1] / "models"

OTHER_FORMATS = {
    r"\.gguf$": (
        "is a file for llama.cpp, which zelo does not read: serve it with llama-server "
        "--reranking and give its address as base_url=, or give the folder or repository that it "
        "was made of"
    ),
    r"^weights.*\.npz$": (
        "is a file for MLX, which zelo does not read: give the folder or repository that it was "
        "made of"
    ),
    r"^(pytorch_model.*|model)\.(bin|pt|pth)$": (
        "is a pickle, which can run code and is not read: convert it first"
    ),
    r"\.onnx$": "is a file for ONNX Runtime, which zelo does not read: give the original model",
}
"""What a folder may hold in place of what is read, by the file's name, and what to do then."""

COMMIT = re.compile(r"[0-9a-f]{40}")
NAME = r"[A-Za-z0-9](?:[\w.-]{0,94}\w)?"
HUB_ID = re.compile(rf"(?!.*(?:--|\.\.|\.git$)){NAME}/{NAME}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from, before anything is read or fetched."""

    name: str = field(compare=False)
    """What to call it in messages: an alias, hub id or path as it was given."""
    repo_id: str | None = None
    """Hub repository, or None for a folder."""
    revision: str | None = None
    """Commit, tag or branch on the hub; None for the default branch, resolved when fetched."""
    folder: Path | None = None
    """Local folder, or None for a hub repository."""
    family: str | None = None
    """The family, where the name alone tells it."""


def _zeroentropy(alias: str, family: str, revision: str) -> ModelSource:
    return ModelSource(alias, f"zeroentropy/{alias}-reranker", revision, family=family)


def _qwen(size: str) -> ModelSource:
    repo_id = f"Qwen/Qwen3-Reranker-{size}"
    return ModelSource(repo_id.partition("/")[2].lower(), repo_id, family="qwen3-reranker")


ALIASES = {
    source.name: source
    for source in (
        _zeroentropy("zerank-2", "zerank-2", "5eae30d5ee3c6b2df2ef6d723bde45172d761c4c"),
        _zeroentropy("zerank-1", "zerank-1", "d03c467e29e29c0a16a130a86ce3b62d30116a2c"),
        _zeroentropy("zerank-1-small", "zerank-1", "a65fd51c450e9b47fdddab98e31166ecad21af8d"),
        _qwen("0.6B"),
        _qwen("4B"),
        _qwen("8B"),
        ModelSource("zelo-nano", folder=PACKAGED / "zelo-nano", family="zelo"),
    )
}
"""Every alias. zerank-2-small and zerank-2-nano were named by the vendor but never published."""

HUB_NAMES = {
    name: source
    for source in ALIASES.values()
    if source.repo_id is not None
    for name in (source.repo_id, source.repo_id.removesuffix("-reranker"))
}


def resolve(model: str, revision: str | None = None) -> ModelSource:
    """Find out what a model name means, without touching the network.

    An alias comes first, then an existing folder, then a hub id. A revision given here replaces
    the pinned one.

    Raises:
        UnknownModelError: no alias, folder or hub id has this form.
        InputError: a revision is given for something that has none.
    """
    source = ALIASES.get(model) or _folder(model) or HUB_NAMES.get(model) or _hub_id(model)
    if source is None:
        raise UnknownModelError(_unknown(model))
    if revision is None:
        return source
    if source.repo_id is None:
        message = f"revision= names a commit on the hub, but {source.name!r} is a local folder"
        raise InputError(message)
    return ModelSource(source.name, source.repo_id, revision, family=source.family)


def server_of_environment(model: str) -> str | None:
    """Return the server that the environment names for a model, or None to run it here.

    A folder and the packaged model are here; who wants them on a server gives base_url.
    """
    if folder_of(model) is not None:
        return None
    return next((os.environ[name] for name in SERVERS if os.environ.get(name)), None)


def folder_of(model: str) -> Path | None:
    """Return the folder that a model's name means; None for one on the hub, or for none at all."""
    here = ALIASES.get(model) or _folder(model)
    return None if here is None else here.folder


def other_format(names: Collection[str]) -> str | None:
    """Say what to do with the first file that holds a model in a form that is not read here."""
    for pattern, cure in OTHER_FORMATS.items():
        for name in names:
            if re.search(pattern, name):
                return f"{name} {cure}"
    return None


def _folder(model: str) -> ModelSource | None:
    path = os.path.expanduser(model)  # pathlib's raises where there is no such user
    return ModelSource(model, folder=Path(path).resolve()) if os.path.isdir(path) else None


def _hub_id(model: str) -> ModelSource | None:
    if not HUB_ID.fullmatch(model) or os.path.isfile(model):
        return None
    return ModelSource(model, repo_id=model)


def _unknown(model: str) -> str:
    if os.path.isfile(os.path.expanduser(model)):
        instead = other_format([os.path.basename(model)])
        return instead or f"{model!r} is a file; give the folder that holds config.json"
    known = sorted(ALIASES)
    close = difflib.get_close_matches(model.lower(), known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return (
        f"unknown model {model!r}: no such folder, and not an alias ({', '.join(known)}) "
        f"or a hub id such as zeroentropy/zerank-2-reranker; {hint}".rstrip("; ")
    )
