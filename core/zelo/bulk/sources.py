"""The files of an input: which a name means, their marks, and how one is opened."""

import glob
import pathlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple, cast

from zelo.bulk.storage import explained, is_local, local_path, store_at, without_key
from zelo.errors import InputError

__all__ = ["Source", "file_sources", "open_source"]

VERSIONS = (  # what stores call the mark that changes with a file's content, the surest first
    *("ETag", "etag", "md5Hash", "content_md5", "generation", "version_id"),
    *("mtime", "LastModified", "last_modified", "created"),
)


class Source(NamedTuple):
    """A file to read, as it was when the work was planned."""

    url: str
    size: int
    """In bytes."""
    version: str
    """The store's mark of this content, such as an ETag; of a local file, when it was changed."""

    @property
    def name(self) -> str:
        """What to call it in messages and in files: its address without a user's password."""
        return without_key(self.url)


def file_sources(pattern: str, suffixes: Iterable[str]) -> list[Source]:
    """Return the files that a path, a pattern with `*` or a folder means, by name.

    Of a folder those are taken that have one of the suffixes and do not begin with _ or a dot.

    Raises:
        InputError: there is none.
    """
    found = _local(pattern, suffixes) if is_local(pattern) else _stored(pattern, suffixes)
    if not found:
        message = (
            f"{without_key(pattern)}: there is no such file, or nothing that it could mean; a "
            f"folder has to hold {', '.join(suffixes)}"
        )
        raise InputError(message)
    return found


def open_source(url: str) -> BinaryIO:
    """Open a file for reading.

    Raises:
        InputError: it cannot be opened.
    """
    with explained(without_key(url), "read", InputError):
        if is_local(url):
            return local_path(url).open("rb")
        store, path = store_at(url)
        return cast(BinaryIO, store.open(path, "rb"))


def _local(pattern: str, suffixes: Iterable[str]) -> list[Source]:
    path = local_path(pattern)
    if path.is_dir():
        paths = [entry for entry in path.iterdir() if _is_data(entry.name, suffixes)]
    elif path.exists():
        paths = [path]
    else:
        paths = [pathlib.Path(found) for found in glob.glob(str(path), recursive=True)]
    files = sorted(path for path in paths if path.is_file())
    stats = [path.stat() for path in files]
    return [
        Source(str(path), stat.st_size, str(stat.st_mtime_ns))
        for path, stat in zip(files, stats, strict=True)
    ]


def _stored(pattern: str, suffixes: Iterable[str]) -> list[Source]:
    store, path = store_at(pattern)
    with explained(without_key(pattern), "read", InputError):
        if store.isdir(path):
            entries = store.ls(path, detail=True)
            entries = [e for e in entries if _is_data(e["name"].rpartition("/")[2], suffixes)]
        elif store.exists(path):
            entries = [store.info(path)]
        else:
            entries = list(store.glob(path, detail=True).values())
    return [
        Source(_address(pattern, entry["name"]), int(entry["size"]), _version(entry))
        for entry in sorted(entries, key=lambda entry: str(entry["name"]))
        if entry["type"] == "file"
    ]


def _address(pattern: str, name: str) -> str:
    """Return a file's address; stores list it without their scheme, and HTTP with it."""
    return name if "://" in name else f"{pattern.partition('://')[0]}://{name.lstrip('/')}"


def _is_data(name: str, suffixes: Iterable[str]) -> bool:
    return name.lower().endswith(tuple(suffixes)) and not name.startswith(("_", "."))


def _version(entry: dict[str, Any]) -> str:
    found = next((entry[name] for name in VERSIONS if entry.get(name) is not None), "unknown")
    # some stores tell a time in one way where they list and in another where they are asked
    return str(found.timestamp() if isinstance(found, datetime) else found)
