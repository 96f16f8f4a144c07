"""Checks of options: each returns the value, or says what was wrong with it and what to do."""

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

from zelo.errors import InputError

__all__ = [
    "at_least_zero",
    "listed",
    "one_of",
    "path_text",
    "positive",
    "positive_seconds",
    "refuse_given",
    "yes_or_no",
]

Item = TypeVar("Item")
Word = TypeVar("Word", bound=str)


def positive(name: str, value: int | None) -> int | None:
    """A whole number of at least 1, or None."""
    if value is not None and (not isinstance(value, int) or value < 1):
        raise InputError(f"{name}={value!r}; it must be a whole number of at least 1, or None")
    return value


def at_least_zero(name: str, value: int) -> int:
    """A whole number that is not negative."""
    if not isinstance(value, int) or value < 0:
        raise InputError(f"{name}={value!r}; it must be a whole number of at least 0")
    return value


def listed(name: str, values: Iterable[Item]) -> list[Item]:
    """The items of anything that can be walked, an iterator too, which can be walked only once.

    What can be walked, and is one thing all the same, is refused: a text, a mapping, a pydantic
    model, a table, of which these would be letters, keys, fields and names of columns.
    """
    kind = type(values)
    one = isinstance(values, str | bytes | Mapping) or hasattr(kind, "model_fields")
    if one or hasattr(kind, "columns") or not isinstance(values, Iterable):
        message = f"{name} is of type {kind.__name__}; give a list or another iterable"
        raise InputError(f"{message}, [one] for a single one")
    return list(values)


def positive_seconds(name: str, value: float | None) -> float | None:
    """A length of time above 0, or None."""
    if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
        raise InputError(f"{name}={value!r}; it must be a number of seconds above 0, or None")
    return value


def path_text(name: str, value: str | os.PathLike[str]) -> str:
    """A str, or the text of a path."""
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{name} is of type {type(value).__name__}; it must be a str or a path")
    return os.fspath(value)


def one_of(name: str, value: Word, words: Any) -> Word:
    """One of the words of a `Literal`."""
    if value not in get_args(words):
        raise InputError(f"{name}={value!r}; choose one of {', '.join(get_args(words))}")
    return value


def yes_or_no(name: str, value: bool | None) -> bool | None:
    """True, False or None."""
    if not (value is None or isinstance(value, bool)):
        raise InputError(f"{name}={value!r}; it must be True, False or None")
    return value


def refuse_given(given: Mapping[str, object], defaults: Mapping[str, object], why: str) -> None:
    """Refuse options that were given, that is, differ from their default: None or False else."""
    for name, value in given.items():
        if value not in (None, False) and value != defaults.get(name):
            raise InputError(f"{name}= {why}")
