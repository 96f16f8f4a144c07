"""Where a file cannot be written, the error is ours, names the place and keeps the reason.

A limit on the size of files stands for a full disk: the system refuses the write in the same way.
"""

import contextlib
import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import learning_kit
import pytest

from zelo import OutputError, ScoringTimeoutError
from zelo._common.atomic_write import whole_file, writing
from zelo._common.journal import Journal
from zelo.bulk import score
from zelo.corpora import write_run
from zelo.export import export
from zelo.training.learning.checkpoints import _write as write_checkpoint


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow beyond a hundred bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def left(folder: Path) -> list[str]:
    """Return the names of the files and folders in a folder."""
    return sorted(path.name for path in folder.rglob("*"))


def test_files_and_folders_that_find_no_room(tiny_model: Path, tmp_path: Path) -> None:
    """A run file, a checkpoint, a trained model, an export and scores say what finds no room."""
    out = tmp_path / "out"
    out.mkdir()
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"query": "q", "document": "the river"}\n')
    student = learning_kit.student(tiny_model)
    tensors = learning_kit.weights(student)
    run = {"q": [(f"document-{i}", -float(i)) for i in range(9)]}
    for name, write in {
        "run": lambda: write_run(out / "run", run, "tag"),
        "checkpoint": lambda: write_checkpoint(out / "checkpoint", tensors, {}),
        "model": lambda: student.save(out / "model"),
        "export": lambda: export(tiny_model, out / "export", "vllm", probes=False),
        "scores": lambda: score(rows, out / "scores", str(tiny_model)),
    }.items():
        place = rf"{out / name}\S* cannot be written: File too large; make room or name another"
        with pytest.raises(OutputError, match=place), full_disk():
            write()
    assert not [name for name in left(out) if "partial" in name or name == "export"]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    """Where a folder cannot be made, whoever writes says so in the same words."""
    (tmp_path / "file").write_text("")
    for write in (
        lambda path: whole_file(path).__enter__(),
        lambda path: Journal(path),
        lambda path: write_run(path, {}, "tag"),
    ):
        with pytest.raises(OutputError, match="file/in/it cannot be written: Not a directory"):
            write(tmp_path / "file" / "in" / "it")


def test_journal_that_finds_no_room_keeps_what_it_holds(tmp_path: Path) -> None:
    """A piece that finds no room is an error of the file's name; the pieces before it stay."""
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        journal.put("first", "kept")
        journal._connection.execute("PRAGMA max_page_count = 3")
        told = rf"{path} cannot be written: database or disk is full; make room"
        with pytest.raises(OutputError, match=told):
            journal.put("second", "x" * 100_000)
        assert journal.get("first") == "kept"
    with Journal(path) as journal:
        assert dict(journal.items()) == {"first": "kept"}


def test_other_errors_go_through(tmp_path: Path) -> None:
    """What is no fault of the written file, such as another that is read, is not called one."""
    elsewhere = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/elsewhere/file")
    for error in (elsewhere, ScoringTimeoutError("late"), ValueError("wrong"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, writing(tmp_path / "out"):
            raise error
        assert caught.value is error
