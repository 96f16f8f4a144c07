"""The sampling study: its figures by law, its table and its chart."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from collection import write_beir
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from zelo.errors import InputError
from zelo.training.measures import kendall_tau
from zelo.training.pairs import Method
from zelo.training.sampling_study import (
    Noise,
    Row,
    chart,
    planted_by_bm25,
    planted_normal,
    study,
)
from zelo.training.sampling_study.__main__ import main
from zelo.training.sampling_study.measures import gain, top_overlap

NOISY, CLEAR, FLIPPED = Noise("gap", 0.2), Noise("gap", 3.0), Noise("flip", 0.1)
ALL = (NOISY, CLEAR, FLIPPED)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """A small study: 6 queries of 20 documents."""
    return list(study(planted_normal(6, 20), noises=ALL, cycles=(1, 2, 4)))


def row(rows: list[Row], noise: Noise, method: Method, cycles: int) -> Row:
    """One of them."""
    (found,) = [
        one for one in rows if (one.noise, one.method, one.cycles) == (noise, method, cycles)
    ]
    return found


@given(st.permutations(range(7)), st.permutations(range(7)))
def test_kendall_tau_is_that_of_scipy(one: list[int], other: list[int]) -> None:
    """Without ties there is one definition."""
    found = kendall_tau(np.array(one, dtype=float), np.array(other, dtype=float))
    assert found == pytest.approx(stats.kendalltau(one, other)[0])


def test_top_overlap_looks_at_the_best_ten_alone() -> None:
    """Nine of the best ten in any order are 0.9, whatever lies below."""
    truth = np.arange(30.0)
    shuffled = np.concatenate([truth[:20][::-1], truth[20:][::-1]])
    assert top_overlap(shuffled, truth) == 1
    shuffled[[0, 20]] = shuffled[[20, 0]]
    assert top_overlap(shuffled, truth) == 0.9


def test_gain_is_ndcg_at_ten_by_the_planted_ratings() -> None:
    """Of 12 documents of gains 0, 1/11, ... 1 the worst ten in rising order are shown first."""
    truth = np.arange(12.0) - 5
    gains = np.arange(12) / 11
    discounts = 1 / np.log2(np.arange(2, 12))
    assert gain(truth, truth) == 1
    expected = (gains[:10] @ discounts) / (gains[::-1][:10] @ discounts)
    assert gain(-truth, truth) == pytest.approx(expected)


def test_votes_err_as_often_as_the_noise_says() -> None:
    """By the gap, two documents two deviations apart have erf's chance; else a fixed share errs."""
    planted = np.array([0.0, 1.0])  # 0.5 is their deviation
    assert Noise("gap", 2.0).chances(planted)[1, 0] == pytest.approx((1 + math.erf(4.0)) / 2)
    (half, wrong), (right, _) = Noise("flip", 0.2).chances(planted)
    assert (half, wrong, right) == pytest.approx((0.5, 0.2, 0.8))
    (found, *_) = study([planted, 5 * planted], noises=[Noise("flip", 0.2)], cycles=(1,))
    assert found.right == pytest.approx(0.8)


def test_all_pairs_are_the_measure(rows: list[Row]) -> None:
    """Ratings from all pairs are in their own order, and nothing is nearer to the planted one."""
    for noise in ALL:
        full = row(rows, noise, "full", 1)
        assert (full.pairs, full.share, full.connected) == (190, 1, 1)
        for name in ("tau_full", "top_full"):
            assert full.means[name] == (1, 1, 1)
        for name in ("tau_lost", "top_lost", "ndcg_lost"):
            assert full.means[name] == (0, 0, 0)
        others = [one.means["tau"].mean for one in rows if one.noise == noise and one.means]
        assert full.means["tau"].mean == max(others)


def test_what_is_lost_is_the_difference_from_all_pairs(rows: list[Row]) -> None:
    """Where every query is connected, means differ by the mean of the differences."""
    full, some = row(rows, NOISY, "full", 1).means, row(rows, NOISY, "cycles", 2).means
    for name in ("tau", "top", "ndcg"):
        lost = some[f"{name}_lost"]
        assert lost.mean == pytest.approx(full[name].mean - some[name].mean)
        assert lost.low <= lost.mean <= lost.high
    assert some["tau_lost"].low > 0


def test_more_pairs_and_less_noise_come_nearer(rows: list[Row]) -> None:
    """Tau grows with the cycles and with the deviation of what is planted."""
    for noise in ALL:
        taus = [row(rows, noise, "cycles", cycles).means["tau_full"] for cycles in (1, 2, 4)]
        assert taus == sorted(taus)
    noisy, clear = (row(rows, noise, "cycles", 4).means["tau"] for noise in (NOISY, CLEAR))
    assert noisy.mean + 0.2 < clear.mean
    assert row(rows, NOISY, "cycles", 4).right < row(rows, CLEAR, "cycles", 4).right


def test_units_of_what_is_planted_do_not_matter() -> None:
    """Ratings are scaled to each deviation, so BM25's scores serve as well as any."""
    planted = planted_normal(2, 12)
    (once, again) = (
        list(study(found, noises=[Noise("gap", 1.0)], cycles=(2,)))
        for found in (planted, [64 * one for one in planted])
    )
    assert once == again


def test_random_pairs_that_connect_nothing_have_no_means(rows: list[Row]) -> None:
    """Twenty random pairs never connect these 20 documents, which is told and not hidden."""
    lost = row(rows, CLEAR, "random", 1)
    assert (lost.pairs, lost.connected, lost.means) == (20, 0, {})
    assert row(rows, CLEAR, "cycles", 1).connected == 1


def test_chart_has_a_panel_for_each_noise_and_measure(rows: list[Row]) -> None:
    """Three levels of noise, four measures; where nothing is connected there is no point."""
    axes = chart(rows).axes
    assert len(axes) == 12
    cycles, random = axes[0].lines[:2]
    assert len(cycles.get_xdata()) == 3
    assert 20 not in random.get_xdata()


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
    """A row for each way of sampling, with empty cells where nothing is connected, and a PNG."""
    main(["--out", str(tmp_path / "out"), "--queries", "2", "--documents", "12"])
    with open(tmp_path / "out" / "sampling.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4 * (2 * 7 + 1)
    assert (lines[0]["noise"], lines[0]["size"], lines[0]["method"]) == ("gap", "0.5", "cycles")
    for line in lines:
        assert None not in line.values()  # else its row is short
        filled = [bool(line[name]) for name in ("tau_full", "ndcg_lost_high")]
        assert filled == 2 * [float(line["connected"]) > 0]
    assert (tmp_path / "out" / "sampling.png").read_bytes().startswith(b"\x89PNG")
