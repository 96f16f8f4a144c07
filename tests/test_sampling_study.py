"""The sampling study: its figures by law, its table and its chart."""

import csv
from pathlib import Path

import numpy as np
import pytest
from collection import write_beir
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from zelo.errors import InputError
from zelo.training.sampling_study import (
    Row,
    chart,
    kendall_tau,
    main,
    planted_by_bm25,
    planted_normal,
    study,
)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """A small study: 5 queries of 20 documents."""
    return list(study(planted_normal(5, 20), deviations=(0.2, 3.0), cycles=(1, 2, 4)))


def row(rows: list[Row], deviation: float, method: str, cycles: int) -> Row:
    """One of them."""
    (found,) = [one for one in rows if one[:3] == (deviation, method, cycles)]
    return found


@given(st.permutations(range(7)), st.permutations(range(7)))
def test_kendall_tau_is_that_of_scipy(one: list[int], other: list[int]) -> None:
    """Without ties there is one definition."""
    found = kendall_tau(np.array(one, dtype=float), np.array(other, dtype=float))
    assert found == pytest.approx(stats.kendalltau(one, other)[0])


def test_all_pairs_are_the_measure(rows: list[Row]) -> None:
    """Ratings from all pairs are in their own order, and nothing is nearer to the planted one."""
    for deviation in (0.2, 3.0):
        full = row(rows, deviation, "full", 1)
        assert (full.pairs, full.share, full.connected, full.tau_full) == (190, 1, 1, 1)
        assert full.tau_planted is not None
        assert full.tau_planted >= max(one.tau_planted or 0 for one in rows if one[0] == deviation)


def test_more_pairs_and_less_noise_come_nearer(rows: list[Row]) -> None:
    """Tau grows with the cycles and with the deviation of what is planted."""
    for deviation in (0.2, 3.0):
        taus = [row(rows, deviation, "cycles", cycles).tau_full or 0 for cycles in (1, 2, 4)]
        assert taus == sorted(taus)
    taus = [row(rows, deviation, "cycles", 4).tau_planted or 0 for deviation in (0.2, 3.0)]
    assert taus[0] + 0.2 < taus[1]


def test_units_of_what_is_planted_do_not_matter() -> None:
    """Ratings are scaled to each deviation, so BM25's scores serve as well as any."""
    planted = planted_normal(2, 12)
    (once, again) = (
        list(study(found, deviations=(1.0,), cycles=(2,)))
        for found in (planted, [64 * one for one in planted])
    )
    assert once == again


def test_random_pairs_that_connect_nothing_have_no_tau(rows: list[Row]) -> None:
    """Twenty random pairs never connect these 20 documents, which is told and not hidden."""
    lost = row(rows, 3.0, "random", 1)
    assert (lost.pairs, lost.connected, lost.tau_full, lost.tau_planted) == (20, 0, None, None)
    assert row(rows, 3.0, "cycles", 1).connected == 1
    assert len(chart(rows).axes) == 2


def test_bm25_plants_the_scores_of_candidates(tmp_path: Path) -> None:
    """Queries with fewer candidates than asked for are left out; if all are, that is an error."""
    folder = write_beir(tmp_path)
    found = planted_by_bm25(folder, 10, 2)
    assert found
    assert all(len(one) == 2 and one[0] >= one[1] > 0 for one in found)
    with pytest.raises(InputError, match="no query of small has 1000 candidates"):
        planted_by_bm25(folder, 10, 1000)


def test_ratings_that_are_all_alike_are_refused() -> None:
    """They have no order that could be found again."""
    with pytest.raises(InputError, match="all alike"):
        list(study([np.ones(5)]))


def test_command_writes_table_and_chart(tmp_path: Path) -> None:
    """A row for each way of sampling, and a PNG."""
    main(["--out", str(tmp_path / "out"), "--queries", "1", "--documents", "8"])
    with open(tmp_path / "out" / "sampling.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 3 * (2 * 7 + 1)
    assert lines[0]["method"] == "cycles"
    assert (tmp_path / "out" / "sampling.png").read_bytes().startswith(b"\x89PNG")
