"""What files hold, as digests: whether a stage's inputs are still those that it was done with."""

import hashlib
import pathlib
from typing import Any

from zelo._common.journal import Journal, key_of
from zelo.local.loading.lora import read_adapter
from zelo.scoring.catalog import resolve

__all__ = ["Contents", "model_files"]

BLOCK = 1 << 20
PREFIX = "content "


class Contents:
    """Digests of files and folders, kept in a journal for as long as size and time stay.

    So a corpus is read once, not at every look at the plan.
    """

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal

    def of(self, path: pathlib.Path) -> str | None:
        """Return a digest of a file's content, or of a folder's files; None where it is missing.

        A folder of an adapter depends on the model that it changes, too.
        """
        if path.is_dir():
            files = sorted(found for found in path.rglob("*") if found.is_file())
            parts: list[list[Any]] = [
                [str(one.relative_to(path)), self._file(one)] for one in files
            ]
            if adapter := read_adapter(path):
                base = adapter.base
                parts.append([base.name, self.of(base.folder) if base.folder else base.revision])
            return key_of(*parts)
        return self._file(path) if path.is_file() else None

    def _file(self, path: pathlib.Path) -> str:
        state = path.stat()
        mark = [state.st_size, state.st_mtime_ns]
        key = PREFIX + str(path.resolve())
        known = self._journal.get(key) if self._journal is not None else None
        if known is not None and known["mark"] == mark:
            return str(known["digest"])
        digest = _digest(path)
        if self._journal is not None:
            self._journal.put(key, {"mark": mark, "digest": digest})
        return digest


def model_files(name: str) -> pathlib.Path | str:
    """Return the folder of a model, whose content counts, or what names it on the hub.

    Raises:
        UnknownModelError: it is no alias, folder or hub id.
    """
    source = resolve(name)
    return source.folder or f"{source.repo_id}@{source.revision}"


def _digest(path: pathlib.Path) -> str:
    digest = hashlib.blake2b(digest_size=20)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
