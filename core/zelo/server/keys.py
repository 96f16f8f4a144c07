"""API keys: who may use the server. Only digests are kept, so there is no key to give away."""

import hmac
import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from zelo.errors import InputError

__all__ = ["ApiKeys"]

VARIABLE = "ZELO_API_KEYS"


class ApiKeys:
    """The keys that a server accepts as `Authorization: Bearer KEY`; none admits everybody.

    Raises:
        InputError: a key is empty, or holds a blank or a character that headers cannot carry.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = tuple(_digest(_checked(key)) for key in keys)

    @classmethod
    def gathered(cls, given: Iterable[str], file: Path | None) -> "ApiKeys":
        """Return the keys given, those of a file's lines, and those in `ZELO_API_KEYS`.

        In the variable they are separated by commas; blank lines of the file are passed over.

        Raises:
            InputError: a key cannot be used, or the file cannot be read or holds none.
        """
        keys = [*given, *filter(None, os.environ.get(VARIABLE, "").split(","))]
        if file is not None:
            keys += _read(file)
        return cls(keys)

    def admit(self, authorization: str | None) -> bool:
        """Whether an Authorization header, if any, carries one of the keys.

        Every key is compared, each in constant time over digests of one length, so that the time
        taken tells neither how much of a key was right nor which key it was.
        """
        if not self._digests:
            return True
        scheme, _, key = (authorization or "").partition(" ")
        sent = _digest(key.strip())
        known = [hmac.compare_digest(sent, digest) for digest in self._digests]
        return any(known) and scheme.lower() == "bearer"

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __repr__(self) -> str:
        return f"ApiKeys({len(self._digests)})"


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _checked(key: str) -> str:
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        message = (
            "an API key is empty, or holds a blank or a character beyond ASCII, which no header "
            "can carry; keys are not shown here"
        )
        raise InputError(message)
    return key


def _read(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: the keys cannot be read ({type(error).__name__})") from None
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise InputError(f"{file}: there is no key in it; write one per line")
    return keys
