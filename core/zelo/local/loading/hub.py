"""From a hub repository and a commit to a folder on disk. Knows files, nothing of what they say.

huggingface_hub does the work: cache, resumption, redirects, tokens from its own settings. No
token passes through this code, so none can be logged by it.
"""

import errno
import logging
import os
import re
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants, errors

from zelo._common.atomic_write import system_errno
from zelo.errors import ModelError, ModelFileError, UnknownModelError, causes
from zelo.local.loading import lora
from zelo.local.loading.checkpoint import read_checkpoint_files
from zelo.local.loading.cross_encoder import CROSS_ENCODER, TEMPLATE, TRANSFORMER
from zelo.local.loading.files import is_whole, missing
from zelo.scoring.catalog import COMMIT, other_format

__all__ = ["fetch"]

SCORE_CONFIG = "*LogitScore/config.json"
FILES = [
    "config.json",
    "modules.json",
    SCORE_CONFIG,
    "tokenizer.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    *(CROSS_ENCODER, TRANSFORMER, "tokenizer_config.json"),
    *("added_tokens.json", "special_tokens_map.json"),
    *(TEMPLATE, "additional_chat_templates/*.jinja"),
    *(lora.SETTINGS, lora.WEIGHTS),
]
"""All that scoring reads. Remote code and pickles are not even fetched."""
OF_PROMPT = (CROSS_ENCODER, TRANSFORMER, "tokenizer_config.json", TEMPLATE)
"""What tells how a model in the sentence-transformers form is asked. A copy that lacks one may be
of a zelo that did not fetch it, so the hub is asked whether it has it."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNWRITABLE = (
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR),
    *(errno.EEXIST, errno.EIO, errno.ENAMETOOLONG, errno.ELOOP),
)
DAMAGED = "is cut short or damaged"

log = logging.getLogger("zelo")


def fetch(repo_id: str, revision: str | None, cache_dir: Path | None, offline: bool) -> Path:
    """Return the folder of a repository at a revision, fetching what is missing.

    A whole copy of a commit in the cache is used without asking the hub. A file that arrived
    damaged, or was damaged since, is fetched again, once.

    Raises:
        UnknownModelError: the hub has no such repository or revision, or hides it.
        ModelFileError: offline, and the cache does not hold it whole; the download broke, which
            the message tells the reason of; or the hub's own file is damaged.
    """
    if revision and COMMIT.fullmatch(revision) and not offline:
        cached = _cached(repo_id, revision, cache_dir)
        if cached is not None:
            return cached
    with _explained(repo_id, revision, cache_dir):
        folder = _snapshot(repo_id, revision, cache_dir, offline)
    for path in _damaged(folder):
        if offline or constants.HF_HUB_OFFLINE:
            message = (
                f"{path} {DAMAGED}, and the hub was not to be asked; delete {path.resolve()} and "
                "fetch it once while online, or give a local folder as the model"
            )
            raise ModelFileError(message)
        log.warning("%s %s, and is fetched again", path, DAMAGED)
        with _explained(repo_id, revision, cache_dir, f"{path} {DAMAGED}, and "):
            huggingface_hub.hf_hub_download(
                repo_id,
                path.relative_to(folder).as_posix(),
                revision=folder.name,
                cache_dir=cache_dir,
                force_download=True,
            )
    for path in _damaged(folder):
        message = f"{path} {DAMAGED}, and so it comes from the hub; choose another revision="
        raise ModelFileError(message)
    if not (offline or list(folder.glob("model*.safetensors"))):
        _refuse_other_format(repo_id, folder)
    return folder


def _refuse_other_format(repo_id: str, folder: Path) -> None:
    """Refuse a repository without weights that are read here, if it has some of another kind."""
    try:
        names = huggingface_hub.list_repo_files(repo_id, revision=folder.name)
    except Exception as error:  # it is only for the sake of the message
        log.debug("the files of %s cannot be listed: %r", repo_id, error)
        return
    if instead := other_format(names):
        raise ModelFileError(f"{repo_id} has no weights as safetensors. {instead}")


def _damaged(folder: Path) -> list[Path]:
    """Return the files that are not what their names say."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    wanted = (name for name in names if any(fnmatch(name, pattern) for pattern in FILES))
    return [folder / name for name in sorted(wanted) if not is_whole(folder / name)]


@contextmanager
def _explained(
    repo_id: str, revision: str | None, cache_dir: Path | None, before: str = ""
) -> Iterator[None]:
    """Turn whatever fetching raises into one of our errors, which keeps the reason."""
    try:
        yield
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise UnknownModelError(_not_found(repo_id, revision, error)) from error
    except Exception as error:  # the HTTP library under huggingface_hub differs by version
        if _status(error) in (401, 403):
            message = (
                f"the hub refused {repo_id} ({_status(error)}); log in with `hf auth login`, or "
                "check that the token in use may read it"
            )
            raise UnknownModelError(message) from error
        offline = isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled)
        if offline and (error.__cause__ is None or constants.HF_HUB_OFFLINE):
            message = (
                f"{repo_id} at {revision or 'its default branch'} is not in the local cache"
                f"{_gap(error)}, and the hub was not to be asked; fetch it once while online, or "
                "give a local folder as the model"
            )
        else:
            reason = _reason(error, cache_dir or Path(constants.HF_HUB_CACHE))
            message = (
                f"{before}fetching {repo_id} broke off: {reason}. Then run the same again: files "
                "that have arrived whole are kept. Or give a local folder as the model"
            )
        raise ModelFileError(message) from error


def _reason(error: Exception, cache: Path) -> str:
    """Say why fetching failed and what to do. No URL is repeated: it may hold a signature."""
    for one in causes(error):
        number, place = system_errno(one), getattr(one, "filename", None)
        if number in FULL:
            return (
                f"there is no room for it in {cache} ({os.strerror(number)}); free some, or name "
                "another disk with cache_dir= or HF_HOME"
            )
        if number in UNWRITABLE and (place or not isinstance(one, OSError)):  # no socket's
            return (
                f"{place or cache} cannot be written ({os.strerror(number)}); name a folder of "
                "yours with cache_dir= or HF_HOME"
            )
        if isinstance(one, ssl.SSLError):
            return (
                f"there is no trusted connection to the hub ({one.reason}); if a proxy opens "
                "connections, let SSL_CERT_FILE name a file with its certificates"
            )
        if type(one).__name__ == "ProxyError":
            refused = re.match(r"\d{3}\b", str(one))
            told = f" ({refused[0]})" if refused else ""
            return f"the proxy lets nothing through{told}; correct HTTPS_PROXY, or set NO_PROXY"
    status = _status(error)
    if status == 429:
        return (
            "the hub takes no more requests from here for now (429); wait some minutes, or log in "
            "with `hf auth login`, which allows more"
        )
    if status is not None and status >= 500:
        return f"the hub failed ({status}); wait until it is well"
    if status is not None:
        return f"the hub refused ({status}); check HF_ENDPOINT"
    kind = type(list(causes(error))[-1]).__name__
    if not any(map(_is_network, causes(error))):
        return f"the hub's library raised {kind}; check HF_ENDPOINT and what lies in the cache"
    by_proxy = ", the proxy in HTTPS_PROXY" if "https" in urllib.request.getproxies() else ""
    return f"the hub did not answer ({kind}); check the network{by_proxy} and HF_ENDPOINT"


def _is_network(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return "TransportError" in names or isinstance(error, ConnectionError | TimeoutError)


def _status(error: BaseException) -> int | None:
    """Return the HTTP status at the root of an error, if there is one."""
    responses = (getattr(one, "response", None) for one in causes(error))
    return next((one.status_code for one in responses if one is not None), None)


def _gap(error: Exception) -> str:
    """Name the file that a partial copy in the cache lacks, where there is a copy."""
    partial = getattr(error, "snapshot_path", None)
    try:
        if partial:
            _check_whole(Path(partial))
    except ModelError as fault:
        return f" as a whole ({fault})"
    return " as a whole" if partial else ""


def _cached(repo_id: str, revision: str, cache_dir: Path | None) -> Path | None:
    try:
        folder = _snapshot(repo_id, revision, cache_dir, offline=True)
        _check_whole(folder)
    except (errors.LocalEntryNotFoundError, ModelError, OSError, ValueError):
        return None  # asking the hub tells why
    if _damaged(folder):
        return None
    return folder


def _check_whole(folder: Path) -> None:
    """Check that a copy in the cache lacks nothing that the hub may have of this repository.

    Raises:
        ModelFileError: names the first file that is missing, cut short or unreadable.
    """
    if lora.read_adapter(folder) is None:  # the model that one changes is another repository's
        read_checkpoint_files(folder)
    if not (folder / "modules.json").is_file():
        return
    # a classifier's lists no LogitScore
    listed = b"LogitScore" in (folder / "modules.json").read_bytes()
    if listed and not list(folder.glob(SCORE_CONFIG)):
        raise ModelFileError(missing(folder / SCORE_CONFIG))
    for name in OF_PROMPT:
        if not (folder / name).is_file():
            raise ModelFileError(missing(folder / name))


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
