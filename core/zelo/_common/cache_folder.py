"""Where zelo keeps what it can make again: indexes, embeddings, compiled code."""

import os
import pathlib

__all__ = ["cache_folder"]


def cache_folder() -> pathlib.Path:
    """`$ZELO_CACHE`, else `zelo` in `$XDG_CACHE_HOME`, else `~/.cache/zelo`."""
    if chosen := os.environ.get("ZELO_CACHE"):
        return pathlib.Path(chosen)
    shared = pathlib.Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification: a path that is not absolute counts as none.
    return (shared if shared.is_absolute() else pathlib.Path.home() / ".cache") / "zelo"
