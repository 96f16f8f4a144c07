"""How near one order of documents is to another. Knows neither ratings nor models."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["kendall_tau"]


def kendall_tau(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the share of pairs in the same order, less that of pairs in the other; ties are 0."""
    above = np.triu_indices(len(one), k=1)
    signs = np.sign(one[:, np.newaxis] - one) * np.sign(other[:, np.newaxis] - other)
    return float(signs[above].mean())
