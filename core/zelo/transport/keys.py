"""Keys of servers: kept from sight, and named by the environment's variable that holds each.

So no key stands on a command line or in a configuration. What was written in place of a name is in
no message: it may be the key itself.
"""

import os
import re
from collections.abc import Collection, Mapping
from typing import NoReturn

from zelo.errors import InputError

__all__ = ["Secret", "keys_of"]

VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
"""What a variable for a key is called; hardly a key that was written in its place."""


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


def keys_of(variables: Mapping[str, str], on_servers: Collection[str], what: str) -> dict[str, str]:
    """Return the keys, from the environment.

    Args:
        variables: by the name of what is asked with the key.
        on_servers: what can have one.
        what: that is called, such as `judge`.

    Raises:
        InputError: a name is of nothing that is on a server, or its variable is none or not set.
    """
    if any(not VARIABLE.fullmatch(variable) for variable in variables.values()):
        message = (
            f"a {what}'s key is given by the name of the environment's variable that holds it, in "
            "capitals, such as QWEN_KEY; the key itself is not to be written there"
        )
        raise InputError(message)
    if not variables.keys() <= set(on_servers):
        known = ", ".join(on_servers) or "none here"
        raise InputError(f"a key is named for no {what} that is on a server; these are: {known}")
    keys = {name: os.environ.get(variable, "") for name, variable in variables.items()}
    for name, key in keys.items():
        if not key:
            message = f"the environment's variable that is named for the key of {name!r} is not set"
            raise InputError(message)
    return keys
