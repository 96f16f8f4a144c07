"""Inputs of bulk scoring, what comes out of it, and processes that do it and may be killed."""

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

__all__ = [
    "FORMATS",
    "HERE",
    "assert_same",
    "pairs",
    "parts_of",
    "read_back",
    "score_in_child",
    "score_on_a_full_disk",
    "write_rows",
]

HERE = {"dtype": "float32", "device": "cpu"}
"""Arguments of the reranker, those of the fixture `local`, so that both share the weights."""
FORMATS = ("jsonl", "parquet")
WORDS = "river water bridge cold stone python file open read grey spring town".split()


def pairs(queries: int, each: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """Return rows of a query and a document, with ids and what else a user's rows hold."""
    chance = random.Random(seed)  # noqa: S311  texts, not secrets
    return [
        {
            "query_id": f"q{query}",
            "query": f"{WORDS[query % len(WORDS)]} {query}",
            "doc_id": query * each + place,
            "document": " ".join(chance.choices(WORDS, k=chance.randint(1, 12))),
            "first_stage": chance.random(),
            "tags": ["ä", "\u2028"] if place % 2 else None,
        }
        for query in range(queries)
        for place in range(each)
    ]


def write_rows(path: Path, rows: Sequence[Any], row_group: int = 7) -> Path:
    """Write rows in the format that the name tells; in small row groups where there are any."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group)
    else:
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    return path


def parts_of(folder: Path) -> list[Path]:
    """Return the parts of an output, in the order of their names."""
    return sorted(folder.glob("part-*"))


def read_back(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of an output as a reader of folders finds them."""
    parts = parts_of(folder)
    if parts and parts[0].suffix == ".parquet":
        return list(ds.dataset(folder).to_table().to_pylist())
    return [json.loads(line) for part in parts for line in _lines(part)]


def assert_same(output: Path, other: Path, count: int) -> None:
    """Compare two outputs: the same rows in the same order, scores but for rounding.

    Neighbours in a forward pass change a score's last digits.
    """
    found, wanted = read_back(output), read_back(other)
    scores = [row.pop("score") for row in found]
    assert scores == pytest.approx([row.pop("score") for row in wanted], abs=1e-5)
    assert found == wanted
    assert len(found) == count


def _lines(path: Path) -> Iterable[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def score_in_child(*arguments: Any, **options: Any) -> None:
    """Score; what a child process runs, which imports this module by name."""
    from zelo.bulk import score

    score(*arguments, **options)


def score_on_a_full_disk(size: int, *arguments: Any, **options: Any) -> None:
    """Score, in a child process, while no file may become larger than `size`."""
    import resource

    from zelo.bulk import OutputError, score

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        score(*arguments, **options)
    except OutputError as error:
        raise SystemExit(f"OutputError: {error}") from error
