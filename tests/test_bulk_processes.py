"""Bulk scoring in processes of its own, which are killed or run out of disk: nothing is lost."""

import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest
from bulk_kit import (
    HERE,
    assert_same,
    pairs,
    parts_of,
    score_in_child,
    score_on_a_full_disk,
    write_rows,
)

from zelo import Reranker
from zelo.bulk import score

BLOCKS = 40
IN_FLIGHT = 1  # a process does one block at a time
LONGEST = 200  # seconds until the test gives up


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_killed_at_random_moments_it_goes_on(
    tiny_model: Path, tmp_path: Path, local: Reranker, ending: str
) -> None:
    """What was done when it died is never done again, and the output is that of an undisturbed run.

    A block's part and mark are looked at by their inode and time: one that was written again would
    have others.
    """
    rows = pairs(queries=BLOCKS, each=6)
    path = write_rows(tmp_path / f"in.{ending}", rows)
    output = tmp_path / "out"
    arguments = (path, output, str(tiny_model))
    options = {"reranker": HERE, "block_rows": 6}
    context = processes()
    chance = random.Random(ending)  # noqa: S311
    kills = 0
    end = time.monotonic() + LONGEST
    known: dict[Path, tuple[int, int]] = {}
    while time.monotonic() < end:
        child = context.Process(target=score_in_child, args=arguments, kwargs=options)
        child.start()
        wanted = len(known) + chance.randrange(1, 14)
        while child.is_alive() and done(output) < wanted and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(chance.random() / 100)
        child.kill()
        child.join()
        found = written(output)
        assert {file: found[file] for file in known} == known
        parts, marks = len(parts_of(output)), done(output)
        assert 0 <= parts - marks <= IN_FLIGHT
        known = {file: seen for file, seen in found.items() if mark_of(output, file).exists()}
        if child.exitcode == 0:
            break
        kills += 1
    result = score(*arguments, **options)
    assert kills >= 3
    assert result.rows == len(rows)
    assert result.blocks == BLOCKS
    score(path, tmp_path / "undisturbed", str(tiny_model), **options)
    assert_same(output, tmp_path / "undisturbed", len(rows))


def processes() -> Any:
    """Return what starts a process in no time, and free of our threads."""
    context = multiprocessing.get_context("forkserver")
    model = "transformers.models.qwen3.modeling_qwen3"
    context.set_forkserver_preload(["zelo.local.instances", "bulk_kit", "pyarrow.dataset", model])
    return context


def done(output: Path) -> int:
    """Count the marks."""
    return len(list((output / "_zelo" / "done").glob("*.json")))


def mark_of(output: Path, part: Path) -> Path:
    """Return the mark that belongs to a part."""
    return output / "_zelo" / "done" / f"{part.stem.removeprefix('part-')}.json"


def written(output: Path) -> dict[Path, tuple[int, int]]:
    """Return which parts were written, and when."""
    stats = {part: part.stat() for part in parts_of(output)}
    return {part: (stat.st_ino, stat.st_mtime_ns) for part, stat in stats.items()}


def test_a_full_disk_leaves_no_half_of_a_file(tiny_model: Path, tmp_path: Path) -> None:
    """The system itself refuses to write on: no part is there, nor anything else of it."""
    path = write_rows(tmp_path / "in.jsonl", pairs(queries=20))
    child = processes().Process(
        target=score_on_a_full_disk,
        args=(3_000, path, tmp_path / "out", str(tiny_model)),
        kwargs={"reranker": HERE},
    )
    child.start()
    child.join()
    assert child.exitcode == 1
    left = [file.name for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert left == ["plan.jsonl"]
