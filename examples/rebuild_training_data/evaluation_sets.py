"""The collections that zelo-nano is measured on.

From scifact's training claims it learns as well.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from beir_files import Collection
from repositories import Files, table

__all__ = ["contractnli", "cosqa", "scifact", "tatqa"]


def scifact(files: Files) -> Collection:
    """Claim -> abstracts that it cites. The public test split is the source's validation file."""
    archive = zipfile.ZipFile(io.BytesIO(files["data/scifact.zip"]))
    documents = {
        row["doc_id"]: (row["title"], _abstract(row["abstract"]))
        for row in table(archive.read("corpus_train.csv"))
    }
    queries: dict[str, str] = {}
    qrels: dict[str, list[tuple[str, str]]] = {}
    for split, name in (("train", "train"), ("test", "validation")):
        pairs: dict[tuple[str, str], None] = {}  # a claim has a row for each piece of evidence
        for row in table(archive.read(f"claims_{name}.csv")):
            queries[row["id"]] = row["claim"]
            pairs |= dict.fromkeys(
                (row["id"], doc_id) for doc_id in row["cited_doc_ids"].strip("[]").split()
            )
        qrels[split] = list(pairs)
    return Collection(documents, queries, qrels)


def _abstract(printed: str) -> str:
    """Join the sentences of a printed array of strings, whose quotes and line ends are escaped."""
    sentences = re.findall(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", printed, re.DOTALL)
    text = " ".join(single or double for single, double in sentences)
    for escaped, character in (("\\n", " "), ("\\'", "'"), ('\\"', '"')):
        text = text.replace(escaped, character)
    return " ".join(text.split())


def cosqa(files: Files) -> Collection:
    """Web query -> Python function."""
    codes = json.loads(files["data/search/code_idx_map.txt"])
    rows = {
        split: json.loads(files[f"data/search/cosqa-retrieval-{split}-500.json"])
        for split in ("dev", "test")
    }
    return Collection(
        {str(number): ("", code) for code, number in codes.items()},
        {row["idx"]: row["doc"] for split in rows.values() for row in split},
        {
            split: [(row["idx"], str(row["retrieval_idx"])) for row in found]
            for split, found in rows.items()
        },
    )


def tatqa(files: Files) -> Collection:
    """Question -> the table and paragraphs that its answer is from."""
    documents, queries = {}, {}
    qrels: dict[str, list[tuple[str, str]]] = {"dev": [], "test": []}
    for split, name in (("dev", "dev"), ("test", "test_gold")):
        for report in json.loads(files[f"dataset_raw/tatqa_dataset_{name}.json"]):
            grid = report["table"]
            documents[grid["uid"]] = ("table", "\n".join(map(" | ".join, grid["table"])))
            for paragraph in report["paragraphs"]:
                documents[paragraph["uid"]] = ("", paragraph["text"])
            by_order = {str(one["order"]): one["uid"] for one in report["paragraphs"]}
            for question in report["questions"]:
                queries[question["uid"]] = question["question"]
                relevant = [by_order[order] for order in question["rel_paragraphs"]]
                if "table" in question["answer_from"]:
                    relevant.insert(0, grid["uid"])
                qrels[split] += [(question["uid"], doc_id) for doc_id in relevant]
    return Collection(documents, queries, qrels)


def contractnli(files: Files) -> Collection:
    """Question -> the pieces of an agreement that overlap its gold spans by 50 characters."""
    root = "src/data/"
    documents = {}
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for path in sorted(path for path in files if path.startswith(f"{root}corpus/")):
        name, text = path.removeprefix(f"{root}corpus/"), files[path].decode()
        spans[name] = [(start, end, f"{name}:{start}-{end}") for start, end in _pieces(text)]
        for start, end, doc_id in spans[name]:
            documents[doc_id] = (PurePosixPath(path).stem, " ".join(text[start:end].split()))
    tests = json.loads(files[f"{root}benchmarks/contractnli.json"])["tests"]
    queries = {f"q{number}": test["query"] for number, test in enumerate(tests)}
    pairs: dict[tuple[str, str], None] = {}
    for query_id, test in zip(queries, tests, strict=True):
        for gold in test["snippets"]:
            low, high = gold["span"]
            for start, end, doc_id in spans[gold["file_path"]]:
                if min(end, high) - max(start, low) >= min(50, high - low):
                    pairs[query_id, doc_id] = None
    return Collection(documents, queries, {"test": list(pairs)})


def _pieces(text: str, longest: int = 500) -> Iterator[tuple[int, int]]:
    """Cut after the last paragraph, line, sentence or word that ends in a piece's second half."""
    start = 0
    while len(text) - start > longest:
        window = text[start : start + longest]
        ends = ((window.rfind(mark), mark) for mark in ("\n\n", "\n", ". ", " "))
        cut = next((at + len(mark) for at, mark in ends if at >= longest // 2), longest)
        yield start, start + cut
        start += cut
    yield start, len(text)
