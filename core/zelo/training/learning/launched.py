"""What torchrun and `accelerate launch` tell each of the processes that they start. Light.

They say it by variables of the environment; where there are none, this is the only process.
"""

import os

__all__ = ["is_first", "is_one_of_several", "own_place"]


def is_one_of_several() -> bool:
    """Whether other processes train with this one."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this is the one that speaks: it shows progress, figures and notes for all."""
    return os.environ.get("RANK", "0") == "0"


def own_place() -> int:
    """Return which of this machine's processes this is, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))
