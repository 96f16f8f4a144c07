"""Reading collections in BEIR layout, with the traps that real exports set.

A folder holds `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`, the queries
of *all* splits) and `qrels/<split>.tsv`. It does not know which split is for training.
"""

import csv
import dataclasses
import json
import pathlib
import re
from collections.abc import Collection as Container

from zelo.errors import InputError


@dataclasses.dataclass(frozen=True, slots=True)
class Collection:
    """Documents, the queries of one split, and which documents are relevant to each of them."""

    name: str
    documents: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def join_title(title: str, text: str) -> str:
    """The scored text of a document: its title, where it has one, on a line before the text."""
    return f"{title}\n{text}" if title.strip() else text


def normal_text(text: str) -> str:
    """Lower-cased words only: two texts that agree in this form count as the same text."""
    return " ".join(re.findall(r"\w+", text.lower()))


def read_collection(folder: pathlib.Path, split: str) -> Collection:
    """Read one split; document ids may hold spaces, so tables are split at tabs, without quoting.

    Raises InputError that names the file and line of a row that cannot be read.
    """
    documents = {
        str(row["_id"]): join_title(str(row.get("title") or ""), str(row["text"]))
        for row in _read_lines(folder / "corpus.jsonl")
    }
    queries = {str(row["_id"]): str(row["text"]) for row in _read_lines(folder / "queries.jsonl")}
    table = folder / "qrels" / f"{split}.tsv"
    # Lines end at "\n" alone: str.splitlines would also cut at characters inside an id.
    lines = table.read_text(encoding="utf-8").rstrip("\n").split("\n")
    qrels: dict[str, dict[str, int]] = {}
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    for number, row in enumerate(rows, start=2):
        query_id, doc_id = row.get("query-id"), row.get("corpus-id")
        if query_id not in queries or doc_id not in documents:
            message = (
                f"{table}, line {number}: query {query_id!r} or document {doc_id!r} is not in the "
                "collection, so the judgement cannot be used; mend the row or the file it names."
            )
            raise InputError(message)
        qrels.setdefault(query_id, {})[doc_id] = int(row["score"])
    return Collection(folder.name, documents, {key: queries[key] for key in qrels}, qrels)


def merge_repeated_queries(collection: Collection) -> Collection:
    """One query per distinct text, with the relevant documents of all its copies.

    Template questions ("display help") stand many times, each with another answer: mined negatives
    of one copy would be the true positives of the next.
    """
    first: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for query_id, text in collection.queries.items():
        kept = first.setdefault(normal_text(text), query_id)
        qrels.setdefault(kept, {}).update(collection.qrels[query_id])
    queries = {query_id: collection.queries[query_id] for query_id in qrels}
    return dataclasses.replace(collection, queries=queries, qrels=qrels)


def without_queries(collection: Collection, texts: Container[str]) -> Collection:
    """The collection without queries whose normal text is among `texts` (an evaluation set's)."""
    queries = {
        query_id: text
        for query_id, text in collection.queries.items()
        if normal_text(text) not in texts
    }
    qrels = {query_id: collection.qrels[query_id] for query_id in queries}
    return dataclasses.replace(collection, queries=queries, qrels=qrels)


def _read_lines(path: pathlib.Path) -> list[dict[str, object]]:
    rows = []
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            message = f"{path}, line {number} is not JSON ({error}); mend or remove that line."
            raise InputError(message) from error
        if not isinstance(row, dict) or "_id" not in row or "text" not in row:
            message = f"{path}, line {number} has no `_id` or no `text`; BEIR rows need both."
            raise InputError(message)
        rows.append(row)
    return rows
