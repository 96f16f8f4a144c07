"""Which collections a run trains and evaluates on: splits, files and names."""

import dataclasses
import pathlib
from collections.abc import Sequence

from zelo.collections import Collection, read_collection
from zelo.collections.reading import DEFAULT_SPLIT, splits_of
from zelo.errors import InputError
from zelo.training.pipeline.tables import Config, Evaluated, Source

__all__ = ["check_different", "collection_files", "evaluated", "read_evaluated", "read_source"]

TRAINING_SPLIT = "train"

Files = dict[str, pathlib.Path]


def read_source(source: Source) -> Collection:
    """Read a collection to train on, under the name that it is to have; qrels are not needed.

    Raises:
        InputError: as `zelo.collections.read_collection`, or it has several splits and none is
            named.
    """
    split = _training_split(source)
    found = read_collection(source.path, split=split, lenient=source.lenient, unjudged=True)
    return dataclasses.replace(found.collection, name=source.name or found.collection.name)


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
    split = _training_split(one) if isinstance(one, Source) else one.split or DEFAULT_SPLIT
    if split is not None:
        files["qrels"] = folder / "qrels" / f"{split}.tsv"
    return files


def _training_split(source: Source) -> str | None:
    """Return the split to train on: the one named, `train`, the only one, or None without qrels."""
    splits = splits_of(pathlib.Path(source.path))
    if source.split is not None or not splits:
        return source.split
    if TRAINING_SPLIT in splits or len(splits) == 1:
        return TRAINING_SPLIT if TRAINING_SPLIT in splits else splits[0]
    message = f"{source.path} has the splits {', '.join(splits)}; say which to train on with split="
    raise InputError(message)
