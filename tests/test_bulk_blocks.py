"""However an input is cut, its rows are read once each, in order, and queries stay together."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from bulk_kit import FORMATS, write_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from zelo.bulk.blocks import Block, Limits, cut
from zelo.bulk.formats import form_named, kind_of
from zelo.bulk.formats.parquet import Parquet
from zelo.bulk.layout import Layout, Wishes
from zelo.bulk.rows import Answer, rows_of
from zelo.bulk.sources import Source, file_sources

WISHES = Wishes({}, ids=False, logit=False)
FEWER = settings(max_examples=settings().max_examples // 4)  # each of them writes files
LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=12)
LIMITS = st.builds(Limits, st.integers(1, 9), st.integers(1, 400))
QUERY = "find {}"


def rows_with(lengths: list[int]) -> list[dict[str, Any]]:
    """Return neighbouring rows with one query, as many of each as given."""
    return [
        {"query": QUERY.format(place), "document": f"{place}.{n} " * (1 + n), "n": n}
        for place, length in enumerate(lengths)
        for n in range(length)
    ]


def planned(path: Path, limits: Limits) -> tuple[Any, Source, Layout, list[Block]]:
    """Cut a file into blocks."""
    (source,) = file_sources(str(path), (path.suffix,))
    form = form_named(kind_of([source]))
    layout = form.layout(source, WISHES)
    return form, source, layout, list(cut(form.pieces(source, layout, limits), limits, 0, 0))


def written(path: Path, limits: Limits, order: Any = iter) -> list[dict[str, Any]]:
    """Read every block, in any order, answer each row with its number, and write it."""
    form, source, layout, blocks = planned(path, limits)
    parts: dict[int, bytes] = {}
    for block in order(blocks):
        raw = form.read(source, block, layout)
        rows = rows_of(raw.records, layout, None)
        assert not raw.rejects
        assert not rows.rejects
        answers = [(row.record, [Answer(row.record.number, 0.0, False)]) for row in rows.sound]
        parts[block.number] = form.write(raw, answers, layout)
    form.close()
    found: list[dict[str, Any]] = []
    for number in range(len(blocks)):
        found += rows_in(parts[number], path)
    return found


def rows_in(part: bytes, path: Path) -> list[dict[str, Any]]:
    """Return the rows of a part."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in part.splitlines()]
    import pyarrow as pa
    import pyarrow.parquet as pq

    return list(pq.read_table(pa.BufferReader(part)).to_pylist())


@pytest.mark.parametrize("ending", FORMATS)
@FEWER
@given(lengths=LENGTHS, limits=LIMITS, row_group=st.integers(1, 9))
def test_every_row_is_in_one_block(
    ending: str, lengths: list[int], limits: Limits, row_group: int
) -> None:
    """Whatever the limits, each row comes out once, in order, with the number it has."""
    rows = rows_with(lengths)
    with TemporaryDirectory() as folder:
        path = write_rows(Path(folder) / f"in.{ending}", rows, row_group)
        found = written(path, limits)
    assert [row.pop("score") for row in found] == list(range(1, len(rows) + 1))
    assert found == rows


@FEWER
@given(lengths=LENGTHS, row_group=st.integers(1, 9), data=st.data())
def test_blocks_are_read_in_any_order(lengths: list[int], row_group: int, data: Any) -> None:
    """As the workers of a pool do, each of which gets some of them, now and then one again."""
    rows = rows_with(lengths)

    def shuffled(blocks: list[Block]) -> list[Block]:
        again = data.draw(st.lists(st.sampled_from(blocks)))
        return [*data.draw(st.permutations(blocks)), *again]

    with TemporaryDirectory() as folder:
        path = write_rows(Path(folder) / "in.parquet", rows, row_group)
        found = written(path, Limits(3), shuffled)
    assert [row.pop("score") for row in found] == list(range(1, len(rows) + 1))
    assert found == rows


@pytest.mark.parametrize("ending", FORMATS)
@FEWER
@given(lengths=LENGTHS, most=st.integers(1, 9))
def test_a_query_is_divided_only_where_it_must_be(
    ending: str, lengths: list[int], most: int
) -> None:
    """Blocks keep to the limit; only a query with more rows than that lies in several."""
    with TemporaryDirectory() as folder:
        path = write_rows(Path(folder) / f"in.{ending}", rows_with(lengths), row_group=100)
        form, source, layout, blocks = planned(path, Limits(most))
        read = [form.read(source, block, layout).records for block in blocks]
        form.close()
    of_blocks = [{record.query for record in records} for records in read]
    assert all(len(records) <= most for records in read)
    assert [block.pairs for block in blocks] == [len(records) for records in read]
    for place, length in enumerate(lengths):
        holding = sum(QUERY.format(place) in queries for queries in of_blocks)
        assert holding == -(-length // most) or (length > most and holding > 1)


@given(
    content=st.lists(
        st.sampled_from(
            [b'{"query": "a", "document": "b"}\n', b"\n", b"  \r\n", b"{]\n", b"\xff\n", b"[1]\n"]
        ),
        max_size=20,
    ),
    last=st.sampled_from([b"", b'{"query": "z", "document": ""}', b"oops"]),
    most=st.integers(1, 5),
)
def test_lines_keep_their_numbers(content: list[bytes], last: bytes, most: int) -> None:
    """Blank and bad ones count, in whatever block they are; none is read twice or passed over."""
    lines = [b'{"query": "first", "document": "c"}\n', *content, last]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "in.jsonl"
        path.write_bytes(b"".join(lines))
        form, source, layout, blocks = planned(path, Limits(most))
        raws = [form.read(source, block, layout) for block in blocks]
    good = [record.number for raw in raws for record in raw.records]
    bad = [reject.number for raw in raws for reject in raw.rejects]
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    assert good == [number for number, line in numbered if line.startswith(b'{"')]
    assert sorted(bad) == [number for number, line in numbered if not line.startswith(b'{"')]


def test_a_reader_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that follow each other decode a row group once, not once each."""
    path = write_rows(tmp_path / "in.parquet", rows_with([1] * 600), row_group=600)
    form, source, layout, blocks = planned(path, Limits(10))
    assert isinstance(form, Parquet)
    begun: list[int] = []
    from zelo.bulk.formats import parquet

    batches = parquet._Opened.batches

    def counted(self: Any, group: int, columns: Any = None) -> Any:
        begun.append(group)
        return batches(self, group, columns)

    monkeypatch.setattr(parquet._Opened, "batches", counted)
    for block in blocks[::2]:
        form.read(source, block, layout)
    form.close()
    assert len(blocks) == 60
    assert begun == [0]


def test_texts_of_great_length_make_small_blocks(tmp_path: Path) -> None:
    """A block is bounded by its bytes too, so that a worker's memory is."""
    rows = [{"query": str(n), "document": f"{n}" * 300} for n in range(20)]
    for ending in FORMATS:
        path = write_rows(tmp_path / f"in.{ending}", rows)
        form, _, _, blocks = planned(path, Limits(100, text=2_000))
        form.close()
        assert len(blocks) >= 5, ending
