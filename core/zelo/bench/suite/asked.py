"""What a card is asked to reach, and whether it does. Figures for one H200; no measuring here.

Shares are of the card's own matrix product in bfloat16, for weights in fp8 too, which may therefore
pass 100 %.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from zelo.bench.suite.results import BFLOAT16, FP8, Key, Measure, Row, SuiteReport

__all__ = ["ASKED", "Asked", "Judged", "Verdict", "judged"]

Verdict = Literal["met", "stretch met", "missed", "unmeasured"]
ZERANK_2, SMALLER = "zerank-2", "zerank-1-small"
SENTENCE_TRANSFORMERS = "sentence-transformers"


@dataclass(frozen=True, slots=True)
class Asked:
    """One figure that is asked for."""

    label: str
    key: Key
    figure: str
    """Name in the result's figures."""
    unit: str
    """Of the next two: `%`, `x`, `s`, `ms` or `GiB`."""
    required: float
    stretch: float | None = None
    at_least: bool = False
    """A share or a ratio, of which more is better; else less is."""

    def reached(self, value: float, wanted: float) -> bool:
        """Whether a value, as measured, is as good as what is wanted."""
        shown = value * PER_UNIT[self.unit]
        return shown >= wanted if self.at_least else shown <= wanted


class Judged(NamedTuple):
    """A figure that is asked for, and what was found."""

    asked: Asked
    value: float | None
    """In the asked figure's unit."""
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        asked = self.asked
        return {
            "label": asked.label,
            **asked.key._asdict(),
            "unit": asked.unit,
            "required": asked.required,
            "stretch": asked.stretch,
            "value": self.value,
            "verdict": self.verdict,
        }


PER_UNIT = {"%": 100.0, "x": 1.0, "s": 1.0, "ms": 1_000.0, "GiB": 1.0}


def judged(report: SuiteReport) -> list[Judged]:
    """Hold a report against all that is asked; without a card nothing of it is measured."""
    rows = {row.key: row for row in report.rows}
    on_card = report.scale == "card"
    return [_judge(asked, rows.get(asked.key) if on_card else None) for asked in ASKED]


def _judge(asked: Asked, row: Row | None) -> Judged:
    value = row.result.figures.get(asked.figure) if row and row.result else None
    if value is None:
        return Judged(asked, None, "unmeasured")
    verdict: Verdict = "missed"
    if asked.reached(value, asked.required):
        verdict = "met"
        if asked.stretch is not None and asked.reached(value, asked.stretch):
            verdict = "stretch met"
    return Judged(asked, value * PER_UNIT[asked.unit], verdict)


class _Pair(NamedTuple):
    """Required and stretch."""

    required: float
    stretch: float | None = None


def _both(
    label: str,
    measure: Measure,
    workload: str,
    figure: str,
    unit: str,
    figures: Sequence[_Pair],
    *,
    peer: str = "",
    at_least: bool = False,
) -> Iterator[Asked]:
    """Yield what is asked of zerank-2's shape, in bfloat16 and in fp8."""
    for quantization, (required, stretch) in zip((BFLOAT16, FP8), figures, strict=True):
        key = Key(ZERANK_2, quantization, measure, workload, peer)
        yield Asked(label, key, figure, unit, required, stretch, at_least)


def _share(workload: str, *figures: _Pair) -> Iterator[Asked]:
    label = f"{workload}: share"
    yield from _both(label, "speed", workload, "share", "%", figures, at_least=True)


def _ratio(workload: str, *figures: _Pair) -> Iterator[Asked]:
    label = f"{workload}: against ST"
    peer = SENTENCE_TRANSFORMERS
    yield from _both(label, "against", workload, "ratio", "x", figures, peer=peer, at_least=True)


def _smaller(workload: str) -> Iterator[Asked]:
    for quantization in (BFLOAT16, FP8):
        key = Key(SMALLER, quantization, "speed", workload)
        yield Asked(f"{workload}, 1.7B: share", key, "share", "%", 65, at_least=True)


ASKED: tuple[Asked, ...] = (
    *_share("rag", _Pair(75, 80), _Pair(110, 120)),
    *_share("short", _Pair(75, 80), _Pair(110, 120)),
    *_share("instruction", _Pair(70, 75), _Pair(95, 105)),
    *_ratio("short", _Pair(3.0), _Pair(4.4)),
    *_ratio("rag", _Pair(2.2), _Pair(3.3)),
    *_ratio("instruction", _Pair(5.3), _Pair(7.3)),
    *_both(
        "polaria: 100 documents",
        *("speed", "polaria", "seconds", "s"),
        (_Pair(0.50, 0.47), _Pair(0.34, 0.31)),
    ),
    *_both(
        "payload-75kB",
        *("speed", "payload-75kB", "seconds", "ms"),
        (_Pair(230, 210), _Pair(145, 129)),
    ),
    *_both(
        "small, 10 docs: p50",
        *("speed", "small", "seconds", "ms"),
        (_Pair(20), _Pair(15)),
    ),
    *_both(
        "many-queries: idle",
        *("stream", "many-queries", "idle_share", "%"),
        (_Pair(3), _Pair(5)),
    ),
    *_both(
        "memory, 32k packs",
        *("memory", "pack-32k", "gib", "GiB"),
        (_Pair(4), _Pair(4)),
    ),
    *_smaller("rag"),
    *_smaller("short"),
    *_smaller("instruction"),
)
"""Row by row: of zerank-2's shape, but 1.7B is zerank-1-small's; ST is sentence-transformers."""
