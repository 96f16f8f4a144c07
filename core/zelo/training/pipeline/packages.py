"""That every package of the extra `train` is installed, found out without importing one."""

import importlib.util

from zelo.errors import MissingExtraError

__all__ = ["PACKAGES", "check_packages"]

PACKAGES = (
    *("torch", "transformers", "safetensors", "tokenizers", "numpy"),
    *("bm25s", "Stemmer", "ir_measures", "matplotlib", "sentence_transformers"),
    *("accelerate", "peft"),
)
"""What `zelo[train]` installs beside the base install, by the names that are imported."""


def check_packages() -> None:
    """Refuse to plan or to begin a run that would miss a package after hours.

    Raises:
        MissingExtraError: one is not installed.
    """
    if not all(map(_installed, PACKAGES)):
        raise MissingExtraError("training", "train")


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
