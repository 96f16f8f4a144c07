"""Bulk scoring in one process: what comes out is the reranker's, row by row, once, in order."""

import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from bulk_kit import FORMATS, HERE, pairs, parts_of, read_back, write_rows
from collection import COLLECTION, write_beir

from zelo import InputError, NonFiniteScoreError, Reranker
from zelo.bulk import BadRowsError, OtherWorkError, score
from zelo.corpora import read_run, write_run
from zelo.local.model import Pending, ScoringModel
from zelo.local.packing import Pack

ADDED = ("score", "logit")


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path, local: Reranker) -> Any:
    """Score into the folder `out` with the tiny model, whose weights stay loaded."""

    def run(*inputs: Any, **options: Any) -> Any:
        given = {"reranker": HERE, "block_rows": 8} | options
        return score(inputs, given.pop("output", tmp_path / "out"), str(tiny_model), **given)

    return run


def without_scores(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a row was before."""
    return {name: value for name, value in row.items() if name not in ADDED}


def expected(reranker: Reranker, rows: list[dict[str, Any]], scale: Any = "probability") -> Any:
    """Return the reranker's own scores of pairs, one call per query."""
    found = [reranker.score(row["query"], [row["document"]], scale=scale)[0] for row in rows]
    return pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize("ending", FORMATS)
def test_rows_come_back_with_the_rerankers_scores(
    run: Any, local: Reranker, tmp_path: Path, ending: str
) -> None:
    """All columns as they were, in order, beside score and logit; sums in the result."""
    rows = pairs(queries=9)
    result = run(write_rows(tmp_path / f"in.{ending}", rows), logit=True)
    found = read_back(tmp_path / "out")
    assert [without_scores(row) for row in found] == rows
    assert [row["score"] for row in found] == expected(local, rows)
    assert [row["logit"] for row in found] == expected(local, rows, "logit")
    assert (result.rows, result.pairs, result.queries, result.rejects) == (45, 45, 9, 0)
    assert result.blocks == result.blocks_now == len(parts_of(tmp_path / "out")) == 9
    sums = json.loads((tmp_path / "out" / "_SUCCESS").read_bytes())
    assert sums["rows"] == 45


@pytest.mark.parametrize("ending", FORMATS)
def test_blocks_keep_the_rows_of_a_query_together(run: Any, tmp_path: Path, ending: str) -> None:
    """Where they follow each other and fit: of 3 queries with 5 rows each, 8 rows hold one."""
    run(write_rows(tmp_path / f"in.{ending}", pairs(queries=3)))
    found = read_back(tmp_path / "out")
    assert len(parts_of(tmp_path / "out")) == 3
    assert len(found) == 15


def test_rows_out_of_order_share_their_query(
    run: Any, local: Reranker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of rows in any order, those of a block are scored query by query and written in order."""
    asked: list[int] = []
    rank_many = Reranker.rank_many

    def counted(self: Reranker, queries: Any, **options: Any) -> Any:
        asked.append(len(queries))
        return rank_many(self, queries, **options)

    monkeypatch.setattr(Reranker, "rank_many", counted)
    rows = pairs(queries=4)
    random.Random(3).shuffle(rows)  # noqa: S311
    result = run(write_rows(tmp_path / "in.jsonl", rows), block_rows=100)
    found = read_back(tmp_path / "out")
    assert [without_scores(row) for row in found] == rows
    assert [row["score"] for row in found] == expected(local, rows)
    assert asked == [result.queries] == [4]


@pytest.mark.parametrize("ending", FORMATS)
def test_a_row_may_hold_many_documents(
    run: Any, local: Reranker, tmp_path: Path, ending: str
) -> None:
    """Its scores are a list in the order of the documents; an empty list has none."""
    rows = [
        {"query": "cold water", "documents": ["the river", "a file", "cold water"]},
        {"query": "python", "documents": []},
        {"query": "old town", "documents": ["", "bridges of stone"]},
    ]
    result = run(write_rows(tmp_path / f"in.{ending}", rows), logit=True)
    found = read_back(tmp_path / "out")
    for row, before in zip(found, rows, strict=True):
        assert row["documents"] == before["documents"]
        assert row["scores"] == pytest.approx(
            local.score(str(row["query"]), row["documents"]), abs=1e-5
        )
    assert found[2]["scores"][0] == 0.0
    assert found[2]["logits"][0] is None
    assert (result.rows, result.pairs, result.empty) == (3, 5, 1)


def test_objects_hold_texts_as_zbench_writes_them(
    run: Any, local: Reranker, tmp_path: Path
) -> None:
    """A candidates file of `zelo train` is an input as it is."""
    row = {
        "query": {"id": "q", "query": "cold water"},
        "documents": [{"id": "a", "content": "the river"}, {"id": "b", "content": "a file"}],
    }
    run(write_rows(tmp_path / "in.jsonl", [row]))
    (found,) = read_back(tmp_path / "out")
    assert found["scores"] == pytest.approx(
        local.score("cold water", ["the river", "a file"]), abs=1e-5
    )


def test_lines_are_kept_to_the_byte(run: Any, tmp_path: Path) -> None:
    """What JSON numbers and spaces looked like is not changed by reading them."""
    line = (
        '{ "query": "a",  "document":"b", "n": 1.10, "big": 1234567890123456789012, "é":"\\u00e9"'
    )
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + f"{line} }}\r\n\n".encode())
    run(tmp_path / "in.jsonl")
    (part,) = parts_of(tmp_path / "out")
    found = part.read_text(encoding="utf-8")
    assert found.startswith(line + ', "score": ')
    assert found.endswith("}\n")


def test_a_run_is_written_in_its_new_order(run: Any, local: Reranker, tmp_path: Path) -> None:
    """Ids mean texts of a collection; joined, the parts are a run with the reranker's order."""
    folder = write_beir(tmp_path / "beir")
    ids = [doc_id for doc_id in COLLECTION.documents if " " not in doc_id][:6]
    queries = [query_id for query_id in COLLECTION.queries if " " not in query_id][:4]
    given = {query_id: [(doc_id, 9.0 - n) for n, doc_id in enumerate(ids)] for query_id in queries}
    write_run(tmp_path / "in.trec", given, "bm25")
    result = run(tmp_path / "in.trec", collection=folder)
    joined = tmp_path / "all.trec"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts_of(tmp_path / "out")))
    found = read_run(joined)
    assert list(found) == queries
    for query_id, ranking in found.items():
        texts = [COLLECTION.documents[doc_id] for doc_id in ids]
        ranked = local.rank(COLLECTION.queries[query_id], texts)
        assert [doc_id for doc_id, _ in ranking] == [ids[one.index] for one in ranked]
        assert [score for _, score in ranking] == pytest.approx(
            [one.score for one in ranked], abs=1e-5
        )
    assert result.blocks == 4  # no query is divided


@pytest.mark.parametrize("ending", FORMATS)
def test_rows_of_ids_take_texts_from_the_collection(
    run: Any, local: Reranker, tmp_path: Path, ending: str
) -> None:
    """As a run does, but rows stay rows."""
    query_id, text = next(iter(COLLECTION.queries.items()))
    ids = list(COLLECTION.documents)[:3]
    rows = [{"query_id": query_id, "doc_id": doc_id} for doc_id in ids]
    run(write_rows(tmp_path / f"in.{ending}", rows), collection=write_beir(tmp_path / "beir"))
    scores = local.score(text, [COLLECTION.documents[doc_id] for doc_id in ids])
    assert [row["score"] for row in read_back(tmp_path / "out")] == pytest.approx(scores, abs=1e-5)


def test_several_files_and_folders_make_one_input(run: Any, tmp_path: Path) -> None:
    """Files in the order of their names, each once, hidden ones and notes left alone."""
    rows = pairs(queries=4)
    (tmp_path / "in").mkdir()
    for place in (1, 0):
        write_rows(tmp_path / "in" / f"{place}.jsonl", rows[10 * place : 10 * place + 10])
    write_rows(tmp_path / "in" / "_rejects.jsonl", [{"row": 1}])
    result = run(tmp_path / "in", str(tmp_path / "in" / "[01].jsonl"))
    assert [without_scores(row) for row in read_back(tmp_path / "out")] == rows
    assert result.files == 2


def test_output_of_one_work_is_input_of_the_next(run: Any, tmp_path: Path) -> None:
    """The folder is read as a dataset, with what was added as any other column."""
    run(write_rows(tmp_path / "in.parquet", pairs(queries=3)))
    run(tmp_path / "out", columns={"score": "again"}, output=tmp_path / "second")
    found = read_back(tmp_path / "second")
    assert [row["again"] for row in found] == pytest.approx([row["score"] for row in found])


def test_columns_may_have_any_names(run: Any, tmp_path: Path) -> None:
    """Those to read and those to write."""
    rows = [{"q": "cold water", "d": "the river", "score": 1}]
    columns = {"query": "q", "document": "d", "score": "s", "logit": "l"}
    run(write_rows(tmp_path / "in.parquet", rows), columns=columns, logit=True)
    (found,) = read_back(tmp_path / "out")
    assert list(found) == ["q", "d", "score", "s", "l"]
    assert found["score"] == 1


def test_types_of_parquet_columns_stay(run: Any, tmp_path: Path) -> None:
    """Those that Python has no word for, and what pandas wrote beside them."""
    schema = pa.schema(
        [
            pa.field("query", pa.dictionary(pa.int8(), pa.string())),
            pa.field("document", pa.large_string()),
            pa.field("when", pa.timestamp("ns", "Europe/Oslo")),
            pa.field("small", pa.int8(), nullable=True, metadata={"unit": "m"}),
        ],
        metadata={"pandas": "{}"},
    )
    columns = [["a", "a"], ["b", "c"], [1, None], [None, 2]]
    arrays = [pa.array(v, f.type) for v, f in zip(columns, schema, strict=True)]
    pq.write_table(pa.table(arrays, schema), tmp_path / "in.parquet")
    run(tmp_path / "in.parquet")
    found = pq.read_table(parts_of(tmp_path / "out")[0])
    assert found.drop(["score"]).schema.equals(schema, check_metadata=True)
    assert found["when"].cast(pa.int64()).to_pylist() == [1, None]


BAD = (
    ({"query": "a", "document": None}, "document that is null"),
    ({"query": "a", "document": 3}, "document that is a number"),
    ({"query": " ", "document": "b"}, "empty query"),
    ({"query": "a"}, "no column 'document'"),
    ({"query": "a", "document": "b", "score": 0.5}, "column 'score' already"),
    ({"query": "a", "document": "\ud800"}, "half a character"),
    ("not an object", "not a JSON object"),
)


@pytest.mark.parametrize(("bad", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_bad_row_stops_the_work(run: Any, tmp_path: Path, bad: Any, reason: str) -> None:
    """The error says which row of which file, and what is wrong with it."""
    rows = [*pairs(queries=1), bad]
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(BadRowsError, match=rf"in\.jsonl.*\n  row 6: .*{reason}") as raised:
        run(tmp_path / "in.jsonl")
    assert [reject.number for reject in raised.value.rejects] == [6]


def test_bad_rows_may_be_left_out(run: Any, local: Reranker, tmp_path: Path) -> None:
    """What was done before they stopped the work stays; each is listed, and nothing else lost."""
    rows = pairs(queries=4)
    lines = [json.dumps(row) for row in rows]
    lines[7], lines[13] = "{", '{"query": "a", "document": null}'
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(BadRowsError, match="row 8"):
        run(path)
    result = run(path, skip_bad=True)
    sound = [row for place, row in enumerate(rows) if place not in (7, 13)]
    found = read_back(tmp_path / "out")
    assert [without_scores(row) for row in found] == sound
    assert [row["score"] for row in found] == expected(local, sound)
    listed = (tmp_path / "out" / "_rejects.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in listed] == [8, 14]
    assert {json.loads(line)["file"] for line in listed} == {str(path)}
    assert (result.blocks_before, result.rejects, result.rows) == (1, 2, 18)


def test_bad_rows_of_parquet_are_named(run: Any, tmp_path: Path) -> None:
    """Rows that miss their text, and one whose bytes are no text."""
    texts = pa.array([b"a", None, b"\xff\xfe", b"d"], pa.binary()).view(pa.string())
    table = pa.table({"query": ["q", "q", "q", "r"], "document": texts})
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(BadRowsError) as raised:
        run(tmp_path / "in.parquet")
    assert [reject.number for reject in raised.value.rejects] == [2, 3]
    result = run(tmp_path / "in.parquet", skip_bad=True)
    assert (result.rows, result.rejects) == (2, 2)
    assert [row["document"] for row in read_back(tmp_path / "out")] == ["a", "d"]


def test_a_query_beyond_the_model_rejects_its_rows_alone(run: Any, tmp_path: Path) -> None:
    """The scorer says so after the rows were read; queries of the same call are scored."""
    rows = pairs(queries=2)
    rows[2]["query"] = "water " * 60
    options = {"reranker": {**HERE, "max_tokens": 48}, "skip_bad": True, "block_rows": 100}
    result = run(write_rows(tmp_path / "in.jsonl", rows), **options)
    assert (result.rows, result.rejects) == (9, 1)
    (line,) = (tmp_path / "out" / "_rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["row"] == 3


def test_a_score_that_is_none_stops_the_work(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN becomes no score, not even of a row to be left out; the error names the rows."""
    path = write_rows(tmp_path / "in.jsonl", pairs(queries=3))

    def nothing(_: ScoringModel, pack: Pack) -> Pending:
        return Pending(torch.full((len(pack.last_rows),), torch.nan))

    with monkeypatch.context() as patched:
        patched.setattr(ScoringModel, "start", nothing)
        with pytest.raises(NonFiniteScoreError) as raised:
            run(path, skip_bad=True)
    assert "rows 1, 2, 3, 4, 5" in str(raised.value.__notes__)
    assert "in.jsonl" in str(raised.value.__notes__)
    assert not parts_of(tmp_path / "out")
    assert run(path).rows == 15


def changed_input(path: Path, model: Path) -> dict[str, Any]:
    write_rows(path, pairs(queries=2, seed=9))
    return {}


def other_model(path: Path, model: Path) -> dict[str, Any]:
    return {"model": "zelo-nano", "reranker": {}}


DIFFERENT: tuple[tuple[Any, str], ...] = (
    (changed_input, "in.jsonl ha"),
    (other_model, "model: it was .*, now it is zelo-nano"),
    (lambda *_: {"logit": True}, "logit: it was None, now it is 'logit'"),
    (lambda *_: {"block_rows": 5}, "block_rows: it was 8, now it is 5"),
    (lambda *_: {"reranker": {**HERE, "max_document_tokens": 9}}, "max_document_tokens"),
    (lambda path, _: {"more": write_rows(path.with_name("b.jsonl"), pairs(1))}, "b.jsonl is new"),
)


@pytest.mark.parametrize(("change", "told"), DIFFERENT, ids=[told for _, told in DIFFERENT])
def test_other_work_is_not_mixed_in(
    tiny_model: Path, tmp_path: Path, local: Reranker, change: Any, told: str
) -> None:
    """The same folder for another input, model or setting is refused, and the error says why."""
    path = write_rows(tmp_path / "in.jsonl", pairs(queries=2))
    base: dict[str, Any] = {"model": str(tiny_model), "reranker": HERE, "block_rows": 8}
    score(path, tmp_path / "out", **base)
    before = {part: part.read_bytes() for part in parts_of(tmp_path / "out")}
    given = base | change(path, tiny_model)
    inputs = [path, *([given.pop("more")] if "more" in given else [])]
    with pytest.raises(OtherWorkError, match=told):
        score(inputs, tmp_path / "out", **given)
    assert {part: part.read_bytes() for part in parts_of(tmp_path / "out")} == before


def test_the_same_weights_under_another_name_are_the_same(
    run: Any, tiny_model: Path, tmp_path: Path, local: Reranker
) -> None:
    """A model counts by its content: its folder may have been moved."""
    path = write_rows(tmp_path / "in.jsonl", pairs(queries=2))
    run(path)
    (tmp_path / "link").symlink_to(tiny_model)
    again = score(path, tmp_path / "out", str(tmp_path / "link"), reranker=HERE, block_rows=8)
    assert again.blocks_before == again.blocks


def test_restart_begins_anew(run: Any, tmp_path: Path) -> None:
    """What other work left is removed, so that no part of it stays among the new ones."""
    run(write_rows(tmp_path / "in.jsonl", pairs(queries=9)))
    few = write_rows(tmp_path / "few.jsonl", pairs(queries=1))
    result = run(few, restart=True)
    assert (result.blocks, result.blocks_before) == (1, 0)
    assert len(parts_of(tmp_path / "out")) == 1
    assert len(list((tmp_path / "out" / "_zelo" / "done").iterdir())) == 1


def test_a_folder_of_other_things_is_left_alone(run: Any, tmp_path: Path) -> None:
    """Even for a restart: what zelo did not write, it does not remove."""
    (tmp_path / "out").mkdir()
    mine = write_rows(tmp_path / "out" / "mine.jsonl", pairs(queries=1))
    with pytest.raises(InputError, match=r"mine\.jsonl"):
        run(write_rows(tmp_path / "in.jsonl", pairs(queries=1)), restart=True)
    assert mine.exists()


def test_the_input_is_not_written_into(run: Any, tmp_path: Path) -> None:
    """A folder that is read cannot be the one that is written."""
    write_rows(tmp_path / "in.jsonl", pairs(queries=1))
    with pytest.raises(InputError, match="lies in the output folder"):
        run(tmp_path, output=tmp_path)


REFUSED: tuple[tuple[str, bytes, dict[str, Any], str], ...] = (
    ("in.csv", b"query,document\n", {}, "does not tell a format"),
    ("in.jsonl.gz", b"\x1f\x8b", {}, "unpack it first: gunzip"),
    ("in.json", b"[]", {}, "as lines first: jq -c"),
    ("in.jsonl", b"", {}, "holds no JSON object"),
    ("in.jsonl", b'{"query": "a", "text2": "b"}\n', {}, "none of the columns document"),
    ("in.jsonl", b'{"q": "a", "text": "b"}\n', {"columns": {"query": "ask"}}, "no column 'ask'"),
    ("in.parquet", b"PAR1 but not really", {}, "cannot be read as Parquet"),
    ("in.trec", b"q Q0 d 1 2 t\n", {}, "--collection"),
    ("in.jsonl", b'{"query": "a", "text": "b"}\n', {"workers": 2}, "--ray"),
    ("in.jsonl", b'{"query": "a", "text": "b"}\n', {"reranker": {"fallback": 1}}, "fallback"),
)


@pytest.mark.parametrize(
    ("name", "content", "options", "told"), REFUSED, ids=[told for *_, told in REFUSED]
)
def test_what_cannot_be_read_is_refused_at_once(
    run: Any, tmp_path: Path, name: str, content: bytes, options: dict[str, Any], told: str
) -> None:
    """With the name of the file, before anything is written."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=told):
        run(tmp_path / name, **options)
    assert not (tmp_path / "out").exists()


def test_a_parquet_column_of_another_type_is_refused(run: Any, tmp_path: Path) -> None:
    """Before anything is scored, in whichever file it is."""
    write_rows(tmp_path / "a.parquet", pairs(queries=1))
    write_rows(tmp_path / "b.parquet", [{"query": "a", "document": 3}])
    with pytest.raises(InputError, match=r"b\.parquet: column 'document' is int64"):
        run(tmp_path / "a.parquet", tmp_path / "b.parquet")


def test_a_run_with_a_divided_query_is_refused(run: Any, tmp_path: Path) -> None:
    """Its parts could not each be ranked; the error says how to sort it."""
    (tmp_path / "in.run").write_text("q Q0 a 1 2 t\nr Q0 a 1 2 t\nq Q0 b 2 1 t\n")
    with pytest.raises(InputError, match=r"line 3: query 'q' comes again.*sort"):
        run(tmp_path / "in.run", collection=write_beir(tmp_path / "beir"))


def test_progress_counts_pairs(run: Any, tmp_path: Path) -> None:
    """It rises to all of them, and begins with what an earlier start did."""
    path = write_rows(tmp_path / "in.parquet", pairs(queries=4))
    told: list[tuple[int, int]] = []
    run(path, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 20)
    assert told[-1] == (20, 20)
    assert told == sorted(told)
    run(path, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (20, 20)


def test_an_input_that_changes_meanwhile_is_told_of(run: Any, tmp_path: Path) -> None:
    """What was written may be of either content, so the work is not called done."""
    path = write_rows(tmp_path / "in.jsonl", pairs(queries=3))

    def change(done: int, total: int) -> None:
        if done:
            path.touch()

    with pytest.raises(InputError, match=r"in\.jsonl has changed"):
        run(path, progress=change)
    assert not (tmp_path / "out" / "_SUCCESS").exists()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests were started by a shell in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_calls_under_way(run: Any, tmp_path: Path) -> None:
    """At their next forward pass, not after the thousand documents of each; what is done stays."""
    path = write_rows(tmp_path / "in.jsonl", pairs(queries=60))
    told: list[int] = []
    main = threading.main_thread().ident or 0

    def interrupt(done: int, total: int) -> None:
        told.append(done)
        if len(told) == 3:
            signal.pthread_kill(main, signal.SIGINT)  # as Ctrl-C does
        if 3 <= len(told) < 100:
            time.sleep(0.05)  # or all would be scored before a busy machine's main thread wakes

    options = {"reranker": {**HERE, "max_batch_tokens": 64}, "block_rows": 300}
    with pytest.raises(KeyboardInterrupt):
        run(path, progress=interrupt, **options)
    assert max(told) < 300
    assert run(path, **options).rows == 300
