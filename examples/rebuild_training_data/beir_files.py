"""A collection, and its files in BEIR layout."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["Collection", "digest", "rendered", "write"]


class Collection(NamedTuple):
    """Documents, queries, and which of them belong together."""

    documents: dict[str, tuple[str, str]]
    """Title and text by id."""
    queries: dict[str, str]
    qrels: dict[str, list[tuple[str, str]]]
    """By split, the pairs of a query and a relevant document; all of grade 1."""


def rendered(collection: Collection) -> dict[str, bytes]:
    """Return the files of a collection by path."""
    documents = [
        {"_id": doc_id, "title": title, "text": text}
        for doc_id, (title, text) in collection.documents.items()
    ]
    queries = [{"_id": query_id, "text": text} for query_id, text in collection.queries.items()]
    files = {"corpus.jsonl": _json_lines(documents), "queries.jsonl": _json_lines(queries)}
    for split, pairs in collection.qrels.items():
        rows = [("query-id", "corpus-id", "score"), *((*pair, "1") for pair in pairs)]
        files[f"qrels/{split}.tsv"] = "".join("\t".join(row) + "\n" for row in rows).encode()
    return files


def digest(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of the lines that `sha256sum` prints for these files, by path."""
    sums = (f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files))
    return hashlib.sha256("".join(sums).encode()).hexdigest()


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder, over those of the same name."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _json_lines(rows: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
