"""Whether a difference between systems is more than chance, and how sure a mean is.

Works on values per query, whatever measure they are of. Resamples are shared by all the rows that
are given together, so that what is found of one does not depend on which others are shown.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zelo.errors import MissingExtraError

try:
    import numpy as np
    from numpy.typing import NDArray
except ImportError as error:
    raise MissingExtraError("evaluation", "eval") from error

__all__ = ["Interval", "Rows", "holm", "intervals", "p_values"]

RESAMPLES = 99_999  # the smallest p that can come out is 1 / 100,000
BOOTSTRAPS = 10_000
INTERVAL = (2.5, 97.5)  # percentiles that hold 95 % between them
BLOCK = 600_000  # numbers drawn at once: fits a core's cache; larger blocks were slower
ROUNDING = 1e-12  # relative; sums in another order may differ by less

Rows = Sequence[Sequence[float]]
"""[row, query]: each row holds one number per query."""
Matrix = NDArray[np.float64]


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


def p_values(differences: Rows, *, resamples: int = RESAMPLES, seed: int = 0) -> list[float]:
    """Test rows of per-query differences, each against a mean of 0.

    The paired randomisation test (Fisher): if the systems were alike, every difference could as
    well have the other sign, so p is the share of sign patterns whose mean is at least as far from
    0, on either side. Where a row has so few differences other than 0 that `resamples` covers all
    their patterns, p is exact; else it is estimated from that many random ones, the observed
    pattern counted among them, so that p is never 0.
    """
    rows = np.asarray(differences, dtype=np.float64)
    found = np.ones(len(rows))
    estimated = []
    for place, row in enumerate(rows):
        changed = row[row != 0]  # the sign of 0 does not matter
        if 2 ** len(changed) <= resamples:
            found[place] = _extreme(_all_signs(len(changed)), changed[:, np.newaxis]).mean()
        else:
            estimated.append(place)
    if estimated:
        columns = rows[estimated].T
        signs = _random_signs(resamples, len(columns), np.random.default_rng(seed))
        counts = sum(_extreme(block, columns).sum(axis=0) for block in signs)
        found[estimated] = (counts + 1) / (resamples + 1)
    return [float(p_value) for p_value in found]


def holm(raw: Sequence[float]) -> list[float]:
    """Correct p-values for being many, in their order: Holm's step-down method.

    The i-th smallest of m is multiplied by m - i + 1, and none may be below one before it, nor
    above 1. The chance of any false alarm stays below the level, whatever the tests have in common.
    Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    corrected = [0.0] * len(raw)
    highest = 0.0
    for done, place in enumerate(sorted(range(len(raw)), key=lambda i: raw[i])):
        highest = max(highest, min(1.0, raw[place] * (len(raw) - done)))
        corrected[place] = highest
    return corrected


def intervals(values: Rows, *, resamples: int = BOOTSTRAPS, seed: int = 0) -> list[Interval]:
    """Bound the mean of each row of per-query values at 95 %.

    The percentile bootstrap (Efron, "Bootstrap methods: another look at the jackknife", 1979):
    queries are drawn with replacement, as many as there are.
    """
    columns = np.asarray(values, dtype=np.float64).T
    queries = len(columns)
    generator = np.random.default_rng(seed)
    means = [
        _draws(count, queries, generator) @ columns / queries
        for count in _blocks(resamples, queries)
    ]
    low, high = np.percentile(np.concatenate(means), INTERVAL, axis=0)
    return [Interval(*map(float, bounds)) for bounds in zip(low, high, strict=True)]


def _extreme(flipped: NDArray[np.uint8], columns: Matrix) -> NDArray[np.bool_]:
    """Whether the sum with these signs, [pattern, query], is as far from 0 as without."""
    total = columns.sum(axis=0)
    sums = np.abs(total - 2 * (flipped.astype(np.float64) @ columns))
    found: NDArray[np.bool_] = sums >= np.abs(total) - ROUNDING * np.abs(columns).sum(axis=0)
    return found


def _all_signs(count: int) -> NDArray[np.uint8]:
    patterns = np.arange(2**count)[:, np.newaxis] >> np.arange(count)
    return (patterns & 1).astype(np.uint8)


def _random_signs(
    resamples: int, queries: int, generator: np.random.Generator
) -> Iterator[NDArray[np.uint8]]:
    for count in _blocks(resamples, queries):
        packed = generator.integers(0, 256, (count, -(-queries // 8)), dtype=np.uint8)
        yield np.unpackbits(packed, axis=1, count=queries)


def _draws(resamples: int, queries: int, generator: np.random.Generator) -> Matrix:
    """How often each query was drawn, [resample, query]."""
    drawn = generator.integers(0, queries, (resamples, queries))
    drawn += np.arange(resamples)[:, np.newaxis] * queries
    counts = np.bincount(drawn.ravel(), minlength=resamples * queries)
    return counts.reshape(resamples, queries).astype(np.float64)


def _blocks(total: int, width: int) -> Iterator[int]:
    """Split a number of rows so that no block has many more than `BLOCK` numbers."""
    height = max(1, BLOCK // width)
    for start in range(0, total, height):
        yield min(height, total - start)
