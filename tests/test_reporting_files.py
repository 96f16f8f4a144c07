"""The folder of a report: every file's content, its name, and that no reader sees half of it."""

import csv
import json
import math
from pathlib import Path

import pytest
from collection import COLLECTION
from hypothesis import given
from hypothesis import strategies as st
from reports import evaluation, summary_of

from zelo.corpora import read_run
from zelo.errors import InputError, OutputError
from zelo.evaluation.reporting.files import file_name, write_folder
from zelo.evaluation.reporting.records import query_records, read_records
from zelo.evaluation.results import Evaluation, Ranked

NANO = "small.bm25_nano"


LONELY = "half a character: \ud800"
SPECIAL = evaluation(
    {
        "bm25": {"q-dance": [Ranked("bread no knead", 1.0)]},
        "bm25+nano": {
            "q-mites": [
                Ranked("bee-drone", 1.5, 0.8),
                Ranked("bee-queen", -math.inf, 0.0),
                Ranked("bee-smoke", -math.inf, 0.0),
            ]
        },
    },
    {"bread no knead": LONELY},
)
"""An id with white space, a text that UTF-8 cannot hold, and empty documents."""


def files_in(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, by path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The report of `SPECIAL`."""
    made = tmp_path_factory.mktemp("report")
    write_folder(SPECIAL, summary_of(SPECIAL), made)
    return made


def records(found: Evaluation, system: str = "bm25+nano"):
    """The records of a system, by query."""
    run = found.runs["small", system]
    return {
        record.query_id: record for record in query_records(found, summary_of(found), run, "small")
    }


def test_every_file_is_there(folder):
    """Tables, a run and a record of queries for every system, and every chart twice."""
    assert set(files_in(folder)) == {
        *("results.json", "table.md", "table.csv"),
        *("runs/small.bm25.trec", f"runs/{NANO}.trec"),
        *("queries/small.bm25.jsonl", f"queries/{NANO}.jsonl"),
        *(f"charts/{n}.{k}" for n in ("quality", "latency", "calibration") for k in ("png", "svg")),
    }


def test_each_file_is_renamed_into_place_and_writing_again_gives_the_same_bytes(
    folder, tmp_path, monkeypatch
):
    """No reader sees half of a file; nothing of the time, the process or chance is in any."""
    renamed = []

    def replace(partial: Path, path: Path) -> None:
        assert not path.exists()
        renamed.append(path)
        partial.rename(path)

    monkeypatch.setattr("os.replace", replace)
    assert write_folder(SPECIAL, summary_of(SPECIAL), tmp_path) == renamed
    assert files_in(tmp_path) == files_in(folder)
    assert len(renamed) == len(files_in(folder))


def test_tables_can_be_read_back(folder):
    """The JSON and the CSV of the folder say what the summary says."""
    plain = json.loads((folder / "results.json").read_bytes())
    assert plain["collections"][0]["collection"] == "small"
    lines = (folder / "table.csv").read_text(encoding="utf-8").splitlines()
    assert len(list(csv.reader(lines))) == 1 + 4
    assert (folder / "table.md").read_text(encoding="utf-8").startswith("**nDCG@10")


def test_runs_keep_the_order(folder):
    """A TREC run read back has the system's order and scores."""
    run = read_run(folder / "runs" / f"{NANO}.trec")
    ranking = SPECIAL.runs["small", "bm25+nano"].rankings["q-dance"]
    assert run["q-dance"] == [(one.doc_id, one.score) for one in ranking]


def test_an_empty_document_stays_last_in_the_run(folder):
    """Minus infinity becomes a finite score below the others; the order is kept."""
    run = read_run(folder / "runs" / f"{NANO}.trec")["q-mites"]
    assert [doc_id for doc_id, _ in run] == ["bee-drone", "bee-queen", "bee-smoke"]
    assert all(math.isfinite(score) for _, score in run)


def test_white_space_in_ids_is_spelt_out_in_runs(folder):
    """Columns of a run are divided by white space, so an id's own becomes %20."""
    run = read_run(folder / "runs" / "small.bm25.trec")
    assert run["q-dance"] == [("bread%20no%20knead", 1.0)]


def test_a_record_for_every_query(folder):
    """The JSON Lines file read back holds each query with its text and measures."""
    read = read_records(folder / "queries" / f"{NANO}.jsonl")
    assert list(read) == list(SPECIAL.collections["small"].queries)
    assert read == records(SPECIAL)
    first = read["q-dance"]
    assert first.query == COLLECTION.queries["q-dance"]
    assert first.measures == {"nDCG@10": 0.75, "R@10": 0.75}
    assert (first.collection, first.system) == ("small", "bm25+nano")


def test_halves_of_characters_are_spelt_out(folder):
    """A text that UTF-8 cannot hold is UTF-8 in the file, and comes back from JSON as it was."""
    line = (folder / "queries" / "small.bm25.jsonl").read_text(encoding="utf-8").split("\n")[0]
    assert json.loads(line)["documents"][0]["text"] == LONELY


def test_a_record_shows_the_first_ten_documents():
    """Each with its rank, score, probability, grade, first-stage rank and text."""
    record = records(evaluation())["q-dance"]
    assert [document.rank for document in record.documents] == list(range(1, 11))
    first = record.documents[0]
    assert first.doc_id == list(COLLECTION.documents)[14]
    assert (first.score, first.probability, first.first_stage_rank) == (7.0, 0.7, 15)
    assert first.grade is None
    assert first.text == COLLECTION.documents[first.doc_id]


def test_a_record_says_where_the_relevant_documents_went():
    """Ranked below the tenth place with the rank, or missed by the first stage without one."""
    record = records(evaluation())["q-dance"]
    below = [(found.doc_id, found.rank, found.grade) for found in record.relevant_below]
    assert below == [("bee-round", 14, 1), ("bee-waggle", 15, 2)]
    assert record.missed == []
    missed = [one for record in records(evaluation()).values() for one in record.missed]
    assert missed
    assert all(one.rank is None and one.score is None and one.grade > 0 for one in missed)


def test_what_is_missed_is_not_among_the_documents_of_a_short_ranking():
    """A ranking of one document has one document, not nine that were never found."""
    query_id = "q-dance"
    record = records(evaluation({"bm25+nano": {query_id: [Ranked("bee-smoke", 0.5)]}}))[query_id]
    assert [one.doc_id for one in record.documents] == ["bee-smoke"]
    assert record.documents[0].grade == 0
    assert record.relevant_below == []
    assert [one.doc_id for one in record.missed] == ["bee-waggle", "bee-round"]


def test_an_infinite_score_is_null():
    """JSON has no infinity; the rank says that the document was ranked."""
    query_id = "q-dance"
    record = records(evaluation({"bm25+nano": {query_id: [Ranked("bee-smoke", -math.inf, 0.0)]}}))
    assert record[query_id].documents[0].score is None
    assert '"rank": 1, "score": null' in record[query_id].as_json()


def test_long_texts_are_cut_and_the_length_is_told():
    """A record holds the beginning of a document and how long it was."""
    text = "word " * 1_000
    found = evaluation({}, {list(COLLECTION.documents)[14]: text})
    document = records(found)["q-dance"].documents[0]
    assert document.text == text[:1_000]
    assert document.text_length == 5_000


@pytest.mark.parametrize(
    ("name", "safe"),
    [("bm25", "bm25"), ("bm25+zelo-nano", "bm25_zelo-nano"), ("fiqa-2018", "fiqa-2018")],
)
def test_plain_names_stay_legible(name, safe):
    """What the usual systems are called is what their files are called."""
    assert file_name(name) == safe


@given(st.text(max_size=80))
def test_file_names_are_safe(name):
    """Whatever the name, the file's has no slash, dot, space or control character."""
    safe = file_name(name)
    assert set(safe) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~")
    assert 0 < len(safe) <= 80


NAMES = st.text(alphabet="aA_+-/.~1 ", max_size=6) | st.sampled_from(
    ["m@http://h:80/v1", "m@http://h/80/v1", "x" * 60, "x" * 61, "x" * 62]
)


@given(NAMES, NAMES)
def test_no_two_names_share_a_file(one, other):
    """Different names have different files, on file systems that ignore case as well."""
    assert (file_name(one).lower() == file_name(other).lower()) == (one == other)


def test_a_write_that_fails_leaves_the_earlier_file(tmp_path, monkeypatch):
    """On a full disk the old content stays as it was, and no half beside it."""
    (tmp_path / "results.json").write_text("earlier")

    def full(self: Path, content: bytes) -> None:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"results\.json cannot be written: No space"):
        write_folder(SPECIAL, summary_of(SPECIAL), tmp_path)
    assert files_in(tmp_path) == {"results.json": b"earlier"}


BAD = [
    ("", "holds no query"),
    ("{", "line 1: not JSON"),
    ("[1]", "line 1: not a JSON object"),
    (
        '{"query_id": "secret words"}',
        "line 1: no query of an evaluation: collection: Field required",
    ),
]


@pytest.mark.parametrize(("text", "said"), BAD)
def test_what_is_no_record_is_refused(tmp_path, text, said):
    """The error names file and line, and shows no text of it."""
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        read_records(path)
    assert str(path) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_file_is_named(tmp_path):
    """The system's reason is told."""
    with pytest.raises(InputError, match=r"none\.jsonl: it cannot be read: No such file"):
        read_records(tmp_path / "none.jsonl")


def test_a_query_stands_once_in_a_file(tmp_path):
    """A file with a query twice is refused: which of them counts?"""
    record = records(evaluation())["q-dance"].as_json()
    path = tmp_path / "a.jsonl"
    path.write_text(f"{record}\n{record}\n")
    with pytest.raises(InputError, match="line 2: query 'q-dance' comes a second time"):
        read_records(path)


def test_a_file_is_of_one_system(tmp_path):
    """Two systems' files put together are refused."""
    lines = [records(evaluation(), system) for system in ("bm25", "bm25+nano")]
    path = tmp_path / "a.jsonl"
    path.write_text(f"{lines[0]['q-dance'].as_json()}\n{lines[1]['q-mites'].as_json()}\n")
    with pytest.raises(InputError, match="several systems"):
        read_records(path)


def test_queries_without_a_value_have_no_record():
    """A query that no measure counts is not told; a measure that leaves it out is not there."""
    found = evaluation()
    figures = summary_of(found)
    for key, by_query in figures.values.items():
        del by_query["q-mites"]
        if key[2] == "R@10":
            del by_query["q-dance"]
    run = found.runs["small", "bm25"]
    told = {one.query_id: one.measures for one in query_records(found, figures, run, "small")}
    assert "q-mites" not in told
    assert told["q-dance"] == {"nDCG@10": 0.25}
