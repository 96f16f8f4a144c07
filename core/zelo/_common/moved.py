"""Packages that have another name now: the old one still works, and says so once."""

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType

__all__ = ["keep_old_names"]


def keep_old_names(packages: Mapping[str, str]) -> None:
    """Let packages, and whatever is in them, be imported by their former names, too."""
    # first, or what is in such a package would be found once more by its place on disk
    sys.meta_path.insert(0, _Moved(packages))


class _Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds former names, and puts the modules of today in their places."""

    def __init__(self, packages: Mapping[str, str]) -> None:
        self._packages = packages

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        for old, new in self._packages.items():
            if fullname == old or fullname.startswith(f"{old}."):
                now = new + fullname.removeprefix(old)
                return importlib.machinery.ModuleSpec(fullname, self, origin=now, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        message = f"{spec.name} is now {spec.origin}; the old name goes with the next release"
        warnings.warn(message, DeprecationWarning, stacklevel=2)

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        origin = None if spec is None else spec.origin
        assert origin is not None  # noqa: S101 - find_spec gave it
        sys.modules[module.__name__] = importlib.import_module(origin)
