"""Collections in other files than BEIR's: JSON Lines, CSV, TSV, TREC qrels, and zbench's lines."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from collection import COLLECTION, QRELS, QUERIES, SOURCES

from zelo.corpora import Collection, read_collection, read_files
from zelo.errors import InputError

TITLED = [{"id": d.doc_id, "title": d.title, "text": d.text} for d in SOURCES]
ASKED = [{"qid": query_id, "query": text} for query_id, text in QUERIES.items()]
JUDGED = [
    {"query_id": query_id, "doc_id": doc_id, "relevance": str(grade)}
    for query_id, judged in QRELS.items()
    for doc_id, grade in judged.items()
]


def as_jsonl(records: list[dict[str, str]]) -> str:
    """Write records as JSON Lines."""
    return "".join(json.dumps(record) + "\n" for record in records)


def as_csv(records: list[dict[str, str]]) -> str:
    """Write records as CSV, every cell quoted."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def as_tsv(records: list[dict[str, str]]) -> str:
    """Write records as cells between tabs, under a header."""
    rows = [list(records[0]), *(list(record.values()) for record in records)]
    return "".join("\t".join(row) + "\n" for row in rows)


def write(folder: Path, **files: str) -> dict[str, Path]:
    """Write files named like `corpus_jsonl`, and return their paths by the part before the `_`."""
    paths = {}
    for key, content in files.items():
        role, _, suffix = key.partition("_")
        paths[role] = folder / f"{role}.{suffix}"
        paths[role].write_text(content, encoding="utf-8", newline="")
    return paths


def zbench(folder: Path, *lines: dict[str, Any] | str) -> Path:
    """Write a zbench file."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path = folder / "rated.jsonl"
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def rated(query_id: str, *documents: tuple[str, str, float | None], text: str = "?") -> Any:
    """Return a line of zbench with these ids, texts and scores."""
    records = [
        {"id": doc_id, "content": content, "metadata": {}, "score": score}
        for doc_id, content, score in documents
    ]
    return {"query": {"id": query_id, "query": text}, "documents": records}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv"])
def test_every_format_of_texts_gives_the_same_collection(tmp_path: Path, suffix: str) -> None:
    """Usual field names are found, titles joined, and ids with spaces kept, in all of them."""
    written = {"jsonl": as_jsonl, "csv": as_csv, "tsv": as_tsv}[suffix]
    files = write(
        tmp_path,
        **{
            f"corpus_{suffix}": written(TITLED),
            f"queries_{suffix}": written(ASKED),
            "qrels_tsv": as_tsv(JUDGED),
        },
    )
    assert read_files("small", **files) == (COLLECTION, ())


def test_judgements_may_be_a_csv(tmp_path: Path) -> None:
    """The header names the columns, whatever their order."""
    turned = [dict(reversed(record.items())) for record in JUDGED]
    files = write(
        tmp_path,
        corpus_jsonl=as_jsonl(TITLED),
        queries_jsonl=as_jsonl(ASKED),
        qrels_csv=as_csv(turned),
    )
    assert read_files("small", **files).collection == COLLECTION


@pytest.mark.parametrize("suffix", ["tsv", "txt", "qrels"])
@pytest.mark.parametrize("space", ["\t", " ", "  \t "])
def test_ms_marco_and_trec_files_are_read(tmp_path: Path, space: str, suffix: str) -> None:
    """Texts are `id<TAB>text`, even if one is a field's name; judgements have four columns."""
    rows = [["1", "0", "7", "1"], ["1", "0", "8", "0"], ["2", "Q0", "8", "3"]]
    files = write(
        tmp_path,
        corpus_tsv='7\tA "quoted text\n8\tanother, with commas\n',
        queries_tsv="1\tquery\n2\twhere is it\n",
        **{f"qrels_{suffix}": "".join(space.join(row) + "\n" for row in rows)},
    )
    assert read_files("marco", **files).collection == Collection(
        "marco",
        {"7": 'A "quoted text', "8": "another, with commas"},
        {"1": "query", "2": "where is it"},
        {"1": {"7": 1, "8": 0}, "2": {"8": 3}},
    )


def test_white_space_in_an_id_of_a_trec_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    """The format divides columns by it, so which part is the id cannot be known."""
    files = write(
        tmp_path,
        corpus_jsonl=as_jsonl(TITLED),
        queries_jsonl=as_jsonl(ASKED),
        qrels_txt="q-gluten 0 bread no knead 2\nq-gluten 0 bread-knead\n",
    )
    with pytest.raises(InputError) as failure:
        read_files("small", **files)
    first, second = str(failure.value).splitlines()[1:]
    assert "line 1: 6 columns; TREC judgements have 4" in first
    assert first.endswith("divided by white space, so no id can hold any")
    assert second.endswith(
        "line 2: 3 columns; TREC judgements have 4 (query, iteration, document, "
        "grade), others a header (query-id, corpus-id, score)"
    )


def test_a_row_of_texts_with_a_tab_too_many_is_a_problem(tmp_path: Path) -> None:
    """Where the id ends is certain, where the text ends is not."""
    files = write(
        tmp_path,
        corpus_tsv="7\tone\n8\ttwo\tmore\n",
        queries_tsv="1\twhat\n",
        qrels_txt="1 0 7 1\n",
    )
    with pytest.raises(
        InputError, match=r"corpus\.tsv, line 2: 3 columns, but 2 are due: _id, text"
    ):
        read_files("x", **files)


def test_a_csv_row_of_several_lines_is_named_by_its_first(tmp_path: Path) -> None:
    """Line numbers are those of an editor."""
    files = write(
        tmp_path,
        corpus_csv='id,text\n7,"one\ntwo"\n8\n',
        queries_tsv="1\twhat\n",
        qrels_txt="1 0 7 1\n",
    )
    with pytest.raises(InputError, match=r"corpus\.csv, line 4: 1 column, but the header has 2"):
        read_files("x", **files)
    reading = read_files("x", lenient=True, **files)
    assert reading.collection.documents == {"7": "one\ntwo"}


def test_fields_that_no_record_has_are_told_with_those_found(tmp_path: Path) -> None:
    """The reason lists what was looked for and what there is."""
    files = write(
        tmp_path, corpus_jsonl='{"nr": 1, "tekst": "x"}\n', queries_tsv="1\ta\n", qrels_txt=""
    )
    message = r"has none of the fields _id, id, doc_id, docid; found 'nr', 'tekst'"
    with pytest.raises(InputError, match=message):
        read_files("x", **files)


def test_a_csv_without_its_header_does_not_show_the_text_that_stands_there(tmp_path: Path) -> None:
    """What is taken for the names of columns is the first document: only its beginning is told."""
    secret = "private " * 20
    files = write(
        tmp_path, corpus_csv=f"7,{secret}\n8,x\n", queries_tsv="1\ta\n", qrels_txt="1 0 7 1\n"
    )
    with pytest.raises(InputError, match="found '7', 'private ") as failure:
        read_files("x", **files)
    assert secret[:61] not in str(failure.value)


def test_a_table_of_judgements_without_known_columns_is_refused(tmp_path: Path) -> None:
    """Columns are not guessed from their places."""
    files = write(
        tmp_path, corpus_tsv="7\tone\n", queries_tsv="1\twhat\n", qrels_csv="query,x,y\n1,7,1\n"
    )
    with pytest.raises(InputError, match=r"line 2: has none of the fields corpus-id, .* 'x', 'y'"):
        read_files("x", **files)


def test_arrays_and_packed_files_are_read(tmp_path: Path) -> None:
    """A JSON array is as good as lines, and any file may be packed with gzip."""
    files = write(tmp_path, corpus_json=json.dumps(TITLED, indent=1), qrels_csv=as_csv(JUDGED))
    for role, path in files.items():
        files[role] = path.with_name(f"{path.name}.gz")
        files[role].write_bytes(gzip.compress(path.read_bytes()))
    files |= write(tmp_path, queries_jsonl=as_jsonl(ASKED))
    assert read_files("small", **files).collection == COLLECTION
    files["corpus"].write_bytes(files["corpus"].read_bytes()[:-9])
    with pytest.raises(InputError, match=r"corpus\.json\.gz: it is packed with gzip and damaged"):
        read_files("small", **files)


def test_other_suffixes_of_texts_are_refused(tmp_path: Path) -> None:
    """The error lists those that are read."""
    files = write(tmp_path, corpus_xml="", queries_tsv="1\ta\n", qrels_txt="1 0 7 1\n")
    with pytest.raises(InputError, match=r"corpus\.xml: .* from \.jsonl, \.ndjson, \.json, \.csv"):
        read_files("x", **files)


def test_zbench_brings_candidates_texts_and_scores(tmp_path: Path) -> None:
    """Candidates keep the file's order, scored or not; null is no judgement."""
    path = zbench(
        tmp_path,
        rated("q1", ("a", "one", 2), ("b c", "two", None), ("é", "three", 0.5), text="first"),
        rated("q2", ("b c", "two", 1), ("a", "one", 0), text="second"),
    )
    assert read_collection(path) == (
        Collection(
            "rated",
            {"a": "one", "b c": "two", "é": "three"},
            {"q1": "first", "q2": "second"},
            {"q1": {"a": 2, "é": 0.5}, "q2": {"b c": 1, "a": 0}},
            {"q1": ["a", "b c", "é"], "q2": ["b c", "a"]},
        ),
        (),
    )


def test_zbenchs_elo_ratings_need_the_exponential(tmp_path: Path) -> None:
    """Negative ratings are a problem until they are read as such: exp(-1) is 0.3679."""
    path = zbench(tmp_path, rated("q", ("a", "one", -1), ("b", "two", 0)))
    with pytest.raises(InputError, match=r'document \'a\': grade -1 is negative.*gain="exp"'):
        read_collection(path)
    found = read_collection(path, gain="exp").collection
    assert found.qrels["q"] == pytest.approx({"a": 0.36787944, "b": 1})


def test_zbench_without_scores_is_a_collection_without_judgements(tmp_path: Path) -> None:
    """Candidates that nobody has rated yet are read all the same; no query is answerable."""
    line = {"query": {"id": "q", "query": "?"}, "documents": [{"id": "a", "content": "one"}]}
    found = read_collection(zbench(tmp_path, line)).collection
    assert found.qrels == {"q": {}}
    assert found.answerable == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[]", "not a JSON object"),
        ({"documents": []}, "the query is null, not an object"),
        ({"query": {"id": "q2"}, "documents": []}, "has no field 'query'"),
        ({"query": {"query": "?"}, "documents": []}, "has no field 'id'"),
        ({"query": {"id": "q2", "query": "?"}}, "field 'documents' is null, not an array"),
        (rated("q2", text=" "), "query 'q2' is empty; it is left out"),
        (rated("q"), "a second query with id 'q'; the first stays"),
    ],
)
def test_a_bad_line_of_zbench_is_named_and_left_out(
    tmp_path: Path, line: dict[str, Any] | str, reason: str
) -> None:
    """The lines around it stay as they are."""
    path = zbench(tmp_path, rated("q", ("a", "one", 1)), line, rated("q3", ("a", "one", 1)))
    collection, (problem,) = read_collection(path, lenient=True)
    assert problem.line == 2
    assert reason in problem.reason
    assert list(collection.queries) == ["q", "q3"]
    assert collection.given == {"q": ["a"], "q3": ["a"]}


@pytest.mark.parametrize(
    ("document", "reason", "judged"),
    [
        ("x", "documents[1]: the document is a string, not an object", {}),
        ({"id": "b"}, "documents[1]: has no field 'content'", {}),
        ({"content": "x"}, "documents[1]: has no field 'id'", {}),
        ({"id": "b", "content": "x", "score": "1"}, "the score is a string, not a number", {}),
        ({"id": "b", "content": "x", "score": True}, "the score is true, not a number", {}),
        ({"id": "b", "content": "x", "score": 10**400}, "beyond what a float holds", {}),
        ({"id": "b", "content": "x", "score": -2}, "grade -2 is negative", {"b": 0}),
        ({"id": "a", "content": "x", "score": 3}, "'a' stands there twice; the first stays", {}),
    ],
)
def test_a_bad_document_of_zbench_is_named_by_its_place(
    tmp_path: Path, document: Any, reason: str, judged: dict[str, int]
) -> None:
    """Its query keeps the other documents and their judgements, and the next line is untouched."""
    line, next_line = rated("q", ("a", "one", 1)), rated("q2", ("a", "one", 1))
    line["documents"].append(document)
    collection, (problem,) = read_collection(zbench(tmp_path, line, next_line), lenient=True)
    assert problem.line == 1
    assert reason in problem.reason
    assert collection.documents["a"] == "one"
    assert collection.qrels == {"q": {"a": 1} | judged, "q2": {"a": 1}}


def test_one_document_with_two_texts_is_a_problem_and_the_first_stays(tmp_path: Path) -> None:
    """The same id and the same text in many lines is what zbench's files are like."""
    path = zbench(
        tmp_path,
        rated("q1", ("a", "one", 1)),
        rated("q2", ("a", "one", 1)),
        rated("q3", ("a", "other", 1)),
    )
    collection, (problem,) = read_collection(path, lenient=True)
    assert (problem.line, problem.reason) == (
        3,
        "document 'a' has another text than before; the first stays",
    )
    assert collection.documents == {"a": "one"}
    assert collection.qrels["q3"] == {"a": 1}


def test_an_empty_document_of_zbench_is_no_candidate(tmp_path: Path) -> None:
    """It stays judged and in the corpus, and is a note like elsewhere."""
    collection, (problem,) = read_collection(
        zbench(tmp_path, rated("q", ("a", "", 1), ("b", "two", 0)))
    )
    assert problem.note
    assert collection.given == {"q": ["b"]}
    assert collection.documents == {"a": "", "b": "two"}
    assert collection.qrels == {"q": {"a": 1, "b": 0}}


def test_a_file_has_no_splits(tmp_path: Path) -> None:
    """The option would be lost without a word."""
    path = zbench(tmp_path, rated("q", ("a", "one", 1)))
    with pytest.raises(InputError, match="is a file, and only folders have splits"):
        read_collection(path, split="test")
