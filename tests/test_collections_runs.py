"""TREC run files: what is written is read back in the same order, here and by trec_eval."""

import tempfile
from pathlib import Path

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelo.corpora import read_run, write_run
from zelo.errors import InputError

Entries = list[tuple[str, float]]

# Control characters end a string in C, so trec_eval would read other ids.
ID = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=6)
ID = ID.filter(lambda name: not any(character.isspace() for character in name))
LARGEST = 3.4e38  # about the largest number in single precision
SCORE = st.floats(-LARGEST, LARGEST) | st.sampled_from([0.0, -0.0, 1.0, 1 + 1e-12, 1e-45, -1e-45])
RANKING = st.lists(st.tuples(ID, SCORE), min_size=1, max_size=8, unique_by=lambda entry: entry[0])


def order(ranking: Entries) -> list[str]:
    """Return the ids of a ranking."""
    return [doc_id for doc_id, _ in ranking]


def trec_eval_order(path: Path) -> list[str]:
    """Return how trec_eval orders a file's only ranking: the reciprocal rank of each document."""
    entries = list(ir_measures.read_trec_run(str(path)))
    scores = {entry.doc_id: entry.score for entry in entries}
    ranks = {
        round(1 / found.value): str(found.query_id)
        for found in ir_measures.iter_calc(
            [ir_measures.RR],
            {doc_id: {doc_id: 1} for doc_id in scores},
            dict.fromkeys(scores, scores),
        )
    }
    return [ranks[rank] for rank in sorted(ranks)]


def written(folder: str | Path, *rows: str) -> Path:
    """Write a run file of these lines."""
    path = Path(folder) / "x.trec"
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


@given(st.dictionaries(ID, RANKING, max_size=3))
def test_every_ranking_is_read_back_in_its_order(run: dict[str, Entries]) -> None:
    """Whatever its scores do: tie, rise, or differ beyond single precision."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.trec"
        write_run(path, run, "a system")
        found = read_run(path)
    assert [(query_id, order(entries)) for query_id, entries in found.items()] == [
        (query_id, order(entries)) for query_id, entries in run.items()
    ]


@given(RANKING)
def test_trec_eval_reads_a_written_ranking_in_its_order(ranking: Entries) -> None:
    """The measured order is the system's, ties included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.trec"
        write_run(path, {"q": ranking}, "tag")
        assert trec_eval_order(path) == order(ranking)


@given(RANKING)
def test_a_file_is_read_in_trec_evals_order(ranking: Entries) -> None:
    """By falling score in single precision, ties by falling id; ranks and order do not count."""
    rows = (f"q Q0 {doc_id} 1 {score!r} tag" for doc_id, score in ranking)
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, *rows)
        found = read_run(path)["q"]
        assert order(found) == trec_eval_order(path)
    assert dict(found) == dict(ranking)


@given(st.sets(st.integers(-(2**24), 2**24), max_size=8))
def test_scores_that_fall_are_written_as_they_are(numbers: set[int]) -> None:
    """Halves of whole numbers up to 2^24 are distinct in single precision, so none is changed."""
    ranking = [(f"d{number}", number / 2) for number in sorted(numbers, reverse=True)]
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder) / "a", {"q": ranking}, "tag")
        assert read_run(Path(folder) / "a").get("q", []) == ranking


def test_a_written_line_has_trecs_six_columns(tmp_path: Path) -> None:
    """Ranks begin at 1, and a space in the tag cannot make a seventh column."""
    write_run(tmp_path / "a", {"q1": [("d1", 2), ("d2", 0.25)], "q2": [("d1", 1)], "q3": []}, "a b")
    assert (tmp_path / "a").read_bytes() == (
        b"q1 Q0 d1 1 2.0 a_b\nq1 Q0 d2 2 0.25 a_b\nq2 Q0 d1 1 1.0 a_b\n"
    )


def test_tied_scores_are_replaced_by_the_next_lower_numbers(tmp_path: Path) -> None:
    """Below 1 single precision goes in steps of 2^-24; scores that fall again are kept."""
    write_run(tmp_path / "a", {"q": [("a", 1), ("b", 1), ("c", 1), ("d", 0.5)]}, "tag")
    step = 2**-24
    assert read_run(tmp_path / "a")["q"] == [
        ("a", 1),
        ("b", 1 - step),
        ("c", 1 - 2 * step),
        ("d", 0.5),
    ]


@pytest.mark.parametrize("name", ["a b", "a\tb", "a\nb", " a", "a\u00a0b", "a\u2028b", ""])
def test_an_id_with_white_space_is_refused_and_nothing_written(tmp_path: Path, name: str) -> None:
    """The format cannot hold it, neither as a query nor as a document."""
    for run in ({"q": [("d", 1.0), (name, 0.5)]}, {"q": [("d", 1.0)], name: [("d", 1.0)]}):
        with pytest.raises(InputError, match="is empty or holds white space"):
            write_run(tmp_path / "a", run, "tag")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf"), 1e39, -1e39])
def test_a_score_that_no_run_file_holds_is_refused(tmp_path: Path, score: float) -> None:
    """NaN has no order, and beyond single precision all numbers tie."""
    with pytest.raises(InputError, match="query 'q', document 'd': no run file holds the score"):
        write_run(tmp_path / "a", {"q": [("d", score)]}, "tag")


def test_no_number_is_below_the_lowest(tmp_path: Path) -> None:
    """A tie there is refused rather than written as minus infinity."""
    lowest = -3.4028234663852886e38
    with pytest.raises(InputError, match="document 'e': no run file holds the score"):
        write_run(tmp_path / "a", {"q": [("d", lowest), ("e", lowest)]}, "tag")


def test_a_document_twice_is_refused_on_writing(tmp_path: Path) -> None:
    """A ranking holds no document twice; trec_eval would not say which of the two counts."""
    with pytest.raises(InputError, match="document 'd' stands twice under 'q'"):
        write_run(tmp_path / "a", {"q": [("d", 2.0), ("d", 1.0)]}, "tag")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("q Q0 d 1 0.5", "5 columns, not 6"),
        ("q Q0 a b 1 0.5 tag", "7 columns, not 6 .* divided by white space, so no id can hold any"),
        ("q Q0 e 1 nan tag", "the score is no finite number"),
        ("q Q0 e 1 inf tag", "the score is no finite number"),
        ("q Q0 e 1 1e999 tag", "the score is no finite number"),
        ("q Q0 e 1 high tag", "the score is no finite number"),
        ("q Q0 d 9 0.1 tag", "document 'd' stands twice under 'q'"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: str, reason: str) -> None:
    """With file, line and reason; a blank line is none, nor the same document of another query."""
    path = written(tmp_path, "q Q0 d 1 2 tag", "p Q0 d 1 2 tag", " \t", row)
    with pytest.raises(InputError, match=rf"1 problem; .*\n.*x\.trec, line 4: {reason}"):
        read_run(path)


def test_all_bad_lines_of_a_run_are_told_together(tmp_path: Path) -> None:
    """The first twenty with their reasons, the others by their number."""
    path = written(tmp_path, *["q Q0 d"] * 30)
    with pytest.raises(InputError, match=r"x\.trec: 30 problems(?s:.*)line 20: .*\n  and 10 more$"):
        read_run(path)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_run_or_refused(content: bytes) -> None:
    """Whatever a file holds, it is rankings or one clear error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(b"q Q0 d 1 2 tag\n" + content)
        try:
            run = read_run(path)
        except InputError:
            return
    assert run["q"]


def test_a_missing_run_is_an_input_error(tmp_path: Path) -> None:
    """The operating system's reason is told with the path."""
    with pytest.raises(InputError, match="nothing: it cannot be read: No such file"):
        read_run(tmp_path / "nothing")
