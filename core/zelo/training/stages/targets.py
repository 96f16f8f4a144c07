"""Making targets, from files to files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from zelo.training import calibration
from zelo.training.ratings import PRIOR
from zelo.training.records import (
    Candidates,
    Preferences,
    Ratings,
    Targets,
    read_records,
    write_records,
)
from zelo.training.stages.reading import OnRead, counted, silent

__all__ = ["Calibrated", "calibrate"]

AnyPath = str | os.PathLike[str]
BINS = 20  # of the histogram


class Calibrated(NamedTuple):
    """The offsets and the curve that the targets were made with."""

    queries: int
    comparisons_across: int | None
    """None without pairs across queries, as for what follows of the offsets."""
    converged: bool | None
    loss: float | None
    """Mean cross-entropy of a comparison across queries, in nats."""
    offset_min: float | None
    offset_max: float | None
    curve: str
    """By grades or by quantiles."""
    scale: float
    shift: float
    relevant: int | None
    """Relevant documents that the curve was fitted to; None for one by quantiles."""
    not_relevant: int | None
    targets: list[int]
    """How many lie in each of 20 equal parts of [0, 1]."""


def calibrate(
    ratings: AnyPath,
    across: AnyPath | None,
    out: AnyPath,
    *,
    candidates: AnyPath | None = None,
    prior: float = PRIOR,
    on_read: OnRead = silent,
) -> Calibrated:
    """Turn ratings into targets that are comparable across queries.

    Args:
        ratings: file of `records.Ratings`.
        across: file of `records.Preferences` across queries; None for offsets of 0.
        out: file of `records.Targets`, written whole or not at all.
        candidates: file of `records.Candidates` with grades, to fit the curve to; None for one by
            quantiles.
        prior: of the offsets; see `calibration.offsets`.
        on_read: told of what is read.

    Raises:
        InputError: a file or an option is not as it must be, or nothing can be fitted to it.
    """
    rated = list(counted(read_records(ratings, Ratings), "ratings", on_read))
    found = None
    offsets: Mapping[str, float] = {one.query: 0.0 for one in rated}
    if across is not None:
        judged = counted(read_records(across, Preferences), "pairs of queries", on_read)
        found = calibration.offsets(rated, judged, prior=prior)
        offsets = found.by_query
    curve = _curve(rated, offsets, candidates, on_read)
    bins = [0] * BINS

    def binned() -> Iterator[Targets]:
        for record in calibration.calibrate(rated, offsets, curve):
            for target in record.targets.values():
                bins[min(int(target * BINS), BINS - 1)] += 1
            yield record

    write_records(out, binned())
    return Calibrated(
        queries=len(rated),
        comparisons_across=found and found.comparisons,
        converged=found and found.converged,
        loss=found and found.loss,
        offset_min=found and min(offsets.values()),
        offset_max=found and max(offsets.values()),
        curve="quantiles" if candidates is None else "grades",
        scale=curve.scale,
        shift=curve.shift,
        relevant=curve.relevant or None,
        not_relevant=curve.other or None,
        targets=bins,
    )


def _curve(
    rated: Sequence[Ratings],
    offsets: Mapping[str, float],
    candidates: AnyPath | None,
    on_read: OnRead,
) -> calibration.Curve:
    if candidates is None:
        return calibration.by_quantiles(rated, offsets)
    graded = counted(read_records(candidates, Candidates), "candidates", on_read)
    return calibration.anchored(rated, offsets, graded)
