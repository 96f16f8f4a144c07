"""A key that can be used, and cannot be shown, pickled or compared by accident."""

from typing import NoReturn

__all__ = ["Secret"]


class Secret:
    """Holds a key; its text comes out of `reveal()` alone."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the key."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled; the copy takes its own from the environment")
