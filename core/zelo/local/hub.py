"""From a hub repository and a commit to a folder on disk. Knows files, nothing of what they say.

huggingface_hub does the work: cache, resumption, redirects, tokens from its own settings. No
token passes through this code, so none can be logged by it.
"""

from pathlib import Path

import huggingface_hub
from huggingface_hub import errors

from zelo.catalog import COMMIT
from zelo.errors import ModelError, ModelFileError, UnknownModelError
from zelo.local.checkpoint import read_checkpoint_files

__all__ = ["fetch"]

SCORE_CONFIG = "*LogitScore/config.json"
FILES = [
    "config.json",
    "modules.json",
    SCORE_CONFIG,
    "tokenizer.json",
    "model*.safetensors",
    "model.safetensors.index.json",
]
"""All that scoring reads. Remote code, pickles and chat templates are not even fetched."""


def fetch(repo_id: str, revision: str | None, cache_dir: Path | None, offline: bool) -> Path:
    """Return the folder of a repository at a revision, fetching what is missing.

    A whole copy of a commit in the cache is used without asking the hub.

    Raises:
        UnknownModelError: the hub has no such repository or revision, or hides it.
        ModelFileError: offline, and the cache does not hold it; or the download broke.
    """
    if revision and COMMIT.fullmatch(revision) and not offline:
        cached = _cached(repo_id, revision, cache_dir)
        if cached is not None:
            return cached
    try:
        return _snapshot(repo_id, revision, cache_dir, offline)
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise UnknownModelError(_not_found(repo_id, revision, error)) from error
    except Exception as error:  # the HTTP library under huggingface_hub differs by version
        if _status(error) in (401, 403):
            message = (
                f"the hub refused {repo_id} ({_status(error)}); log in with `hf auth login`, or "
                "check that the token in use may read it"
            )
            raise UnknownModelError(message) from error
        if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
            message = (
                f"{repo_id} at {revision or 'its default branch'} is not in the local cache"
                f"{_gap(error)}, and the hub was not to be asked or did not answer; fetch it once "
                "while online, or give a local folder as the model"
            )
        else:
            message = (
                f"fetching {repo_id} broke off ({type(error).__name__}); run the same again, "
                "files that have arrived whole are kept, or give a local folder as the model"
            )
        raise ModelFileError(message) from error


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status at the root of an error, if there is one."""
    response = getattr(error, "response", None)
    if error is None or response is not None:
        return getattr(response, "status_code", None)
    return _status(error.__cause__)


def _gap(error: Exception) -> str:
    """Name the file that a partial copy in the cache lacks, where there is a copy."""
    partial = getattr(error, "snapshot_path", None)
    try:
        if partial:
            read_checkpoint_files(Path(partial))
    except ModelError as fault:
        return f" as a whole ({fault})"
    return " as a whole" if partial else ""


def _cached(repo_id: str, revision: str, cache_dir: Path | None) -> Path | None:
    try:
        folder = _snapshot(repo_id, revision, cache_dir, offline=True)
        read_checkpoint_files(folder)
    except (errors.LocalEntryNotFoundError, ModelError):
        return None
    modules = folder / "modules.json"  # of a classifier, it lists no LogitScore
    if modules.is_file() and b"LogitScore" in modules.read_bytes():
        return folder if list(folder.glob(SCORE_CONFIG)) else None
    return folder


def _snapshot(repo_id: str, revision: str | None, cache_dir: Path | None, offline: bool) -> Path:
    folder = huggingface_hub.snapshot_download(
        repo_id,
        revision=revision,
        cache_dir=cache_dir,
        local_files_only=offline,
        allow_patterns=FILES,
    )
    return Path(folder)


def _not_found(repo_id: str, revision: str | None, error: Exception) -> str:
    if isinstance(error, errors.GatedRepoError):
        return f"{repo_id} is gated; accept its terms on the hub and log in with `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo_id} has no revision {revision!r}; give one of its commits"
    return (
        f"the hub has no repository {repo_id}, or it is private; check the spelling, and log in "
        "with `hf auth login` if it is yours"
    )
