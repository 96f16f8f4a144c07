"""Checks of options: each returns the value, or says what was wrong with it and what to do.

NumPy's numbers are numbers here, and come back as Python's own; True and NaN are none.
"""

import math
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MappingView, Set
from numbers import Integral, Number, Real
from typing import Any, SupportsIndex, TypeVar, get_args

from zelo.errors import InputError

__all__ = [
    "above_zero",
    "at_least_one",
    "at_least_zero",
    "callable_or_none",
    "check_text",
    "file_path",
    "fraction",
    "in_order",
    "instance_of",
    "lone_surrogate",
    "not_negative",
    "one_of",
    "path_text",
    "positive",
    "positive_seconds",
    "refuse_given",
    "text_or_none",
    "true_or_false",
    "with_methods",
    "yes_or_no",
]

Word = TypeVar("Word", bound=str)
Item = TypeVar("Item")
Function = TypeVar("Function", bound=Callable[..., Any])


def positive(name: str, value: SupportsIndex | None) -> int | None:
    """A whole number of at least 1, or None."""
    number = _whole(value)
    if value is not None and (number is None or number < 1):
        raise InputError(f"{_said(name, value)}; it must be a whole number of at least 1, or None")
    return number


def at_least_one(name: str, value: SupportsIndex) -> int:
    """A whole number above 0."""
    return _at_least(1, name, value)


def at_least_zero(name: str, value: SupportsIndex) -> int:
    """A whole number that is not negative."""
    return _at_least(0, name, value)


def positive_seconds(name: str, value: float | None) -> float | None:
    """A length of time above 0 that the system's clocks can count, or None."""
    number = _real(value)
    if value is not None and (number is None or not 0 < number <= threading.TIMEOUT_MAX):
        raise InputError(f"{_said(name, value)}; it must be a number of seconds above 0, or None")
    return number


def fraction(name: str, value: float, what: str) -> float:
    """A number from 0 to 1; `what` says what it is, as "it is a probability"."""
    number = _real(value)
    if number is None or not 0 <= number <= 1:
        raise InputError(f"{_said(name, value)}; {what}, from 0 to 1")
    return number


def above_zero(name: str, value: float) -> float:
    """A finite number above 0."""
    number = _real(value)
    if number is None or not 0 < number < math.inf:
        raise InputError(f"{_said(name, value)}; it must be a number above 0")
    return number


def not_negative(name: str, value: float) -> float:
    """A finite number of at least 0."""
    number = _real(value)
    if number is None or not 0 <= number < math.inf:
        raise InputError(f"{_said(name, value)}; it must be a number of at least 0")
    return number


def path_text(name: str, value: str | os.PathLike[str]) -> str:
    """A str, or the text of a path."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise InputError(f"{name} is of type {type(value).__name__}; it must be a str or a path")
    return str(text)


def file_path(name: str, value: str | os.PathLike[str]) -> pathlib.Path:
    """A path that a file or folder of this system can have."""
    text = path_text(name, value)
    try:
        possible = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise InputError(f"{name}={text!r}; no file or folder can have a name with that character")
    return pathlib.Path(text)


def text_or_none(name: str, value: str | None) -> str | None:
    """A str of valid Unicode, or None. The message does not repeat it: it may be a secret."""
    if not (value is None or isinstance(value, str)):
        raise InputError(f"{name} is of type {type(value).__name__}; it must be a str, or None")
    if lone_surrogate(value or "") is not None:
        raise InputError(f"{name} holds a lone surrogate, which is not valid Unicode")
    return value


def check_text(name: str, text: object, cure: str = "") -> str:
    """Return what is a str, and valid Unicode; `cure` is one more way out for what is not.

    Raises:
        InputError: it is none.
    """
    if not isinstance(text, str):
        message = (
            f"{name} is of type {type(text).__name__}; it must be a str. For objects of a "
            "framework, pass their text, or use the framework's adapter"
        )
        raise InputError(message)
    if (place := lone_surrogate(text)) is not None:
        message = (
            f"{name} holds a lone surrogate at character {place}, which is not valid Unicode; "
            f"decode its source with errors='replace'{cure}"
        )
        raise InputError(message)
    return text


def lone_surrogate(text: str) -> int | None:
    """The place of a character that is not valid Unicode, if there is one."""
    try:
        text.encode()
    except UnicodeEncodeError as error:  # it holds the text, so nothing is raised in here
        return error.start
    return None


def one_of(name: str, value: Word, words: Any) -> Word:
    """One of the words of a `Literal`, or of a list."""
    known = get_args(words) or tuple(words)
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{_said(name, value)}; choose one of {', '.join(known)}")
    return value


def true_or_false(name: str, value: bool) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{_said(name, value)}; it must be True or False")
    return value


def yes_or_no(name: str, value: bool | None) -> bool | None:
    """True, False or None."""
    if not (value is None or isinstance(value, bool)):
        raise InputError(f"{_said(name, value)}; it must be True, False or None")
    return value


def callable_or_none(name: str, value: Function | None) -> Function | None:
    """A function, or None."""
    if not (value is None or callable(value)):
        raise InputError(f"{name} is of type {type(value).__name__}; it must be callable, or None")
    return value


def instance_of(name: str, value: Item, kind: type) -> Item:
    """An object of a class."""
    if not isinstance(value, kind):
        given = type(value).__name__
        raise InputError(f"{name} is of type {given}; it must be of type {kind.__name__}")
    return value


def with_methods(name: str, value: Item, *methods: str) -> Item:
    """An object that has all of the methods."""
    for method in methods:
        if isinstance(value, type) or not callable(getattr(value, method, None)):
            given = type(value).__name__
            raise InputError(f"{name} is of type {given}, which has no method {method}()")
    return value


def in_order(
    name: str,
    values: Iterable[Item],
    what: str,
    *,
    of_mapping: str | None = None,
    of_table: str | None = None,
) -> Iterator[Item]:
    """Iterate over what is meant to be listed, and refuse what iterates over something else.

    Who iterates twice lists this first: of an iterator nothing is left the second time.

    Args:
        name: what the caller calls it.
        values: a list, an array, a column, an iterator.
        what: what it holds, as "a list of texts".
        of_mapping: what to write for a mapping, which iterates over its keys; default, its values.
        of_table: what to write for a table, which iterates over the names of its columns; default,
            one of its columns.

    Raises:
        InputError: it is a mapping, a table, a set, a single text or model, or nothing to iterate
            over.
    """
    kind = type(values).__name__
    if isinstance(values, str | bytes | bytearray):
        raise InputError(f"{name} is a single text; give {what}, of one if need be")
    if hasattr(type(values), "model_fields"):  # pydantic's, which lists its fields
        raise InputError(f"{name} is a single {kind}; give {what}, of one if need be")
    if isinstance(values, Mapping):
        cure = of_mapping or f"list({name}.values())"
        raise InputError(f"{name} is a {kind}, which lists its keys; give {what}: {cure}")
    if _is_table(values):
        cure = of_table or f"one column, as {name}['text'].to_list()"
        raise InputError(f"{name} is a {kind}, which lists its columns' names; give {what}: {cure}")
    if isinstance(values, Set) and not isinstance(values, MappingView):  # a dict's views have one
        raise InputError(f"{name} is a {kind}, which has no order; give {what}")
    try:
        return iter(values)
    except TypeError as error:
        raise InputError(f"{name} is of type {kind}; give {what}") from error


def refuse_given(given: Mapping[str, object], defaults: Mapping[str, object], why: str) -> None:
    """Refuse options that were given, that is, differ from their default: None or False else."""
    for name, value in given.items():
        default = isinstance(value, str) and value == defaults.get(name)
        if not (value is None or value is False or default):
            raise InputError(f"{name}= {why}")


def _at_least(least: int, name: str, value: object) -> int:
    number = _whole(value)
    if number is None or number < least:
        raise InputError(f"{_said(name, value)}; it must be a whole number of at least {least}")
    return number


def _whole(value: object) -> int | None:
    """Return a whole number as Python's own; None for whatever else, True among it."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        return None
    return min(int(value), sys.maxsize)  # more of anything there is not


def _real(value: object) -> float | None:
    """Return a number as Python's own; None for whatever else, True among it."""
    try:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def _said(name: str, value: object) -> str:
    """Name an option with its value, if that is a short word or number, or else with its type."""
    try:
        text = repr(value) if value is None or isinstance(value, str | Number) else ""
    except ValueError:  # of a number with thousands of digits
        text = ""
    return f"{name}={text}" if 0 < len(text) <= 60 else f"{name} is of type {type(value).__name__}"


def _is_table(values: object) -> bool:
    """Whether it is a table of pandas, Polars, Arrow, Spark or datasets.

    Looked up on the type: a pandas Series has an attribute for each label of its index.
    """
    marks = (getattr(type(values), name, None) for name in ("columns", "column_names"))
    return any(mark is not None and not callable(mark) for mark in marks)
