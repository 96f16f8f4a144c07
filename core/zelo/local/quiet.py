"""Loading without the libraries' own reports and bars: ours is an error, or nothing."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what transformers and sentence-transformers say of loading and saving off the terminal.

    Their settings are of the whole process, so they are put back.
    """
    from transformers.utils import logging as reports

    silent: Any = reports  # its functions carry no types
    bars, verbosity = silent.is_progress_bar_enabled(), silent.get_verbosity()
    logger = logging.getLogger("sentence_transformers")
    level = logger.level
    silent.disable_progress_bar()
    silent.set_verbosity_error()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        silent.set_verbosity(verbosity)
        if bars:
            silent.enable_progress_bar()
