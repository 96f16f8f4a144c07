"""The pairwise model: a causal model that reads two documents and says which answers better.

`distill` teaches it what an ensemble of judges said; `zelo.training.judges.pairwise` asks it. Its
modules are imported one by one, so who only asks needs no packages for training.
"""

from zelo.errors import MissingExtraError

try:
    import torch  # noqa: F401
except ImportError as error:
    raise MissingExtraError("the pairwise model", "local") from error
