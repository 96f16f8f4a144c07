"""The folder of a report: which file holds what, and each written whole or not at all."""

import contextlib
import hashlib
import json
import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from zelo._common.atomic_write import whole_file
from zelo.corpora import write_run
from zelo.evaluation.figures import Summary
from zelo.evaluation.reporting.charts import charts
from zelo.evaluation.reporting.markdown import markdown
from zelo.evaluation.reporting.plain import as_csv, as_json
from zelo.evaluation.reporting.records import query_records
from zelo.evaluation.results import Evaluation, Ranked, Ranking

__all__ = ["file_name", "write_folder"]

SAFE = re.compile(r"[a-z0-9+-]+")
UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
LONGEST_NAME = 60  # characters of a name; two stand in a file's, and file systems allow 255
SPACE, SPACE_OR_PERCENT = re.compile(r"\s"), re.compile(r"[\s%]")


def write_folder(
    evaluation: Evaluation, summary: Summary, out: str | os.PathLike[str]
) -> list[pathlib.Path]:
    """Write a report into a folder, over what an earlier one left there; return the paths.

    `results.json`, `table.md` and `table.csv`; `charts/` as PNG and SVG; for each collection and
    system, named as `file_name` does, a TREC run in `runs/` and its queries in `queries/`. An
    id that holds white space, as no run file can, is written as in a URL, `%20` for a space and
    `%25` for %; `RunStage` reads it back.

    Raises:
        OutputError: a file cannot be written.
    """
    folder = pathlib.Path(out)
    written = [*_texts(summary, folder), *_pictures(summary, folder)]
    for (collection, system), run in evaluation.runs.items():
        name = f"{file_name(collection)}.{file_name(system)}"
        with _whole(folder / "runs" / f"{name}.trec", written) as path:
            write_run(path, _trec(run.rankings), system)
        records = query_records(evaluation, summary, run, collection)
        with _whole(folder / "queries" / f"{name}.jsonl", written) as path:
            path.write_bytes(b"".join(_bytes(record.as_json()) for record in records))
    return written


def file_name(name: str) -> str:
    """Return what stands for a system or a collection in the names of files.

    Small ASCII letters, digits and `-` stay, and `+` becomes `_`. If a name holds anything else,
    or more than 60 characters, that becomes `-` or is cut off, and `~` and a digest of the name
    follow. So no two names become one, also where file systems take `A` for `a`.
    """
    kept = name.replace("+", "_")
    if SAFE.fullmatch(name) and len(name) <= LONGEST_NAME:
        return kept
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()
    return f"{UNSAFE.sub('-', kept)[:LONGEST_NAME].strip('-')}~{digest}"


def _texts(summary: Summary, folder: pathlib.Path) -> list[pathlib.Path]:
    figures = json.dumps(as_json(summary), ensure_ascii=False, allow_nan=False, indent=1)
    texts = {
        "results.json": figures,
        "table.md": markdown(summary),
        "table.csv": as_csv(summary),
    }
    written: list[pathlib.Path] = []
    for name, text in texts.items():
        with _whole(folder / name, written) as path:
            path.write_bytes(_bytes(text))
    return written


def _pictures(summary: Summary, folder: pathlib.Path) -> list[pathlib.Path]:
    written: list[pathlib.Path] = []
    for name, content in charts(summary):
        with _whole(folder / "charts" / name, written) as path:
            path.write_bytes(content)
    return written


def _trec(rankings: Mapping[str, Ranking]) -> dict[str, list[tuple[str, float]]]:
    return {_solid(query_id): list(_lines(ranking)) for query_id, ranking in rankings.items()}


def _lines(ranking: Sequence[Ranked]) -> Iterator[tuple[str, float]]:
    # An empty document scores minus infinity, which no run file can say. With the score of the
    # one above it is a tie, and ties are written so that they fall.
    last = 0.0
    for ranked in ranking:
        last = ranked.score if math.isfinite(ranked.score) else last
        yield _solid(ranked.doc_id), last


def _solid(name: str) -> str:
    return SPACE_OR_PERCENT.sub(lambda found: quote(found[0]), name) if SPACE.search(name) else name


def _bytes(text: str) -> bytes:
    # Halves of characters, which UTF-8 lacks, are spelt out as JSON spells them.
    return (text.rstrip("\n") + "\n").encode("utf-8", "backslashreplace")


@contextlib.contextmanager
def _whole(path: pathlib.Path, written: list[pathlib.Path]) -> Iterator[pathlib.Path]:
    """Write a whole file, and note that it is there."""
    with whole_file(path) as partial:
        yield partial
    written.append(path)
