"""First stages that search nothing themselves: rankings that were made elsewhere.

The candidates that came with a collection, a ready run file, or a retriever of the user's own.
"""

import math
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from zelo._common.checks import in_order, path_text, text_or_none
from zelo.corpora import Collection
from zelo.corpora.runs import read_run
from zelo.errors import InputError
from zelo.retrieval.candidates import check_search, choose, refuse_unknown
from zelo.retrieval.stage import Retrieved, Run
from zelo.scoring import Progress

__all__ = ["FunctionStage", "GivenStage", "RunStage"]


class GivenStage:
    """The candidates that came with the collection (`Collection.given`), in their file's order.

    A score is 1 / place: it says no more than the order does.
    """

    name = "given"

    def retrieve(
        self,
        collection: Collection,
        query_ids: Sequence[str],
        depth: int,
        progress: Progress | None = None,
    ) -> Run:
        """Return the given candidates; a query that came without has none.

        Raises:
            InputError: the collection came without candidates, or they are not its documents.
        """
        query_ids = check_search(collection, query_ids, depth, progress)
        if collection.given is None:
            message = (
                f"{collection.name} came without candidates; use a first stage that finds some, "
                "such as bm25"
            )
            raise InputError(message)
        run: Run = {}
        for query_id in query_ids:
            doc_ids = collection.given.get(query_id, ())
            refuse_unknown(collection, doc_ids, f"the list of query {query_id!r}")
            run[query_id] = choose(collection, query_id, _by_place(doc_ids), depth)
            if progress is not None:
                progress(len(run), len(query_ids))
        return run


class RunStage:
    """A ready TREC run file; `{collection}` in its path stands for the collection's name.

    Queries of other splits may be in the file; a query that it lacks gets no candidates. An id that
    the collection lacks is read as in a URL, `%20` for a space, which no run file can hold.
    """

    def __init__(self, path: str | os.PathLike[str], *, name: str | None = None) -> None:
        self._path = path_text("path", path)
        self.name = text_or_none("name", name) or f"run:{self._path}"

    def retrieve(
        self,
        collection: Collection,
        query_ids: Sequence[str],
        depth: int,
        progress: Progress | None = None,
    ) -> Run:
        """Return the file's rankings.

        Raises:
            InputError: the file cannot be read, names documents that the collection lacks, or
                answers none of the queries.
        """
        query_ids = check_search(collection, query_ids, depth, progress)
        path = self._path.replace("{collection}", collection.name)
        lists = {_known(name, collection.queries): of for name, of in read_run(path).items()}
        answered = [query_id for query_id in query_ids if query_id in lists]
        if query_ids and not answered:
            message = (
                f"{path} answers none of the {len(query_ids)} queries of {collection.name}; they "
                f"are called like {query_ids[0]!r}, and its own like {next(iter(lists), None)!r}"
            )
            raise InputError(message)
        run: Run = {query_id: [] for query_id in query_ids}
        for done, query_id in enumerate(answered, start=1):
            ranking = [
                Retrieved(_known(doc_id, collection.documents), score)
                for doc_id, score in lists[query_id]
            ]
            source = f"{path}, query {query_id!r},"
            refuse_unknown(collection, (found.doc_id for found in ranking), source)
            run[query_id] = choose(collection, query_id, ranking, depth)
            if progress is not None:
                progress(done, len(answered))
        return run


class FunctionStage:
    """A retriever of the user's own: a function from a query's text to what it found.

    It returns document ids, or pairs of an id and a score, best first: the order is the ranking.
    Scores must not rise along it, for then they are distances, or the list is not sorted. A
    document that is named again, as when it was found by several of its passages, keeps its first
    place. A score is 1 / place where there are ids alone.
    """

    def __init__(
        self, name: str, retrieve: Callable[[str], Iterable[str] | Iterable[tuple[str, float]]]
    ) -> None:
        if not callable(retrieve):
            raise InputError(f"retrieve is of type {type(retrieve).__name__}; it must be callable")
        self.name = name
        self._find = retrieve

    def retrieve(
        self,
        collection: Collection,
        query_ids: Sequence[str],
        depth: int,
        progress: Progress | None = None,
    ) -> Run:
        """Ask the function for each query, one after the other; its own errors come through.

        Raises:
            InputError: what it returned is no ranking of the collection's documents.
        """
        query_ids = check_search(collection, query_ids, depth, progress)
        run: Run = {}
        for query_id in query_ids:
            source = f"{self.name}, for query {query_id!r},"
            ranking = _ranking(self._find(collection.queries[query_id]), source)
            refuse_unknown(collection, (found.doc_id for found in ranking), source)
            run[query_id] = choose(collection, query_id, ranking, depth)
            if progress is not None:
                progress(len(run), len(query_ids))
        return run


def _known(name: str, names: Container[str]) -> str:
    """Return an id as the collection has it, if it does."""
    return name if name in names else unquote(name)


def _by_place(doc_ids: Iterable[str]) -> Iterator[Retrieved]:
    return (Retrieved(doc_id, 1 / place) for place, doc_id in enumerate(doc_ids, start=1))


def _ranking(found: Iterable[Any], source: str) -> list[Retrieved]:
    pairs = "list(found.items())"
    entries = list(in_order(source, found, "a list of ids or pairs", of_mapping=pairs))
    if all(isinstance(entry, str) for entry in entries):
        return list(_by_place(entries))
    ranking: list[Retrieved] = []
    for place, entry in enumerate(entries, start=1):
        retrieved = _pair(entry)
        if retrieved is None:
            message = (
                f"{source} returned something else at place {place} than a pair of a document id "
                "and a number; return such pairs, or ids alone"
            )
            raise InputError(message)
        if ranking and retrieved.score > ranking[-1].score:
            message = (
                f"{source} returned a score at place {place} that is above the one before; return "
                "the best first, and distances negated or left out"
            )
            raise InputError(message)
        ranking.append(retrieved)
    return ranking


def _pair(entry: Any) -> Retrieved | None:
    if not isinstance(entry, Sequence) or isinstance(entry, str) or len(entry) != 2:
        return None
    doc_id, score = entry
    try:
        number = float(score)
    except (TypeError, ValueError):
        return None
    return Retrieved(doc_id, number) if isinstance(doc_id, str) and not math.isnan(number) else None
