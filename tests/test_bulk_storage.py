"""Bulk scoring on stores that fsspec reaches, and on disks that fail: nothing half counts."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from bulk_kit import HERE, assert_same, pairs, write_rows

from zelo import InputError, Reranker
from zelo.bulk import OutputError, score
from zelo.bulk.ledger import Ledger
from zelo.bulk.storage import LocalFolder, folder_at


@pytest.fixture
def store() -> Iterator[Any]:
    """A store in memory, empty."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield memory
    memory.store.clear()


@pytest.fixture
def run(tiny_model: Path, local: Reranker) -> Any:
    """Score with the tiny model, whose weights stay loaded."""

    def run(inputs: Any, output: Any, **options: Any) -> Any:
        given = {"reranker": HERE, "block_rows": 8} | options
        return score(inputs, output, str(tiny_model), **given)

    return run


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_store_gives_what_a_disk_gives(run: Any, store: Any, tmp_path: Path, ending: str) -> None:
    """Input and output at addresses; started again, all is found done."""
    files = [tmp_path / f"{n}.{ending}" for n in range(2)]
    for n, file in enumerate(files):
        write_rows(file, pairs(queries=3, seed=n))
        store.pipe(f"/in/{file.name}", file.read_bytes())
    run(files, tmp_path / "out")
    result = run(f"memory://in/*.{ending}", "memory://out/scored")
    store.get("/out/scored/", str(tmp_path / "fetched"), recursive=True)
    assert_same(tmp_path / "fetched", tmp_path / "out", 30)
    again = run(f"memory://in/*.{ending}", "memory://out/scored/")
    assert (result.files, result.blocks_before) == (2, 0)
    assert again.blocks_before == again.blocks == result.blocks


def test_a_changed_object_is_another_input(run: Any, store: Any) -> None:
    """Of equal size, too: the store's own mark tells."""
    line = b'{"query": "a", "document": "b"}\n'
    store.pipe("/in/a.jsonl", line)
    run("memory://in/a.jsonl", "memory://out")
    store.pipe("/in/a.jsonl", line.replace(b"b", b"c"))
    with pytest.raises(InputError, match=r"memory://in/a\.jsonl has changed"):
        run("memory://in/a.jsonl", "memory://out")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("memory://nothing/*.jsonl", "no such file"),
        ("nonsense://x/a.jsonl", "nonsense"),
        ("memory://in/a.jsonl", "memory://in/a.jsonl"),
    ],
)
def test_an_address_that_leads_nowhere_is_named(
    run: Any, store: Any, tmp_path: Path, address: str, told: str
) -> None:
    """Whether it is the scheme, the pattern or the file."""
    with pytest.raises(InputError, match=told):
        run(address, tmp_path / "out")


def test_a_password_in_an_address_is_written_nowhere(tmp_path: Path) -> None:
    """Neither into messages nor into files."""
    with pytest.raises(InputError) as raised:
        score("nonsense://me:hunter2@host/a.jsonl", tmp_path / "out")
    assert "hunter2" not in str(raised.value)
    assert "nonsense://host" in str(raised.value)


def test_writing_fails_at_any_moment(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every write of the work: it fails, the error says where, and going on mends it."""
    path = write_rows(tmp_path / "in.jsonl", pairs(queries=2))
    run(path, tmp_path / "whole")
    write = LocalFolder.write
    for failing in itertools.count():
        output = tmp_path / f"{failing}"
        writes = itertools.count()

        def fail(self: Any, name: str, content: bytes, turn: Any = (writes, failing)) -> None:
            if next(turn[0]) == turn[1]:
                raise OutputError(f"{name}: no space left")
            write(self, name, content)

        with monkeypatch.context() as patched:
            patched.setattr(LocalFolder, "write", fail)
            try:
                run(path, output)
            except OutputError as error:
                assert "no space left" in str(error)  # noqa: PT017  some number of them
            else:
                break  # there were no more writes
        run(path, output)
        assert_same(output, tmp_path / "whole", 10)
    assert failing == 6  # the plan, 2 parts with their marks, the sums


def test_a_part_that_was_cut_short_does_not_count(run: Any, store: Any) -> None:
    """As a store leaves it that shows files while they are written: it is written again."""
    lines = "".join(f'{{"query": "{n}", "document": "b"}}\n' for n in range(20))
    store.pipe("/in/a.jsonl", lines.encode())
    run("memory://in/a.jsonl", "memory://out")
    whole = store.cat("/out/part-00001.jsonl").splitlines()
    store.pipe("/out/part-00001.jsonl", b"\n".join(whole)[:-5])
    store.rm("/out/part-00002.jsonl")
    ledger = Ledger(folder_at("memory://out"))
    plan = ledger.plan()
    assert plan is not None
    assert list(ledger.done(plan)) == [0]
    assert [ledger.find(plan.names, number) is None for number in range(3)] == [False, True, True]
    again = run("memory://in/a.jsonl", "memory://out")
    assert (again.blocks, again.blocks_before) == (3, 1)
    assert len(store.cat("/out/part-00001.jsonl").splitlines()) == len(whole)


def test_what_killed_processes_left_is_no_file(tmp_path: Path) -> None:
    """A half that was never renamed is not listed, so nobody takes it for a part."""
    (tmp_path / ".part-00000.jsonl.99.partial").write_bytes(b"half")
    (tmp_path / "part-00001.jsonl").write_bytes(b"whole")
    assert folder_at(str(tmp_path)).sizes() == {"part-00001.jsonl": 5}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """An output that is a file is refused with its name."""
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(InputError, match="out is a file"):
        folder_at(str(tmp_path / "out"))
