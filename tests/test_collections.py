"""Reading BEIR folders: what they hold comes back, and whatever is wrong is told together."""

import dataclasses
import json
import tempfile
from pathlib import Path

import pytest
from collection import COLLECTION, write_beir
from hypothesis import given
from hypothesis import strategies as st

from zelo.corpora import Collection, Problem, read_collection
from zelo.errors import InputError

HEADER = "query-id\tcorpus-id\tscore"
CORPUS = ['{"_id": "a", "text": "one"}', '{"_id": "b c", "title": "Two", "text": "two"}']
QUERIES = ['{"_id": "q1", "text": "first"}', '{"_id": "q2", "text": "second"}']
QRELS = ["q1\ta\t1", "q2\tb c\t2"]

ID = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), min_size=1, max_size=8)
WHOLE_ID = ID.filter(lambda name: name.strip() != "")
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.strip)
GRADE = st.integers(0, 5) | st.floats(0, 1e6)


def write(
    folder: Path,
    corpus: list[str] | None = None,
    queries: list[str] | None = None,
    qrels: list[str] | None = None,
    split: str = "test",
) -> Path:
    """Write a BEIR folder of these lines; by default a small one without any problem."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, lines in (
        ("corpus.jsonl", CORPUS if corpus is None else corpus),
        ("queries.jsonl", QUERIES if queries is None else queries),
        (f"qrels/{split}.tsv", [HEADER, *(QRELS if qrels is None else qrels)]),
    ):
        content = "".join(f"{line}\n" for line in lines)
        (folder / name).write_text(content, encoding="utf-8", newline="\n")
    return folder


def problems(folder: Path) -> list[tuple[str, int, str]]:
    """Return what a lenient reading finds wrong, by the file's name, notes left out."""
    found = read_collection(folder, lenient=True).problems
    return [(Path(p.path).name, p.line, p.reason) for p in found if not p.note]


def test_the_collection_of_these_tests_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Ids with spaces, titles, letters beyond ASCII, grades and all orders come back."""
    reading = read_collection(write_beir(tmp_path))
    assert reading.collection == COLLECTION
    assert list(reading.collection.documents) == list(COLLECTION.documents)
    assert list(reading.collection.queries) == list(COLLECTION.queries)
    assert reading.problems == ()


@given(
    st.dictionaries(WHOLE_ID, st.tuples(st.just("") | TEXT, TEXT), min_size=1, max_size=5),
    st.dictionaries(WHOLE_ID, TEXT, min_size=1, max_size=4),
    st.data(),
)
def test_any_collection_is_read_as_it_was_written(
    documents: dict[str, tuple[str, str]], queries: dict[str, str], data: st.DataObject
) -> None:
    """Whatever ids, titles and texts hold, tabs and line ends in ids aside, they come back."""
    grades = st.dictionaries(st.sampled_from(sorted(documents)), GRADE, min_size=1)
    qrels = {query_id: data.draw(grades) for query_id in queries}
    with tempfile.TemporaryDirectory() as folder:
        write(
            Path(folder),
            [json.dumps({"_id": i, "title": t, "text": x}) for i, (t, x) in documents.items()],
            [json.dumps({"_id": i, "text": x}, ensure_ascii=False) for i, x in queries.items()],
            [f"{q}\t{d}\t{grade}" for q, judged in qrels.items() for d, grade in judged.items()],
        )
        found = read_collection(folder).collection
    assert found.queries == queries
    assert found.qrels == qrels
    assert found.documents == {
        doc_id: f"{title}\n{text}" if title.strip() else text
        for doc_id, (title, text) in documents.items()
    }


@given(st.sampled_from(["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"]), st.binary(max_size=60))
def test_any_bytes_in_a_file_are_read_or_refused(name: str, content: bytes) -> None:
    """A damaged file gives a collection whose parts fit, or an InputError; never another error."""
    with tempfile.TemporaryDirectory() as folder:
        damaged = write(Path(folder)) / name
        damaged.write_bytes(damaged.read_bytes() + content)
        try:
            found = read_collection(folder, lenient=True).collection
        except InputError:
            return
    assert found.queries.keys() == found.qrels.keys()


def test_whole_grades_are_ints_and_others_floats(tmp_path: Path) -> None:
    """Measures that want whole grades get them however they are spelt; nothing is rounded."""
    reading = read_collection(write(tmp_path, qrels=["q1\ta\t2.0", "q1\tb c\t0.25"]))
    assert reading.collection.qrels == {"q1": {"a": 2, "b c": 0.25}}
    assert type(reading.collection.qrels["q1"]["a"]) is int


def test_queries_without_a_judgement_in_the_split_stay_out(tmp_path: Path) -> None:
    """The file of queries holds those of all splits; one judged irrelevant throughout stays in."""
    write(tmp_path, qrels=["q2\ta\t0"], split="test")
    write(tmp_path, split="train")
    assert read_collection(tmp_path).collection.queries == {"q2": "second"}
    assert read_collection(tmp_path).collection.answerable == []
    assert list(read_collection(tmp_path, split="train").collection.queries) == ["q1", "q2"]


def test_the_only_split_needs_no_name_and_several_need_one(tmp_path: Path) -> None:
    """`test` is the default where there is one; otherwise the error lists what there is."""
    write(tmp_path, split="train")
    assert read_collection(tmp_path).collection.qrels["q1"] == {"a": 1}
    for split in ("dev", "c", "a", "b"):
        write(tmp_path, split=split)
    with pytest.raises(InputError, match="the splits a, b, c, dev, train; choose one with split="):
        read_collection(tmp_path)
    with pytest.raises(InputError, match="no split 'tset'; it has a, b, c, dev, train"):
        read_collection(tmp_path, split="tset")


def test_the_name_is_the_folders_own_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dot is no name for tables."""
    monkeypatch.chdir(write(tmp_path / "mine"))
    assert read_collection(".").collection.name == "mine"


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_folder_without_one_of_its_files_is_refused(tmp_path: Path, missing: str) -> None:
    """The error names the file and the layout."""
    (write(tmp_path) / missing).unlink()
    name = missing.replace("test", r"\*")
    with pytest.raises(InputError, match=rf"has no {name}; .*qrels/<split>\.tsv"):
        read_collection(tmp_path)


def test_a_path_without_anything_is_refused(tmp_path: Path) -> None:
    """The error says what a collection is."""
    with pytest.raises(InputError, match=r"nothing does not exist; .*corpus\.jsonl"):
        read_collection(tmp_path / "nothing")


def test_an_unknown_gain_is_refused(tmp_path: Path) -> None:
    """A misspelt option is told, not taken for the default."""
    with pytest.raises(InputError, match="choose one of linear, exp"):
        read_collection(write(tmp_path), gain="exponential")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("corpus", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"_id": "x"}', "has no field 'text'"),
        ('{"text": "x"}', "has no field '_id'"),
        ('{"_id": 1.5, "text": "x"}', "field '_id' is a number, not a string or whole number"),
        ('{"_id": true, "text": "x"}', "field '_id' is true, not a string or whole number"),
        ('{"_id": " ", "text": "x"}', "field '_id' is empty"),
        ('{"_id": "\\ud800", "text": "x"}', "field '_id' holds half a character"),
        ('{"_id": "x", "text": ["x"]}', "field 'text' is an array, not a string"),
        ('{"_id": "x", "text": "\\ud800"}', "field 'text' holds half a character"),
        ('{"_id": "x", "text": "x", "title": 1}', "field 'title' is a number"),
        ('{"_id": "a", "text": "other"}', "a second document with id 'a'; the first stays"),
    ],
)
def test_a_bad_document_is_named_and_left_out(tmp_path: Path, corpus: str, reason: str) -> None:
    """Its line is told with the reason, and the documents around it stay as they are."""
    folder = write(tmp_path, corpus=[CORPUS[0], corpus, CORPUS[1]])
    ((name, line, found),) = problems(folder)
    assert (name, line) == ("corpus.jsonl", 2)
    assert reason in found
    documents = read_collection(folder, lenient=True).collection.documents
    assert documents == {"a": "one", "b c": "Two\ntwo"}


def test_bytes_that_are_not_utf_8_spoil_their_own_line_only(tmp_path: Path) -> None:
    """The byte and the line are named."""
    folder = write(tmp_path)
    with (folder / "corpus.jsonl").open("ab") as file:
        file.write(b'{"_id": "x", "text": "\xff"}\n')
    reason = "not UTF-8: byte 0xff at byte 23 (if it is Latin-1: iconv -f latin1 -t utf-8)"
    assert problems(folder) == [("corpus.jsonl", 3, reason)]


def test_a_second_query_of_one_id_is_a_problem_and_the_first_stays(tmp_path: Path) -> None:
    """Which of two was judged cannot be known."""
    folder = write(tmp_path, queries=[*QUERIES, '{"_id": "q1", "text": "other"}'])
    assert problems(folder) == [
        ("queries.jsonl", 3, "a second query with id 'q1'; the first stays")
    ]
    assert read_collection(folder, lenient=True).collection.queries["q1"] == "first"


def test_an_empty_query_is_left_out_with_its_judgements(tmp_path: Path) -> None:
    """Nothing can be asked; an empty query of another split disturbs nobody."""
    folder = write(tmp_path, queries=[QUERIES[0], '{"_id": "q2", "text": " "}'])
    assert problems(folder) == [
        ("queries.jsonl", 2, "query 'q2' is empty; it is left out with its judgements")
    ]
    found = read_collection(folder, lenient=True).collection
    assert found.queries == {"q1": "first"}
    assert found.qrels == {"q1": {"a": 1}}
    write(tmp_path, queries=[QUERIES[0], '{"_id": "q2", "text": " "}'], qrels=QRELS[:1])
    assert problems(folder) == []


@pytest.mark.parametrize(
    ("line", "reason", "judged"),
    [
        ("q1\tz\t1", "there is no document 'z'; it counts as not found", {"a": 1, "z": 1}),
        ("q3\ta\t1", "there is no query 'q3'; this judgement is dropped", {"a": 1}),
        ("q1\tb c\t-1", "grade -1 is negative, and counts as 0 (TREC-COVID", {"a": 1, "b c": 0}),
        ("q1\tb c\tyes", "the grade is no finite number", {"a": 1}),
        ("q1\tb c\tnan", "the grade is no finite number", {"a": 1}),
        ("q1\tb c\t1e999", "the grade is no finite number", {"a": 1}),
        ("q1\tb c\t1_0", "the grade is no finite number", {"a": 1}),
        ("q1\ta\t2", "another grade for query 'q1' and document 'a'", {"a": 1}),
        ("q1\ta", "2 columns, but the header has 3", {"a": 1}),
        ("q1\tb\tc\t1", "4 columns, but the header has 3", {"a": 1}),
    ],
)
def test_a_bad_judgement_is_named_and_treated_by_its_rule(
    tmp_path: Path, line: str, reason: str, judged: dict[str, int]
) -> None:
    """A strict reading refuses it; a lenient one goes on as the reason says."""
    folder = write(tmp_path, qrels=[QRELS[0], line, QRELS[1]])
    with pytest.raises(InputError, match=r"test\.tsv, line 3: "):
        read_collection(folder)
    ((name, number, found),) = problems(folder)
    assert (name, number) == ("test.tsv", 3)
    assert reason in found
    assert read_collection(folder, lenient=True).collection.qrels == {
        "q1": judged,
        "q2": {"b c": 2},
    }


def test_the_same_judgement_twice_is_no_problem(tmp_path: Path) -> None:
    """Public collections repeat rows, and nothing is uncertain about it."""
    reading = read_collection(write(tmp_path, qrels=[*QRELS, QRELS[0]]))
    assert reading.collection.qrels == {"q1": {"a": 1}, "q2": {"b c": 2}}


def test_an_empty_document_is_noted_and_stays(tmp_path: Path) -> None:
    """Public collections have some, so they do not stop a reading; a title is a text."""
    empty = ['{"_id": "e", "text": "\\n"}', '{"_id": "t", "title": "T", "text": ""}']
    reading = read_collection(write(tmp_path, corpus=[*CORPUS, *empty]))
    assert reading.collection.documents["e"] == "\n"
    corpus = str(tmp_path / "corpus.jsonl")
    reason = "document 'e' is empty, so it is never a candidate"
    assert reading.problems == (Problem(corpus, 3, reason, note=True),)


def test_a_lenient_reading_of_sound_files_is_the_strict_one(tmp_path: Path) -> None:
    """Leniency changes nothing where nothing is wrong."""
    write(tmp_path)
    assert read_collection(tmp_path, lenient=True) == read_collection(tmp_path)


def test_all_problems_of_all_files_are_told_together(tmp_path: Path) -> None:
    """One reading finds everything, by file and line, and the message says what to do."""
    folder = write(
        tmp_path,
        corpus=["bad", *CORPUS, CORPUS[0]],
        queries=[*QUERIES, QUERIES[0]],
        qrels=["q1\tz\t1", "q1\ta\tx", *QRELS],
    )
    with pytest.raises(InputError) as failure:
        read_collection(folder)
    first, *told = str(failure.value).splitlines()
    assert first.startswith(f"{folder}: 5 problems; mend the files, or read them with lenient=True")
    places = [line.partition(": ")[0].removeprefix(f"  {folder}/") for line in told]
    assert places == [
        "corpus.jsonl, line 1",
        "corpus.jsonl, line 4",
        "qrels/test.tsv, line 2",
        "qrels/test.tsv, line 3",
        "queries.jsonl, line 3",
    ]


def test_very_many_problems_are_counted_behind_the_first_twenty(tmp_path: Path) -> None:
    """The message stays short however broken a file is."""
    folder = write(tmp_path, qrels=[f"q1\tz{number}\t1" for number in range(500)])
    with pytest.raises(InputError) as failure:
        read_collection(folder)
    told = str(failure.value).splitlines()
    assert len(told) == 22
    assert "500 problems" in told[0]
    assert told[-2].startswith(f"  {folder}/qrels/test.tsv, line 21: ")
    assert told[-1] == "  and 480 more"


def test_messages_hold_no_text_and_only_the_beginning_of_an_id(tmp_path: Path) -> None:
    """Where columns are swapped, what should be an id is a whole private document."""
    secret = "do not show this " * 20
    corpus = [json.dumps({"_id": secret, "text": secret}) for _ in range(2)]
    folder = write(tmp_path, corpus=corpus, qrels=[f"q1\t{secret}x\t{secret}"])
    with pytest.raises(InputError) as failure:
        read_collection(folder)
    assert "2 problems" in str(failure.value)
    assert secret[:60] in str(failure.value)
    assert secret[:61] not in str(failure.value)


def test_a_collection_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    """Neither can be evaluated, and a mean over no query would be no number."""
    with pytest.raises(InputError, match="there is no document in it"):
        read_collection(write(tmp_path, corpus=[], qrels=[]))
    with pytest.raises(InputError, match="there is no judged query in it"):
        read_collection(write(tmp_path, qrels=["q9\ta\t1"]), lenient=True)


def test_ratings_are_gains_by_their_exponential(tmp_path: Path) -> None:
    """zbench's nDCG gains exp(Elo): e for 1, 1 for 0 and 1/e for -1; no rating is a problem."""
    folder = write(tmp_path, qrels=["q1\ta\t-1", "q1\tb c\t0", "q2\ta\t1.0"])
    found = read_collection(folder, gain="exp").collection.qrels
    assert found["q1"] == pytest.approx({"a": 0.36787944, "b c": 1})
    assert found["q2"] == pytest.approx({"a": 2.71828183})
    with pytest.raises(InputError, match='read it with gain="exp"'):
        read_collection(folder)


def test_a_rating_whose_exponential_no_float_holds_is_a_problem(tmp_path: Path) -> None:
    """It is dropped rather than turned into infinity."""
    folder = write(tmp_path, qrels=["q1\ta\t1000", "q1\tb c\t1"])
    reading = read_collection(folder, gain="exp", lenient=True)
    assert [problem.line for problem in reading.problems] == [2]
    assert list(reading.collection.qrels["q1"]) == ["b c"]


def test_windows_files_are_read_and_utf_16_is_refused(tmp_path: Path) -> None:
    """A byte order mark belongs to no id, a carriage return to no grade."""
    folder = write(tmp_path)
    for path in folder.rglob("*.*"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    expected = Collection(
        folder.name,
        {"a": "one", "b c": "Two\ntwo"},
        {"q1": "first", "q2": "second"},
        {"q1": {"a": 1}, "q2": {"b c": 2}},
    )
    assert read_collection(folder).collection == expected
    table = folder / "qrels" / "test.tsv"
    table.write_bytes(table.read_text(encoding="utf-8-sig").encode("utf-16"))
    with pytest.raises(InputError, match=r"test\.tsv: this is UTF-16"):
        read_collection(folder)


def test_a_file_that_cannot_be_opened_is_an_input_error(tmp_path: Path) -> None:
    """The operating system's reason is told with the path."""
    folder = write(tmp_path)
    (folder / "qrels" / "test.tsv").unlink()
    (folder / "qrels" / "test.tsv").mkdir()
    with pytest.raises(InputError, match=r"test\.tsv: it cannot be read: Is a directory"):
        read_collection(folder)


def test_line_breaks_of_unicode_end_no_line(tmp_path: Path) -> None:
    """Only a newline ends one: ids and texts may hold U+2028 and form feeds, quotes are letters."""
    doc_id = 'x\u2028"y\x0c'
    corpus = [json.dumps({"_id": doc_id, "text": "a\u2028b"}, ensure_ascii=False)]
    found = read_collection(write(tmp_path, corpus=corpus, qrels=[f"q1\t{doc_id}\t1"])).collection
    assert found.documents == {doc_id: "a\u2028b"}
    assert found.qrels == {"q1": {doc_id: 1}}


def test_a_reading_cannot_be_changed(tmp_path: Path) -> None:
    """What travels is frozen."""
    reading = read_collection(write(tmp_path))
    with pytest.raises(dataclasses.FrozenInstanceError):
        reading.collection.name = "other"  # type: ignore[misc]
