"""Reads test collections from files, and checks that their parts fit together.

All that is wrong is gathered first and told together. Knows which files make a collection, not how
each is written.
"""

import os
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

from zelo._common.checks import file_path, instance_of, one_of, text_or_none, true_or_false
from zelo.corpora.collection import Collection
from zelo.corpora.fields import shown
from zelo.corpora.grades import Gain
from zelo.corpora.judgements import read_qrels
from zelo.corpora.problems import Problem, refuse
from zelo.corpora.texts import read_documents, read_queries
from zelo.corpora.zbench import read_zbench
from zelo.errors import InputError

__all__ = ["Reading", "read_collection", "read_files", "splits_of"]

DEFAULT_SPLIT = "test"
REMEDY = "mend the files, or read them with lenient=True, which goes on as each line says"
LAYOUT = "a collection is a folder with corpus.jsonl, queries.jsonl and qrels/<split>.tsv (BEIR)"

AnyPath = str | os.PathLike[str]


class _Files(NamedTuple):
    corpus: pathlib.Path
    queries: pathlib.Path
    qrels: pathlib.Path | None
    """None where nothing is judged."""


class Reading(NamedTuple):
    """What files held."""

    collection: Collection
    problems: tuple[Problem, ...]
    """What was not as it should be, by file and line; after a strict reading, notes only."""


def read_collection(
    path: AnyPath,
    *,
    split: str | None = None,
    gain: Gain = "linear",
    lenient: bool = False,
    unjudged: bool = False,
) -> Reading:
    """Read a folder in BEIR layout, or a JSON Lines file of zbench, which brings candidates along.

    A folder's name is the collection's. It holds the queries of all splits; those without a
    judgement in this one are left out. `split` is by default `test` where there is one, or the
    only one. With `unjudged` a folder without any qrels is read too, with all of its queries.

    Reading is strict: unknown ids, two records with one id, empty queries, grades that are
    negative or no numbers, two grades for one pair, and lines that cannot be read are problems,
    and problems are an error. With `lenient` the same collection is returned beside them: a line
    that cannot be used is left out, the first of two contradicting ones stays, an unknown document
    stays judged and is never found, and a negative grade counts as 0. Documents without any text,
    of which public collections have a few, are notes; they are never a candidate. `gain` says
    what a judgement's number gains: `exp` for ratings such as Elo.

    Raises:
        InputError: there is no such collection or split, a file cannot be read at all, there are
            problems and the reading is strict, or no judged query is left.
    """
    one_of("gain", gain, Gain)
    text_or_none("split", split)
    true_or_false("lenient", lenient)
    true_or_false("unjudged", unjudged)
    found = file_path("path", path)
    problems: list[Problem] = []
    if found.is_dir():
        collection = _read_folder(found, split, gain, problems, unjudged)
    elif not found.exists():
        raise InputError(f"{found} does not exist; {LAYOUT}, or a .jsonl of zbench")
    elif split is not None:
        raise InputError(f"split={split!r}: {found} is a file, and only folders have splits")
    else:
        collection = read_zbench(found, gain, problems)
    return _checked(collection, problems, str(found), lenient)


def read_files(
    name: str,
    *,
    corpus: AnyPath,
    queries: AnyPath,
    qrels: AnyPath | None,
    gain: Gain = "linear",
    lenient: bool = False,
) -> Reading:
    """Read a collection from three files; the rules are those of `read_collection`.

    Documents and queries are .jsonl, .json (an array), .csv or .tsv under the usual field names, a
    .tsv without a header `id<TAB>text`. Judgements are TREC qrels (query, iteration, document,
    grade, divided by white space), or a tab-separated table or .csv with a header such as BEIR's.
    Without any, all queries stay. Any file may be packed with gzip.

    Raises:
        InputError: as `read_collection`.
    """
    one_of("gain", gain, Gain)
    true_or_false("lenient", lenient)
    instance_of("name", name, str)
    problems: list[Problem] = []
    judged = None if qrels is None else file_path("qrels", qrels)
    files = _Files(file_path("corpus", corpus), file_path("queries", queries), judged)
    collection = _read_parts(name, files, gain, problems)
    return _checked(collection, problems, name, lenient)


def _read_folder(
    folder: pathlib.Path, split: str | None, gain: Gain, problems: list[Problem], unjudged: bool
) -> Collection:
    corpus, queries = folder / "corpus.jsonl", folder / "queries.jsonl"
    for needed in (corpus, queries):
        if not needed.is_file():
            raise InputError(f"{folder} has no {needed.name}; {LAYOUT}")
    splits = splits_of(folder)
    if unjudged and not splits and split is None:
        files = _Files(corpus, queries, None)
    else:
        files = _Files(corpus, queries, folder / "qrels" / f"{_split(folder, splits, split)}.tsv")
    return _read_parts(folder.resolve().name, files, gain, problems)


def splits_of(folder: pathlib.Path) -> list[str]:
    """Return the names of a folder's splits, in alphabetical order."""
    return sorted(path.stem for path in folder.glob("qrels/*.tsv"))


def _split(folder: pathlib.Path, found: list[str], split: str | None) -> str:
    if not found:
        raise InputError(f"{folder} has no qrels/*.tsv; {LAYOUT}")
    if split in found:
        return split
    if split is not None:
        raise InputError(f"{folder} has no split {split!r}; it has {', '.join(found)}")
    if DEFAULT_SPLIT in found:
        return DEFAULT_SPLIT
    if len(found) > 1:
        raise InputError(f"{folder} has the splits {', '.join(found)}; choose one with split=")
    return found[0]


def _read_parts(name: str, files: _Files, gain: Gain, problems: list[Problem]) -> Collection:
    documents = read_documents(files.corpus, problems)
    queries = read_queries(files.queries, problems)
    if files.qrels is None:
        qrels: dict[str, dict[str, float]] = {query_id: {} for query_id in queries}
    else:
        qrels = read_qrels(files.qrels, queries, documents, gain, problems)
    for query_id in list(qrels):
        text, line = queries[query_id]
        if not text.strip():
            reason = f"query {shown(query_id)} is empty; it is left out with its judgements"
            problems.append(Problem(str(files.queries), line, reason))
            del qrels[query_id]
    return Collection(
        name, documents, {query_id: queries[query_id].text for query_id in qrels}, qrels
    )


def _checked(
    collection: Collection, problems: Iterable[Problem], name: str, lenient: bool
) -> Reading:
    ordered = tuple(sorted(problems))
    if not lenient:
        refuse(ordered, name, REMEDY)
    if not collection.documents:
        raise InputError(f"{name}: there is no document in it")
    if not collection.queries:
        raise InputError(f"{name}: there is no judged query in it")
    return Reading(collection, ordered)
