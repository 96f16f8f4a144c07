"""Local folders, and whatever fsspec reaches: where results are written, and what a name means.

A plain path or file:// needs no further package. Any other scheme:// goes through fsspec, which
takes keys and endpoints from its own configuration (FSSPEC_* variables, ~/.config/fsspec) and from
the store's usual variables; none passes through here. Knows names and bytes, not what they mean.
"""

import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from zelo._common.atomic_write import whole_file
from zelo.bulk.errors import OutputError
from zelo.errors import InputError, MissingExtraError, ZeloError

__all__ = [
    "Folder",
    "explained",
    "folder_at",
    "is_local",
    "local_path",
    "store_at",
    "without_key",
]

LOCAL = "file://"
HALF = ".partial"  # what `whole_file` calls a file that is not yet whole
USER = re.compile(r"(?<=://)[^/@]*@")


class Folder(Protocol):
    """A place for results, whose files are named relative to it with slashes."""

    url: str

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, in place of an earlier one; whole before anyone sees it."""
        ...

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the content of each file; those that are not there are left out."""
        ...

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the size of each file directly in a subfolder, by its name relative to that."""
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Delete files; those that are not there are no error."""
        ...

    def tidy(self) -> None:
        """Delete what killed processes left half written, which nobody sees as files."""
        ...


class LocalFolder:
    """A folder of this machine, or of a disk that all machines share."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self.url = str(path)

    def write(self, name: str, content: bytes) -> None:
        """Write aside, flush to the disk, and rename: a reader sees the old file or the new."""
        with whole_file(self._path / name) as partial:
            partial.write_bytes(content)

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return what is there."""
        found = {}
        for name in names:
            with explained(self._path / name, "read"):
                try:
                    found[name] = (self._path / name).read_bytes()
                except FileNotFoundError:
                    continue
        return found

    def sizes(self, below: str = "") -> dict[str, int]:
        """List a subfolder; without what a killed process left half written."""
        folder = self._path / below
        with explained(folder, "read"):
            if not folder.is_dir():
                return {}
            return {
                entry.name: entry.stat().st_size
                for entry in os.scandir(folder)
                if entry.is_file() and not entry.name.endswith(HALF)
            }

    def remove(self, names: Sequence[str]) -> None:
        """Delete files."""
        for name in names:
            with explained(self._path / name, "removed"):
                (self._path / name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Delete the files that were never renamed."""
        for left in self._path.rglob(f".*{HALF}"):
            with explained(left, "removed"):
                left.unlink(missing_ok=True)


class StoreFolder:
    """A folder that fsspec reaches.

    S3, Google Cloud Storage and Azure show an object when its upload is complete, and not before.
    Stores that do not, such as SFTP, show a part while it is written; the ledger counts none that
    was not finished.
    """

    def __init__(self, url: str) -> None:
        self._store, self._root = store_at(url)
        self.url = without_key(url)

    def write(self, name: str, content: bytes) -> None:
        """Upload in one piece."""
        path = self._at(name)
        with explained(f"{self.url}/{name}", "written"):
            try:
                self._store.pipe_file(path, content)
            except FileNotFoundError:  # stores with real folders; others need none
                self._store.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._store.pipe_file(path, content)

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Download, many at once where the store can."""
        by_path = {self._at(name): name for name in names}
        with explained(self.url, "read"):
            contents = self._store.cat(list(by_path), on_error="omit") if names else {}
        return {by_path[path]: content for path, content in contents.items()}

    def sizes(self, below: str = "") -> dict[str, int]:
        """List, past the listing that fsspec remembers."""
        self._store.invalidate_cache()
        with explained(f"{self.url}/{below}", "read"):
            try:
                entries = self._store.ls(self._at(below), detail=True)
            except FileNotFoundError:
                return {}
        return {
            entry["name"].rpartition("/")[2]: int(entry["size"] or 0)
            for entry in entries
            if entry["type"] == "file"
        }

    def remove(self, names: Sequence[str]) -> None:
        """Delete files."""
        for name in names:
            with explained(f"{self.url}/{name}", "removed"):
                try:
                    self._store.rm_file(self._at(name))
                except FileNotFoundError:
                    continue

    def tidy(self) -> None:
        """Nothing: what was not uploaded whole is not there."""

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def folder_at(url: str) -> Folder:
    """Return the folder of that name, which need not exist.

    Raises:
        InputError: it is an existing file, or nobody knows its scheme.
        MissingExtraError: it is not of this machine, and fsspec is not installed.
    """
    if not is_local(url):
        return StoreFolder(url.rstrip("/"))
    path = local_path(url)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; name a folder for the results")
    return LocalFolder(path)


def is_local(url: str) -> bool:
    """Whether a name is of a file or folder that this machine's system opens by itself."""
    return "://" not in url or url.startswith(LOCAL)


def without_key(url: str) -> str:
    """Return an address without the user and password that may stand in it."""
    return USER.sub("", url)


def local_path(url: str) -> pathlib.Path:
    """Return the path of a file or folder of this machine, from the root."""
    return pathlib.Path(os.path.abspath(os.path.expanduser(url.removeprefix(LOCAL))))


def store_at(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path in it.

    Raises:
        InputError: nobody knows its scheme, or the package that knows is not installed.
        MissingExtraError: fsspec is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError(
            f"reading and writing {url.partition('://')[0]}://", "bulk"
        ) from error
    try:
        store, path = url_to_fs(url)
    except (ImportError, ValueError) as error:  # the store's own package, an unknown scheme
        raise InputError(f"{without_key(url)} cannot be reached: {error}") from error
    return store, path


@contextmanager
def explained(
    place: object, deed: str, kind: type[OutputError | InputError] = OutputError
) -> Iterator[None]:
    """Name the file in whatever a file system raises; stores raise errors of their own."""
    try:
        yield
    except ZeloError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise kind(f"{place} cannot be {deed}: {reason}") from error
