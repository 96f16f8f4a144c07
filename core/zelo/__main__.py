"""The command `zelo`, and `python -m zelo`; an interrupt ends it in silence at any moment."""

import os
import signal

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        from zelo.cli import main as run  # interrupts are ignored, as in background jobs

        run()
        return
    signal.signal(signal.SIGINT, _leave)
    from zelo.cli import main as run

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGINT, _leave)


def _leave(*_: object) -> None:
    """End at once: imports, and what an interpreter does at its end, have nothing to undo."""
    os._exit(130)


if __name__ == "__main__":
    main()
