"""Indexes and embeddings on disk, found again by what they were made of.

An entry is a folder with a digest for a name. It is written under another name, and gets its own
when every byte is on the disk: a run that is killed leaves no half of one that could be read.
Entries stay for ever; remove the folder, or parts of it, to free the space. What entries hold is
for others to know. They keep to JSON and to arrays without pickles, which run no code when read.
"""

import logging
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable
from typing import TypeVar

from zelo._common.cache_folder import cache_folder
from zelo._common.checks import file_path
from zelo.errors import InputError

__all__ = ["Cache"]

_log = logging.getLogger("zelo")

Value = TypeVar("Value")


class Cache:
    """A folder of entries, by default `zelo._common.cache_folder`; several processes may share it.

    Entries are readable by their owner alone: they tell of the texts that they were made of.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = cache_folder() if folder is None else file_path("folder", folder)

    def recall(
        self,
        kind: str,
        key: str,
        *,
        read: Callable[[pathlib.Path], Value],
        make: Callable[[], Value],
        write: Callable[[Value, pathlib.Path], None],
    ) -> Value:
        """Return what an entry holds, or else make it, keep it and return it.

        Args:
            kind: the folder that the entry lies in, such as `bm25`.
            key: a digest of everything that the value depends on.
            read: gets the value from the entry's folder. Whatever it raises means a damaged
                entry, which is made anew.
            make: computes the value.
            write: fills an empty folder with the value.

        Raises:
            InputError: the folder cannot be written to.
        """
        entry = self.folder / kind / key
        if entry.is_dir():
            try:
                return read(entry)
            except Exception as error:  # a damaged file may make its reader raise anything
                _log.warning("%s cannot be read (%s); made anew", entry, type(error).__name__)
        value = make()
        try:
            _write(entry, lambda folder: write(value, folder))
        except OSError as error:
            message = (
                f"{self.folder} cannot be written to ({error.strerror or error}); free some space, "
                "or let ZELO_CACHE name another folder"
            )
            raise InputError(message) from error
        return value


def _write(entry: pathlib.Path, fill: Callable[[pathlib.Path], None]) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    part = pathlib.Path(tempfile.mkdtemp(prefix=".part-", dir=entry.parent))
    try:
        fill(part)
        for path in part.iterdir():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        shutil.rmtree(entry, ignore_errors=True)  # a damaged one
        try:
            part.rename(entry)
        except OSError:
            if not entry.is_dir():  # else another process was first, with the same content
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
