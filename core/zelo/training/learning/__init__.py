"""Training a Qwen3 reranker on prompts with targets: students, steps, checkpoints, curves.

Knows models, packs and steps; nothing of queries, judges or files of records. Importing this
package imports nothing heavy; each name below brings its module when it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from zelo.errors import MissingExtraError

if TYPE_CHECKING:
    from zelo.training.learning.checkpoints import drop_checkpoint
    from zelo.training.learning.curve import Learned, Point
    from zelo.training.learning.examples import Example, Examples
    from zelo.training.learning.loop import Loss, learn, predict
    from zelo.training.learning.settings import Learning
    from zelo.training.learning.student import Student, load_student

__all__ = [
    "Example",
    "Examples",
    "Learned",
    "Learning",
    "Loss",
    "Point",
    "Student",
    "drop_checkpoint",
    "learn",
    "load_student",
    "predict",
]

_MODULES = {
    "checkpoints": ("drop_checkpoint",),
    "curve": ("Learned", "Point"),
    "examples": ("Example", "Examples"),
    "loop": ("Loss", "learn", "predict"),
    "settings": ("Learning",),
    "student": ("Student", "load_student"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import the module of a name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("training", "train") from error
    return getattr(module, name)
