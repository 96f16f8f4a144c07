"""Charts of a run: what each shows to a reader, and durations in words."""

import io
import re
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from zelo.training.learning import chart as curves
from zelo.training.learning.curve import Point
from zelo.training.pipeline import charts as module
from zelo.training.pipeline.charts import FIRST, SECOND, charts
from zelo.training.pipeline.durations import duration

TARGETS = [27, 15, 1, 1, 3, 2, 1, 0, 1, 5]
SECONDS = {"s": 1, "min": 60, "h": 3_600}


def report(**stages: dict[str, Any]) -> dict[str, Any]:
    """A report with so many stages that are done."""
    return {"stages": {name: {"seconds": 1.0, **figures} for name, figures in stages.items()}}


def share(picture: bytes, colour: str) -> float:
    """How much of a picture has a colour."""
    pixels = matplotlib.image.imread(io.BytesIO(picture))[..., :3]
    return float((np.abs(pixels - to_rgb(colour)).max(axis=-1) < 0.02).mean())


def test_both_rounds_can_be_seen_where_refining_changed_nothing() -> None:
    """The second lies on the first, and hides nothing of it."""
    same = report(calibrate={"targets": TARGETS}, **{"calibrate-refined": {"targets": TARGETS}})
    picture = dict(charts(same))["targets.png"]
    assert share(picture, FIRST) > 0.05
    assert share(picture, SECOND) > 0.005


def test_every_chart_says_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its title; bars of time have theirs in words, whatever the stages took."""
    found: dict[str, Figure] = {}
    monkeypatch.setattr(
        module,
        "drawn",
        lambda make, told, kind: found.setdefault(make.__name__, make(told)) and b"",
    )
    list(charts(report(calibrate={"targets": TARGETS}, pointwise={"seconds": 3_725.0})))
    titles = [figure.axes[0].get_title(loc="left") for figure in found.values()]
    assert titles == ["How the targets are spread", "Time by stage, 1 h 02 min in all"]
    bars = found["_time"].axes[0]
    assert [label.get_text() for label in bars.texts] == ["1.0 s", "1 h 02 min"]


def test_a_learning_curve_has_a_title_and_whole_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few there are."""
    figures: list[Figure] = []
    monkeypatch.setattr(curves, "drawn", lambda make, told, kind: figures.append(make(told)) or b"")
    points = [Point(step, 0.1, 0.2, 0.3, 1e-5, 10, 0.1) for step in range(3)]
    curves.write_chart(tmp_path, points)
    axes = figures[0].axes[0]
    assert axes.get_title(loc="left") == "Loss in training and on held-out queries"
    assert {float(tick).is_integer() for tick in axes.get_xticks()} == {True}


def test_nothing_done_is_no_chart() -> None:
    """Rather than an empty one."""
    assert dict(charts(report())) == {}


@given(st.floats(0, 1e6))
def test_durations_say_what_they_are(seconds: float) -> None:
    """Every number has its unit, at most two of them, and is as exact as it looks."""
    parts = re.findall(r"([\d,.]+) (\w+)", duration(seconds))
    units = [unit for _, unit in parts]
    assert units in (["s"], ["min", "s"], ["h", "min"])
    told = sum(float(number.replace(",", "")) * SECONDS[unit] for number, unit in parts)
    assert abs(told - seconds) <= (0.05 if units == ["s"] else SECONDS[units[-1]] / 2) + 1e-6


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3_599.4, "59 min 59 s"),
        (3_599.6, "1 h 00 min"),
    ],
)
def test_durations_at_the_turn_of_a_unit(seconds: float, told: str) -> None:
    """Nothing has sixty seconds or minutes."""
    assert duration(seconds) == told
