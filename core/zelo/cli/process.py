"""What a shell sees of the command besides its results: streams, interrupts, exit codes."""

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from zelo.cli.render import note

__all__ = ["INTERRUPTED", "heed_interrupts", "interrupted", "sound_streams"]

INTERRUPTED = 130  # 128 + SIGINT, what a shell reports
PIPE_CLOSED = 141  # 128 + SIGPIPE, what a shell reports for `seq 1000000 | head -1`
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})

_signals = -1
"""Where the numbers of the signals that came can be read; -1 for nowhere."""


@contextmanager
def sound_streams() -> Iterator[None]:
    """Let streams that are closed, full, without a reader or without UTF-8 end in no traceback.

    Raises:
        SystemExit: as the block, or because what it wrote cannot be written.
    """
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding lacks is spelt out
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except SystemExit as end:  # rich and typer make one of a closed pipe, with a code of their own
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        _silence_stdout()
        raise SystemExit(PIPE_CLOSED) from None
    except BrokenPipeError:
        _silence_stdout()
        raise SystemExit(PIPE_CLOSED) from None
    except OSError as error:
        if error.errno not in FULL:
            raise
        _silence_stdout()
        note(f"error: the output cannot be written: {error.strerror}")
        raise SystemExit(1) from error


def heed_interrupts() -> None:
    """Remember interrupts from now on: C code of an import may drop one, and fail later."""
    global _signals
    if os.name == "posix":
        _signals, told = os.pipe()
        os.set_blocking(_signals, False)
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)


def interrupted() -> bool:
    """Whether an interrupt came since the last time, whatever became of it."""
    try:
        return _signals != -1 and signal.SIGINT in os.read(_signals, 4096)
    except BlockingIOError:
        return False


def _open_closed() -> None:
    """Open to nowhere what the shell closed: the next file opened would get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


def _silence_stdout() -> None:
    """Let what is still buffered go nowhere, rather than fail at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # a stdout without a file behind it has nothing to fail
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
