"""A corpus that every machine has: the documentation in the running Python's standard library.

Modules, classes, functions and methods with their signatures and the beginnings of their
docstrings, in a fixed order. Nothing is read but what `import` reads. Versions of Python differ.
"""

import builtins
import contextlib
import importlib
import inspect
import io
import os
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

__all__ = ["PythonDoc", "python_docs"]

LONGEST_TEXT = 1_200  # characters of signature and docstring
LONGEST_SIGNATURE = 200  # characters; longer ones say less than they cost
SHORTEST_DOC = 25  # characters; "Return self+value." helps no one

SKIPPED = frozenset(
    # They open a browser, print, need a display, or are no library.
    "antigravity this idlelib turtle turtledemo tkinter lib2to3 pydoc_data test ensurepip venv "
    # Importing readline writes control codes to some terminals, beyond the reach of Python.
    "readline rlcompleter "
    # Of one platform, or tables of data.
    "msilib msvcrt nt winreg winsound encodings distutils "
    # What os.path is made of.
    "genericpath ntpath posixpath".split()
)
SKIPPED_PARTS = frozenset({"__main__", "test", "tests", "windows_events", "windows_utils"})

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
UNTOLD_DEFAULT = re.compile(r"<(?!class )")  # <object object at 0x...>, other in each process
FIELD_ALIAS = "Alias for field number"


@dataclass(frozen=True, slots=True)
class PythonDoc:
    """The documentation of one thing in the standard library."""

    name: str
    """Qualified as it is imported: `json.load`, `pathlib.Path.read_text`."""
    text: str
    """Name and signature on the first line, then the docstring's first paragraphs."""


def python_docs() -> list[PythonDoc]:
    """Return the documentation of the standard library, by module and then by name.

    Imports every safe public module, which takes a second or two and stays done. Modules that
    cannot be imported here are left out, and so is what is documented elsewhere in equal words.
    """
    docs: list[PythonDoc] = []
    seen_objects: set[int] = set()
    seen_texts: set[str] = set()
    for module_name, module in _modules():
        for name, value in _members(module_name, module, seen_objects):
            doc = _own_doc(value)
            if doc is None or doc in seen_texts:
                continue
            seen_texts.add(doc)
            docs.append(PythonDoc(name, _text(name, value, doc)))
    return docs


def _modules() -> list[tuple[str, ModuleType]]:
    """Import the public modules, packages before what they hold, in silence."""
    found: list[tuple[str, ModuleType]] = [("builtins", builtins), ("os.path", os.path)]
    silence = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
    ):
        warnings.simplefilter("ignore")
        for name in sorted(sys.stdlib_module_names - {"builtins"}):
            if not name.startswith("_") and name not in SKIPPED:
                found.extend(_package(name))
    return found


def _package(name: str) -> Iterator[tuple[str, ModuleType]]:
    try:
        module = importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException:  # another platform's module, or one that exits when imported
        return
    yield name, module
    parts = pkgutil.iter_modules(getattr(module, "__path__", ()))
    for part in sorted(info.name for info in parts):
        if not part.startswith("_") and part not in SKIPPED_PARTS:
            yield from _package(f"{name}.{part}")


def _members(name: str, module: ModuleType, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield a module and what is public in it, each object under the first name it is met by.

    Functions come before classes: `random.shuffle` is better known than `random.Random.shuffle`,
    which says the same.
    """
    yield name, module
    prefix = "" if module is builtins else f"{name}."
    classes = []
    for member, value in _public(module):
        if id(value) in seen:
            continue
        seen.add(id(value))
        if inspect.isclass(value):
            classes.append((prefix + member, value))
        else:
            yield prefix + member, value
    for qualified, cls in classes:
        yield qualified, cls
        for method, value in sorted(vars(cls).items(), key=lambda item: item[0]):
            if not method.startswith("_") and not _foreign(value):
                yield f"{qualified}.{method}", value


def _foreign(value: Any) -> bool:
    """Whether a class got this from outside the standard library, as transformers adds methods."""
    home = getattr(value, "__module__", None)
    return isinstance(home, str) and home.partition(".")[0] not in sys.stdlib_module_names


def _public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield a module's functions and classes by name: what it exports, or else what it defines."""
    exported = getattr(module, "__all__", None)
    for member in sorted(vars(module) if exported is None else exported):
        value = vars(module).get(member)
        if member.startswith("_") or not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        home = str(getattr(value, "__module__", None)).removeprefix("_")  # _io for what io shows
        if exported is not None or home == module.__name__ or module is builtins:
            yield member, value


def _own_doc(value: Any) -> str | None:
    """Return the docstring that was written for this very thing, or None if it says nothing."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if not (
        inspect.ismodule(value)
        or inspect.isclass(value)
        or inspect.isroutine(value)
        or isinstance(value, property)
    ):
        return None
    doc = value.__doc__
    if not isinstance(doc, str):
        return None
    doc = ADDRESS.sub("", inspect.cleandoc(doc)).strip()
    made_from_fields = doc.startswith(getattr(value, "__name__", "") + "(") and doc.endswith(")")
    if len(doc) < SHORTEST_DOC or doc.startswith(FIELD_ALIAS):
        return None
    return None if made_from_fields and "\n" not in doc else doc


def _text(name: str, value: Any, doc: str) -> str:
    """Put the signature before as many whole paragraphs as fit, of the first one what fits."""
    head = name + _signature(value)
    room = LONGEST_TEXT - len(head) - 1
    kept, *others = re.split(r"\n\s*\n", doc)
    for paragraph in others:
        longer = f"{kept}\n\n{paragraph}"
        if len(longer) > room:
            break
        kept = longer
    return f"{head}\n{kept[:room].rstrip()}"


def _signature(value: Any) -> str:
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if not callable(value) or inspect.ismodule(value):
        return ""
    try:
        signature = str(inspect.signature(value))
    except Exception:  # many functions written in C tell none, and defaults may raise anything
        return ""
    tells = len(signature) <= LONGEST_SIGNATURE and not UNTOLD_DEFAULT.search(signature)
    return signature if tells else "(...)"
