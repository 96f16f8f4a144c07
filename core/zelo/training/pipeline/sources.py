"""Which collections a run trains and evaluates on: splits, files and names."""

import dataclasses
import pathlib
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from zelo.collections import Collection, read_collection, read_files
from zelo.collections.judgements import read_qrels
from zelo.collections.reading import DEFAULT_SPLIT, splits_of
from zelo.collections.texts import read_queries
from zelo.errors import InputError
from zelo.training.pipeline.tables import Config, Evaluated, Source

__all__ = [
    "Trained",
    "check_different",
    "collection_files",
    "evaluated",
    "read_evaluated",
    "read_source",
]

TRAINING_SPLIT = "train"
HELD_OUT = (DEFAULT_SPLIT, "dev")
"""Splits that are not trained on unless they are named."""

Files = dict[str, pathlib.Path]


class Trained(NamedTuple):
    """A collection, with the queries that may be trained on."""

    collection: Collection
    held_out: int
    """Queries that were left out because a split `test` or `dev` judges them; counted where what
    is trained on is no split."""
    in_no_split: int
    """Queries that were left out because no split judges them; counted where the split that is
    trained on was not named."""


def read_source(source: Source) -> Trained:
    """Read a collection to train on, under the name that it is to have; qrels are not needed.

    Where a split is to be trained on, only its queries are. Where none is, all are but those of
    `test` and `dev`, without judgements.

    Raises:
        InputError: as `zelo.collections.read_collection`, or it has several splits and none is
            named, or every query stands in `test` or `dev`.
    """
    split, folder = _training_split(source), pathlib.Path(source.path)
    if split is None and splits_of(folder):
        found = _read_rest(source, folder)
    else:
        read = read_collection(folder, split=split, lenient=source.lenient, unjudged=True)
        chosen_here = split is not None and source.split is None
        unnamed = _in_no_split(folder, read.collection) if chosen_here else 0
        found = Trained(read.collection, 0, unnamed)
    name = source.name or found.collection.name
    return found._replace(collection=dataclasses.replace(found.collection, name=name))


def read_evaluated(one: Evaluated) -> Collection:
    """Read a collection to evaluate on, under the name that it is to have."""
    found = read_collection(one.path, split=one.split, lenient=one.lenient).collection
    return dataclasses.replace(found, name=one.name or found.name)


def evaluated(config: Config) -> list[Evaluated]:
    """Return what is evaluated on: what is named, or the test split of what is trained on."""
    if config.evaluate.collections is not None:
        return config.evaluate.collections
    return [
        Evaluated(path=one.path, name=one.name, split=DEFAULT_SPLIT, lenient=one.lenient)
        for one in config.collections
        if DEFAULT_SPLIT in splits_of(pathlib.Path(one.path))
        and _training_split(one) != DEFAULT_SPLIT
    ]


def check_different(what: str, names: Sequence[str], remedy: str) -> None:
    """Refuse two things of one name, which no table could tell apart.

    Raises:
        InputError: it says of what, and what to do.
    """
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two {what} are named {name!r}; {remedy}")


def collection_files(one: Source | Evaluated) -> Files:
    """Return the files of a collection, whose content counts, by what they are."""
    folder = pathlib.Path(one.path)
    if not folder.is_dir():
        return {"file": folder}
    files = {name: folder / f"{name}.jsonl" for name in ("corpus", "queries")}
    if isinstance(one, Source) and one.split is None:  # then the others' queries are left out
        return files | {f"qrels {split}": _qrels(folder, split) for split in splits_of(folder)}
    return files | {"qrels": _qrels(folder, one.split or DEFAULT_SPLIT)}


def _training_split(source: Source) -> str | None:
    """Return the split to train on: the one named, `train`, or the only one not held out.

    None where there is none of these, so that queries are trained on without judgements.
    """
    splits = splits_of(pathlib.Path(source.path))
    free = [split for split in splits if split not in HELD_OUT]
    if source.split is not None or not free:
        return source.split
    if TRAINING_SPLIT in free or len(free) == 1:
        return TRAINING_SPLIT if TRAINING_SPLIT in free else free[0]
    message = f"{source.path} has the splits {', '.join(splits)}; say which to train on with split="
    raise InputError(message)


def _read_rest(source: Source, folder: pathlib.Path) -> Trained:
    """Read all queries but those that a split judges which is not trained on."""
    corpus, queries = folder / "corpus.jsonl", folder / "queries.jsonl"
    name = folder.resolve().name
    read = read_files(name, corpus=corpus, queries=queries, qrels=None, lenient=source.lenient)
    whole = read.collection
    kept = whole.queries.keys() - _judged(folder, whole.queries, whole, HELD_OUT)
    if not kept:
        message = (
            f"{source.path}: every query is judged in the split test or dev, so that none is left "
            "to train on; add queries without judgements, or say with split= which to train on"
        )
        raise InputError(message)
    rest = dataclasses.replace(
        whole,
        queries={query_id: text for query_id, text in whole.queries.items() if query_id in kept},
        qrels={query_id: {} for query_id in whole.queries if query_id in kept},
    )
    return Trained(rest, len(whole.queries) - len(kept), 0)


def _in_no_split(folder: pathlib.Path, collection: Collection) -> int:
    """Count the queries that no split of a folder judges."""
    queries = {name for name, one in read_queries(folder / "queries.jsonl", []).items() if one.text}
    return len(queries - _judged(folder, queries, collection, splits_of(folder)))


def _judged(
    folder: pathlib.Path,
    queries: Container[str],
    collection: Collection,
    splits: Iterable[str],
) -> set[str]:
    """Return the queries that one of the splits judges; what is wrong in them is told elsewhere."""
    return {
        query_id
        for split in splits
        if _qrels(folder, split).exists()
        for query_id in read_qrels(
            _qrels(folder, split), queries, collection.documents, "linear", []
        )
    }


def _qrels(folder: pathlib.Path, split: str) -> pathlib.Path:
    return folder / "qrels" / f"{split}.tsv"
