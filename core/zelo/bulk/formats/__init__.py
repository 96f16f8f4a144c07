"""The formats that bulk scoring reads and writes, each by the endings of its files' names."""

import pathlib
from collections.abc import Sequence

from zelo.bulk.formats.form import Form
from zelo.bulk.formats.jsonl import JsonLines
from zelo.bulk.formats.runs import TrecRun
from zelo.bulk.sources import Source
from zelo.errors import InputError, MissingExtraError

__all__ = ["SUFFIXES", "Form", "form_named", "kind_of"]

KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".trec": "run",
    ".run": "run",
}
"""Format by the ending of a file's name."""
SUFFIXES = tuple(KINDS)
REMEDIES = {
    ".gz": ". Blocks are read from the middle of a file, so unpack it first: gunzip",
    ".json": ". Write an array as lines first: jq -c '.[]'",
}


def kind_of(sources: Sequence[Source]) -> str:
    """Return the one format of all files.

    Raises:
        InputError: a name does not tell, or they tell different ones.
    """
    kinds: dict[str, str] = {}
    for source in sources:
        suffix = pathlib.PurePath(source.name).suffix.lower()
        if suffix not in KINDS:
            message = (
                f"{source.name}: the name does not tell a format; known are {', '.join(SUFFIXES)}"
                f"{REMEDIES.get(suffix, '')}"
            )
            raise InputError(message)
        kinds.setdefault(KINDS[suffix], source.name)
    if len(kinds) > 1:
        told = " and ".join(f"{name} is {kind}" for kind, name in kinds.items())
        raise InputError(f"the input is of several formats: {told}; score them one after the other")
    return next(iter(kinds))


def form_named(kind: str) -> Form:
    """Return a reader and writer of a format.

    Raises:
        MissingExtraError: it is Parquet, and pyarrow is not installed.
    """
    if kind == "jsonl":
        return JsonLines()
    if kind == "run":
        return TrecRun()
    try:
        from zelo.bulk.formats.parquet import Parquet
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "bulk") from error
    return Parquet()
