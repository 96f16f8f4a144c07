"""Doing as many measurements as fit into the time, the necessary ones before the others."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from zelo.bench.suite.results import Key, Result, Row
from zelo.errors import ZeloError

__all__ = ["Clock", "Step", "necessary_seconds", "rows_of"]


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement that is to be made."""

    key: Key
    seconds: float
    """What it will take, as estimated."""
    work: Callable[[], Result]
    extra: bool = False
    """It is made only where everything necessary behind it fits as well."""


class Clock:
    """The time that a run may take, from `gone` seconds before the clock was made."""

    def __init__(
        self, minutes: float, gone: float = 0.0, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self._now = now
        self._start = now() - gone
        self._allowed = 60 * minutes

    @property
    def seconds(self) -> float:
        """What went by."""
        return self._now() - self._start

    def fits(self, seconds: float) -> bool:
        """Whether so much more would still be in time."""
        return self.seconds + seconds <= self._allowed


def necessary_seconds(steps: Iterable[Step]) -> float:
    """Return what those steps will take that are not extra."""
    return sum(step.seconds for step in steps if not step.extra)


def rows_of(
    steps: Sequence[Step],
    clock: Clock,
    *,
    behind: float = 0.0,
    on_step: Callable[[str], None] = lambda _: None,
    recover: Callable[[], None] = lambda: None,
) -> Iterator[Row]:
    """Make the measurements in order, and yield a row for each: its result, or why there is none.

    Args:
        steps: what is to be measured.
        clock: the time that the whole run has.
        behind: seconds that necessary steps will take after these.
        on_step: is told each measurement before it is made.
        recover: is called after one that failed, before the next begins.
    """
    for number, step in enumerate(steps):
        kept = behind + necessary_seconds(steps[number + 1 :]) if step.extra else 0.0
        if not clock.fits(step.seconds + kept):
            yield Row(step.key, None, f"left out: about {step.seconds:.0f} s, and no time for it")
            continue
        on_step(str(step.key))
        try:
            row = Row(step.key, step.work())
        except Exception as error:  # out of memory, a peer that breaks: this row's affair
            row = Row(step.key, None, _told(error))
        if row.result is None:
            recover()  # here, where the error no longer holds what was in memory
        yield row


def _told(error: Exception) -> str:
    lines = str(error).strip().splitlines() or ["no message"]
    return lines[0] if isinstance(error, ZeloError) else f"{type(error).__name__}: {lines[0]}"
