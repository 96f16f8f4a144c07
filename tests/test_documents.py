"""Reading candidates: every line becomes a document, or is named as bad or blank."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelo.cli.documents import Document, Fields, Format, Reading, read
from zelo.errors import InputError

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
FINITE = SCALAR.filter(lambda value: value not in (float("inf"), float("-inf")))
RECORD = st.fixed_dictionaries(
    {"text": TEXT}, optional={"_id": TEXT, "more": FINITE | st.lists(FINITE, max_size=3)}
)
BAD_JSON_LINES = [
    b"{",
    b'"text"',
    b"[1, 2]",
    b"null",
    b'{"text": 7}',
    b'{"text": null}',
    b'{"no": "text"}',
    b'{"text": "\xff"}',
    b'{"text": "x", "n": NaN}',
    b'{"text": "x", "n": -Infinity}',
    b'{"text": "x", "n": 1e999}',
    b'{"text": "x", "n": ' + b"9" * 5000 + b"}",
    b'{"text": "\\ud800"}',
    b"[" * 100_000,
]


def jsonl(*records: object, ensure_ascii: bool = False) -> bytes:
    """Write records as JSON Lines."""
    lines = [json.dumps(record, ensure_ascii=ensure_ascii) for record in records]
    return "".join(f"{line}\n" for line in lines).encode()


def table(*rows: list[str]) -> bytes:
    """Write rows as CSV."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue().encode()


def texts(reading: Reading) -> list[str]:
    """Return the documents' texts."""
    return [document.text for document in reading.documents]


@given(st.lists(RECORD, min_size=1, max_size=8), st.booleans())
def test_json_lines_are_read_back_as_they_were_written(
    records: list[dict[str, object]], ensure_ascii: bool
) -> None:
    """Each object comes back whole, with its text, its id and its line number."""
    reading = read(jsonl(*records, ensure_ascii=ensure_ascii), "a", Format.JSONL)
    assert [document.record for document in reading.documents] == records
    assert texts(reading) == [record["text"] for record in records]
    assert [document.id for document in reading.documents] == [r.get("_id") for r in records]
    assert [document.line for document in reading.documents] == list(range(1, len(records) + 1))
    assert not reading.bad


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8))
def test_csv_is_read_back_as_it_was_written(rows: list[tuple[str, str]]) -> None:
    """Cells with quotes, commas, NUL bytes and line ends of any kind come back unchanged."""
    content = table(["id", "text"], *map(list, rows))
    reading = read(content, "a", Format.CSV)
    assert [(document.id, document.text) for document in reading.documents] == rows
    assert not reading.bad
    assert not reading.blank
    lines = content.split(b"\n")
    assert all(lines[document.line - 1].startswith(b'"') for document in reading.documents)


@given(st.lists(LINE, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_every_line_of_text_is_a_document_or_blank(lines: list[str], end: str, ended: bool) -> None:
    """Lines keep their white space, and form feeds or U+2028 do not end one."""
    content = end.join(lines) + (end if ended and lines else "")
    if not ended and lines and not lines[-1]:
        lines = lines[:-1]  # nothing follows the last line end
    reading = read(b"\xef\xbb\xbf" + content.encode(), "a", Format.TXT)
    numbered = list(enumerate(lines, start=1))
    assert [(d.line, d.text) for d in reading.documents] == [x for x in numbered if x[1].strip()]
    assert list(reading.blank) == [number for number, line in numbered if not line.strip()]


@given(st.lists(st.sampled_from([None, *BAD_JSON_LINES]), min_size=1, max_size=12))
def test_all_bad_json_lines_are_named_wherever_they_stand(kinds: list[bytes | None]) -> None:
    """A bad line costs no other line, and its number is among the bad ones."""
    kinds = [None, *kinds]
    good = b'{"text": "good"}'
    reading = read(b"\n".join(good if kind is None else kind for kind in kinds), "a", Format.JSONL)
    at = {number for number, kind in enumerate(kinds, start=1) if kind is not None}
    assert [bad.line for bad in reading.bad] == sorted(at)
    assert {document.line for document in reading.documents} == set(range(1, len(kinds) + 1)) - at
    assert set(texts(reading)) == {"good"}


@given(st.lists(st.sampled_from(["good", "short", "long", "bytes", "quote"]), max_size=12))
def test_all_bad_csv_rows_are_named_wherever_they_stand(kinds: list[str]) -> None:
    """Rows with other numbers of columns, bad bytes or stray quotes cost no other row."""
    written = {
        "good": b"1,good",
        "short": b"1",
        "long": b"1,good,more",
        "bytes": b"1,\xfe",
        "quote": b'1,"go"od',
    }
    content = b"\n".join([b"id,text", *(written[kind] for kind in kinds)])
    reading = read(content, "a", Format.CSV)
    numbered = list(enumerate(kinds, start=2))
    assert [bad.line for bad in reading.bad] == [n for n, kind in numbered if kind != "good"]
    assert [d.line for d in reading.documents] == [n for n, kind in numbered if kind == "good"]


@given(st.binary(max_size=80), st.sampled_from(Format))
def test_any_bytes_are_read_or_refused(content: bytes, form: Format) -> None:
    """Whatever a file holds, each of its lines is accounted for, or one clear error is raised."""
    try:
        reading = read(content, "a", form)
    except InputError:
        return
    found = [d.line for d in reading.documents] + [b.line for b in reading.bad]
    found += reading.blank
    assert len(set(found)) == len(found)
    if form is not Format.CSV:
        count = content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
        without_mark = content.removeprefix(b"\xef\xbb\xbf")
        assert sorted(found) == list(range(1, (count if without_mark else 0) + 1))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{bad", "not JSON: Expecting property name"),
        (b"[1]", "not a JSON object"),
        (b'{"other": 1}', "has no field 'text'"),
        (b'{"text": ["x"]}', "field 'text' is an array, not a string"),
        (b'{"text": true}', "field 'text' is true, not a string"),
        (b'{"text": "\xff"}', "not UTF-8: byte 0xff at byte 11 (if it is Latin-1: iconv"),
        (b'{"text": "\\udc00"}', "field 'text' holds half a character, \\udc00"),
        (b'{"text": "x", "n": NaN}', "NaN is no JSON value"),
    ],
)
def test_a_bad_line_is_told_with_its_reason(line: bytes, reason: str) -> None:
    """The reason says what was found on the line, in the words of the format."""
    reading = read(b'{"text": "good"}\n' + line, "a", Format.JSONL)
    assert reason in reading.complaint()
    assert "line 2: " in reading.complaint()


def test_very_many_bad_lines_are_all_named_in_few_words() -> None:
    """Reasons are given for the first twenty, and ranges of numbers for all others."""
    content = b'{"text": "good"}\n' + b"bad\n" * 500 + b'{"text": "good"}\n' + b"bad\n"
    complaint = read(content, "a", Format.JSONL).complaint()
    assert complaint.endswith("and lines 22-501, 503")
    assert len(complaint.splitlines()) == 21


def test_a_csv_row_of_several_lines_goes_by_its_first() -> None:
    """Line numbers are those of an editor, even after cells with line ends in them."""
    reading = read(b'text,id\n"one\ntwo\r\nthree",1\nfour,2\nfive\n', "a", Format.CSV)
    assert [(d.line, d.text) for d in reading.documents] == [(2, "one\ntwo\r\nthree"), (5, "four")]
    assert reading.complaint() == "  line 6: 1 column, but the header has 2"


def test_a_quote_that_is_never_closed_is_told_with_the_lines_it_swallowed() -> None:
    """Whatever stands behind the open quote is named as lost, not read as one long document."""
    reading = read(b'text\ngood\n"open\nmore\nmore\n', "a", Format.CSV)
    assert texts(reading) == ["good"]
    assert reading.complaint() == "  lines 3-5: a quote is opened and never closed"


def test_a_csv_field_may_be_large_and_the_process_wide_limit_stays() -> None:
    """A field beyond the csv module's own limit is read, and that limit is put back."""
    limit = csv.field_size_limit()
    big = "x" * (2 * limit)
    assert texts(read(table(["text"], [big]), "a", Format.CSV)) == [big]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("form", Format)
def test_a_byte_order_mark_is_no_text(form: Format) -> None:
    """Excel and Notepad put one in front, and it belongs to no field."""
    content = {Format.TXT: b"x", Format.CSV: b"text\nx", Format.JSONL: b'{"text": "x"}'}[form]
    assert texts(read(b"\xef\xbb\xbf" + content, "a", form)) == ["x"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_refused_with_the_remedy(encoding: str) -> None:
    """The other encoding that Windows writes is told from bad lines."""
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    with pytest.raises(InputError, match="iconv -f utf-16"):
        read(mark + "text\n".encode(encoding), "a", Format.TXT)


def test_empty_texts_are_documents() -> None:
    """A record with an empty text is a candidate like others; its line is not lost."""
    reading = read(jsonl({"text": ""}, {"text": "x"}), "a", Format.JSONL)
    assert texts(reading) == ["", "x"]
    assert texts(read(b"id,text\n1,\n", "a", Format.CSV)) == [""]


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n"])
def test_an_empty_input_holds_no_documents(form: Format, content: bytes) -> None:
    """Nothing is found in nothing, without an error."""
    reading = read(content, "a", form)
    assert not reading.documents
    assert not reading.bad
    assert list(reading.blank) == [1, 2][: content.count(b"\n")]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"text": "a", "content": "b"}, "a"),
        ({"document": "c", "content": "b"}, "b"),
        ({"page_content": "d"}, "d"),
        ({"passage": "e", "body": "f"}, "e"),
    ],
)
def test_usual_text_fields_are_found_in_a_fixed_order(record: dict[str, str], text: str) -> None:
    """The first of text, content, contents, document, page_content, passage, body counts."""
    assert texts(read(jsonl(record), "a", Format.JSONL)) == [text]


def test_one_text_field_counts_for_the_whole_input() -> None:
    """A record without the field that its predecessors have is a bad line, not read otherwise."""
    reading = read(jsonl({"x": 1}, {"body": "a"}, {"text": "b"}), "a", Format.JSONL)
    assert texts(reading) == ["a"]
    assert [bad.line for bad in reading.bad] == [1, 3]


@pytest.mark.parametrize("form", [Format.JSONL, Format.CSV])
@pytest.mark.parametrize("fields", [Fields(), Fields(text="tekst"), Fields(title="tekst")])
def test_a_field_that_no_record_has_is_refused_with_those_found(
    form: Format, fields: Fields
) -> None:
    """The error lists the fields that there are, so that one of them can be named."""
    column = "text" if fields.title else "message"
    content = jsonl({"nr": "1", column: "x"})
    if form is Format.CSV:
        content = table(["nr", column], ["1", "x"])
    with pytest.raises(InputError, match=rf"found 'nr', '{column}'. Name one with --t\w+-field"):
        read(content, "a", form, fields)


@pytest.mark.parametrize(
    ("value", "found"), [("x", "x"), (7, "7"), (True, None), (None, None), (1.5, None), ([], None)]
)
def test_ids_are_strings_or_whole_numbers(value: object, found: str | None) -> None:
    """A field that happens to be called id may hold anything; one named by the user may not."""
    content = jsonl({"text": "a", "id": value})
    assert read(content, "a", Format.JSONL).documents[0].id == found
    named = read(content, "a", Format.JSONL, Fields(id="id"))
    assert len(named.bad) == (found is None)


def test_the_title_stands_on_a_line_before_the_text() -> None:
    """A document without a title, or with a blank one, is its text alone."""
    records = [
        {"text": "b", "t": "a"},
        {"text": "b", "t": " "},
        {"text": "b"},
        {"text": "", "t": "a"},
    ]
    reading = read(jsonl(*records), "a", Format.JSONL, Fields(title="t"))
    assert texts(reading) == ["a\nb", "b", "b", "a\n"]


def test_a_column_named_twice_is_refused() -> None:
    """Which of the two was meant cannot be known."""
    with pytest.raises(InputError, match="line 2, the header: column 'text' stands there twice"):
        read(b"\ntext,text\na,b\n", "a", Format.CSV)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", Format.JSONL),
        ("b/a.NDJSON", Format.JSONL),
        ("a.json", Format.JSONL),
        ("a.txt", Format.TXT),
        ("a.b.csv", Format.CSV),
        ("a.TXT.gz", Format.TXT),
    ],
)
def test_the_suffix_tells_the_format(name: str, form: Format) -> None:
    """Upper and lower case are the same, and whether the file is packed."""
    assert Format.of_name(name) is form


@pytest.mark.parametrize("name", ["a", "a.gz", "a.pdf", "jsonl"])
def test_other_suffixes_are_refused_with_the_remedy(name: str) -> None:
    """No format is guessed from a name that does not tell it."""
    with pytest.raises(InputError, match="--format"):
        Format.of_name(name)


def test_a_parquet_table_is_refused_with_what_reads_it() -> None:
    """Which command reads it, and what makes documents of it."""
    with pytest.raises(InputError, match=r"pandas\.read_parquet.*`zelo score` reads"):
        Format.of_name("a.parquet")


def test_an_array_is_read_value_by_value() -> None:
    """Each object or text of a JSON array is a document, with the line where it begins."""
    objects = b'\xef\xbb\xbf\n[{"text": "a", "_id": "x"},\n  {"text": "b\xc3\xa9"}\n, 7]\n'
    reading = read(objects, "a", Format.JSONL)
    assert [(one.line, one.id, one.text) for one in reading.documents] == [
        (2, "x", "a"),
        (3, None, "b\xe9"),
    ]
    assert [bad.place for bad in reading.bad] == ["line 4"]
    reading = read(b'[\n"a",\n"b"]', "a", Format.JSONL)
    assert reading.documents == (Document("a", 2), Document("b", 3))
    assert read(b"[]", "a", Format.JSONL) == Reading(())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'["a",\n"b', "line 2: not JSON: Unterminated string"),
        (b'["a"\n] more', "line 2: not JSON: Extra data"),
        (b'["a",\n"\xe9"]', "line 2: not UTF-8: byte 0xe9 at byte 2 .*iconv -f latin1 -t utf-8"),
        (b"[NaN]", "NaN is no JSON value"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_an_array_with_a_fault_is_refused_whole(content: bytes, reason: str) -> None:
    """What follows a fault in an array can be anything, so nothing of it is taken."""
    with pytest.raises(InputError, match=reason):
        read(content, "a", Format.JSONL)


def test_json_on_a_pipe_is_told_by_its_beginning() -> None:
    """Anything else on a pipe is text, CSV included, because every line of CSV is text too."""
    assert Format.of_content(b' [{"text": "x"}]\n') is Format.JSONL
    assert Format.of_content(b"[12:04] timeout\n[12:05] again\n") is Format.TXT
    assert Format.of_content(b'\xef\xbb\xbf\n {"text": "x"}') is Format.JSONL
    assert Format.of_content(b"id,text\n1,{\n") is Format.TXT
    assert Format.of_content(b"") is Format.TXT


def test_a_document_cannot_be_changed() -> None:
    """What travels is frozen."""
    with pytest.raises(AttributeError):
        Document("text", 1).text = "other"  # type: ignore[misc]
