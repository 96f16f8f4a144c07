"""One training on several cards: a process for each, as `accelerate launch` or torchrun start them.

Each computes with its share of a step's examples; gradients are added up before the step is made.
In a single process all of this does nothing.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor

from zelo.errors import MissingExtraError
from zelo.training.learning.launched import is_one_of_several, own_place

try:
    from accelerate import PartialState
    from accelerate.utils import gather_object, reduce
except ImportError as error:
    raise MissingExtraError("training", "train") from error

__all__ = ["Processes", "own_card"]

Item = TypeVar("Item")


class Processes:
    """The processes of this run, and which of them this is."""

    def __init__(self, device: torch.device) -> None:
        self._state: Any = PartialState(cpu=device.type == "cpu")

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._state.num_processes)

    @property
    def rank(self) -> int:
        """Which one this is, from 0."""
        return int(self._state.process_index)

    @property
    def main(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    def add_up(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes."""
        total: Tensor = reduce(tensor, "sum") if self.count > 1 else tensor
        return total

    def gather(self, items: list[Item]) -> list[Item]:
        """Return the items of all processes."""
        found: list[Item] = gather_object(items) if self.count > 1 else items
        return found

    def wait(self) -> None:
        """Go on when all have come here."""
        self._state.wait_for_everyone()


def own_card() -> str | None:
    """Return this process's accelerator, where there are several processes; else None."""
    card = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return f"{card.type}:{own_place()}" if card is not None and is_one_of_several() else None
