"""Training a Qwen3 reranker on prompts with targets: students, steps, checkpoints, curves.

Knows models, packs and steps; nothing of queries, judges or files of records.
"""

from zelo.errors import MissingExtraError

try:
    import torch  # noqa: F401
except ImportError as error:
    raise MissingExtraError("training", "train") from error

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
