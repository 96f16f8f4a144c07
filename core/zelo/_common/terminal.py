"""Text that came from anywhere, made harmless for a terminal.

It reaches one only through `printable`, and rich only as `Text`, which reads no markup.
"""

import unicodedata

from rich.text import Text

__all__ = ["one_line", "printable"]

LONGEST_LINE = 2_000  # characters; more than any terminal is wide
JOINERS = "\u200c\u200d"  # invisible, but Persian, Hindi and emoji are misspelt without them


def printable(text: str) -> str:
    r"""Return a text that cannot steer a terminal: control characters become \x1b, \u202e, ...

    So do characters that turn the direction of what follows, and halves of characters.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def one_line(text: str, style: str = "", *, mark: str = "") -> Text:
    """Return a text as one line, to be cut where the table's cell ends, behind a coloured mark."""
    head = text[: 2 * LONGEST_LINE]  # documents may be megabytes
    line = printable(" ".join(head.split()))
    cut = len(line) > LONGEST_LINE or len(text) > len(head)
    shown = line[:LONGEST_LINE] + ("…" if cut else "")
    parts = [(f"{mark} ", "yellow")] if mark else []
    return Text.assemble(*parts, (shown, style), no_wrap=True, overflow="ellipsis")


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category not in ("Cc", "Cf", "Cs") or character in JOINERS:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
