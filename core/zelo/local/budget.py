"""How many tokens a pack may have, as running out of memory teaches. Pure: no threads, no tensors.

A pack that did not fit lowers the limit to half of its size: what is true of one pack is true of
the next one like it, and halving each anew would waste a forward pass every time. Memory that
somebody else held may come free, so the limit is raised again, slowly.
"""

import math

__all__ = ["Budget"]

RECOVERY = 100
"""After so many packs that fitted, twice as many tokens are tried: at worst one forward pass in a
hundred is in vain."""
LEAST = 256
"""Tokens that are always tried: smaller packs would waste most of the hardware, and need hardly
less memory."""


class Budget:
    """The tokens of one model's packs."""

    def __init__(self, tokens: int) -> None:
        self.usual = tokens
        """Most tokens of a pack, as long as memory suffices."""
        self.limit = math.inf
        """Most tokens that are thought to fit; infinite until memory ran out."""
        self._fitted = 0

    @property
    def tokens(self) -> int:
        """Most tokens of the next pack, unless one prompt alone is longer."""
        return int(min(self.usual, self.limit))

    def did_not_fit(self, tokens: int) -> None:
        """Take in that memory ran out for a pack of so many tokens."""
        self.limit = min(self.limit, max(tokens // 2, LEAST))
        self._fitted = 0

    def fitted(self) -> None:
        """Take in that there was memory for a pack."""
        self._fitted += 1
        if self._fitted == RECOVERY:
            self.limit *= 2
            self._fitted = 0
