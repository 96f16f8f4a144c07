"""Which collections a run trains and evaluates on: splits, files and names."""

import dataclasses
import pathlib
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from zelo.corpora import Collection, read_collection, read_files
from zelo.corpora.judgements import read_qrels
from zelo.corpora.reading import DEFAULT_SPLIT, splits_of
from zelo.corpora.texts import read_queries
from zelo.errors import InputError
from zelo.training.pipeline.tables import Config, Evaluated, Source

__all__ = ["Readings", "Trained", "check_different", "collection_files", "evaluated"]

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
    """Queries that were left out because no split judges them, and `unjudged` was not said; counted
    where the split that is trained on was not named."""


class Readings:
    """Collections as they were read, for all who look at one within a plan or a stage."""

    def __init__(self) -> None:
        self._sources: dict[Source, Trained] = {}
        self._evaluated: dict[Evaluated, Collection] = {}

    def source(self, one: Source) -> Trained:
        """Return a collection to train on, under the name that it is to have, without judgements
        where it has none.

        Where a split is to be trained on, only its queries are, and with `unjudged` those that no
        split judges. Where none is, all are but those of `test` and `dev`, without judgements.

        Raises:
            InputError: as `zelo.corpora.read_collection`, or it has several splits and none is
                named, or every query stands in `test` or `dev`.
        """
        if one not in self._sources:
            self._sources[one] = _read_source(one)
        return self._sources[one]

    def evaluated(self, one: Evaluated) -> Collection:
        """Return a collection to evaluate on, under the name that it is to have.

        Raises:
            InputError: as `zelo.corpora.read_collection`.
        """
        if one not in self._evaluated:
            read = read_collection(one.path, split=one.split, lenient=one.lenient).collection
            self._evaluated[one] = dataclasses.replace(read, name=one.name or read.name)
        return self._evaluated[one]

    def forget(self) -> None:
        """Give the memory back: what is asked for again is read anew."""
        self._sources.clear()
        self._evaluated.clear()


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
    if isinstance(one, Source) and (one.split is None or one.unjudged):  # others' are left out
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


def _read_source(source: Source) -> Trained:
    split, folder = _training_split(source), pathlib.Path(source.path)
    if split is None and splits_of(folder):
        found = _read_rest(source, folder)
    else:
        read = read_collection(folder, split=split, lenient=source.lenient, unjudged=True)
        found = Trained(read.collection, 0, 0)
        if split is not None and (source.unjudged or source.split is None):
            found = _with_unjudged(found, folder, wanted=source.unjudged)
    name = source.name or found.collection.name
    return found._replace(collection=dataclasses.replace(found.collection, name=name))


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


def _with_unjudged(trained: Trained, folder: pathlib.Path, *, wanted: bool) -> Trained:
    """Add the queries of a folder that no split judges, or count them where they are not wanted."""
    collection = trained.collection
    every = read_queries(folder / "queries.jsonl", [])
    texts = {query_id: one.text for query_id, one in every.items() if one.text.strip()}
    judged = _judged(folder, texts, collection, splits_of(folder))
    rest = {query_id: text for query_id, text in texts.items() if query_id not in judged}
    if not wanted:
        return trained._replace(in_no_split=len(rest))
    larger = dataclasses.replace(
        collection,
        queries={**collection.queries, **rest},
        qrels={**collection.qrels, **{query_id: {} for query_id in rest}},
    )
    return trained._replace(collection=larger)


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
