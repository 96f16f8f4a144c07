"""Files that are there whole or not at all, and errors that name the one that cannot be written."""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator

from zelo.errors import OutputError, ZeloError

__all__ = ["system_errno", "whole_file", "writing"]

RUST_ERRNO = re.compile(r"\(os error (\d+)\)")
"""How safetensors and hf_xet, written in Rust, tell what the system said."""


@contextlib.contextmanager
def writing(place: pathlib.Path) -> Iterator[None]:
    """Name a file or folder in whatever the system says against writing it.

    Errors of files elsewhere, which are read meanwhile, are none of it and go through.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        yield
    except ZeloError:
        raise
    except Exception as error:
        number = system_errno(error)
        if (number is None and not isinstance(error, OSError)) or _elsewhere(error, place):
            raise
        reason = error if number is None else os.strerror(number)
        message = f"{place} cannot be written: {reason}; make room or name another place for it"
        raise OutputError(message) from error


def _elsewhere(error: Exception, place: pathlib.Path) -> bool:
    """Whether an error names a file that is neither at the place nor on the way to it."""
    name, place = getattr(error, "filename", None), place.absolute()
    if not isinstance(name, str | os.PathLike):
        return False
    path = pathlib.Path(name).absolute()
    return path not in place.parents and place.parent not in path.parents


def system_errno(error: BaseException) -> int | None:
    """Return the system's number of an error, also where it stands in its text alone."""
    if isinstance(error, OSError):
        return error.errno
    told = RUST_ERRNO.search(str(error))
    return int(told[1]) if told else None


@contextlib.contextmanager
def whole_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Lend the path of a file that takes `path`'s place when the block ends, if it ends well.

    So a reader sees the old content or the new, never a half. Folders are made as needed.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            with partial.open("rb+") as written:
                os.fsync(written.fileno())
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error says more
                partial.unlink(missing_ok=True)
            raise
