"""What the screen gets: consoles, JSON lines, notes to the user.

Documents come from anywhere, so their text reaches a terminal only through `zelo._common.terminal`.
"""

import json
import re
import sys
from typing import Any, NoReturn

import typer
from rich.console import Console

from zelo._common.terminal import printable

__all__ = [
    "Screen",
    "errors_to",
    "json_line",
    "note",
    "out",
    "symbols",
]

NOT_FOR_TERMINALS = re.compile("[\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


class Screen(Console):
    """A console that reports a closed pipe as BrokenPipeError, as a plain write does."""

    def on_broken_pipe(self) -> NoReturn:
        """Leave the decision to the command, which knows the exit code."""
        raise BrokenPipeError


def out() -> Screen:
    """Return the console for results: stdout as it is now."""
    return Screen(file=sys.stdout, highlight=False, emoji=False, markup=False)


def errors_to() -> Screen:
    """Return the console for notes and progress: stderr as it is now."""
    return Screen(file=sys.stderr, highlight=False, emoji=False, markup=False)


def note(message: str) -> None:
    """Tell the user something on stderr, line by line with control characters made visible."""
    lines = [printable(line) for line in f"zelo: {message}".split("\n")]
    typer.echo("\n".join(lines), err=True)


def json_line(value: dict[str, Any]) -> None:
    """Write one object as one line of JSON in UTF-8, whatever the locale, safe for terminals.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot say.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # json.dumps escapes what lies below the space; all of these stand inside strings.
    text = NOT_FOR_TERMINALS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
    typer.echo(text.encode())


def symbols(console: Console) -> bool:
    """Whether the console can show arrows and the like."""
    return console.encoding.startswith("utf")
