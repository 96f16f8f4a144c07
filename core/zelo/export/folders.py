"""Folders that are there whole or not at all."""

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from zelo._common.atomic_write import writing
from zelo.errors import InputError

__all__ = ["whole_folder"]


@contextlib.contextmanager
def whole_folder(folder: Path, *, force: bool) -> Iterator[Path]:
    """Lend an empty folder that takes `folder`'s place when the block ends, if it ends well.

    A block that fails leaves nothing. A process that is killed leaves a folder whose name begins
    with a dot and ends with `.partial`, which the next one for the same folder takes away.

    Args:
        folder: where it will be.
        force: replace what is there.

    Raises:
        InputError: something is there already.
        OutputError: it cannot be written.
    """
    _check_absent(folder, force)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder")
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial"):
        if not _running(left):
            shutil.rmtree(left, ignore_errors=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        with writing(folder):
            partial.mkdir(parents=True)
            yield partial
            _check_absent(folder, force)  # another process may have been faster
            _replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _check_absent(folder: Path, force: bool) -> None:
    if folder.exists() and not force:
        message = f"{folder} exists already; name another, or replace it with force (--force)"
        raise InputError(message)


def _replace(partial: Path, folder: Path) -> None:
    old = partial.with_name(partial.name.replace(".partial", ".old.partial"))
    if folder.exists():
        os.replace(folder, old)
    os.replace(partial, folder)
    shutil.rmtree(old, ignore_errors=True)


def _running(partial: Path) -> bool:
    """Whether the process that fills a folder is still there."""
    if os.name != "posix":
        return True  # asking for a process would end it there
    pid = partial.name.removesuffix(".partial").removesuffix(".old").rpartition(".")[2]
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True
