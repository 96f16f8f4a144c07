"""Two systems on the same queries: which queries changed most, and which documents moved there.

Reads the files that an evaluation writes into its folder `queries/`. Shows nothing.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from zelo.corpora.fields import shown
from zelo.errors import InputError
from zelo.evaluation.reporting.records import DocumentRecord, QueryRecord, read_records

__all__ = ["Change", "Comparison", "Moved", "compare"]

SAME = 1e-9  # smaller differences come from the order of additions


class Moved(NamedTuple):
    """A document that the two systems ranked differently."""

    doc_id: str
    grade: float | None
    """None for a document that nobody judged."""
    rank_a: int | None
    rank_b: int | None
    """None where the first stage did not find it, or where it is not relevant and not among the
    first ten, below which the files do not say."""
    text: str
    """As much as the files hold."""

    @property
    def relevant(self) -> bool:
        """Whether its grade is above 0."""
        return self.grade is not None and self.grade > 0


class Change(NamedTuple):
    """A query on which the measure differs."""

    query_id: str
    query: str
    a: float
    b: float
    moved: tuple[Moved, ...]
    """Relevant documents first, then by the better of their two ranks."""

    @property
    def difference(self) -> float:
        """How much better B is."""
        return self.b - self.a


@dataclass(frozen=True, slots=True)
class Comparison:
    """System B against system A, on the queries that both files measure."""

    collection: str
    measure: str
    system_a: str
    system_b: str
    queries: int
    mean_a: float
    mean_b: float
    wins: int
    """Queries on which B is better."""
    ties: int
    losses: int
    changes: tuple[Change, ...]
    """Every query that is no tie, the largest difference first."""
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    """Ids of the queries that only one of the files measures; they count nowhere."""

    @property
    def difference(self) -> float:
        """How much better B is on average."""
        return self.mean_b - self.mean_a


def compare(
    path_a: str | os.PathLike[str], path_b: str | os.PathLike[str], measure: str | None = None
) -> Comparison:
    """Compare two files of queries, of one collection.

    Args:
        path_a: the system to start from.
        path_b: the other.
        measure: one that both files hold; by default the main one of the first.

    Raises:
        InputError: a file is none of an evaluation's, the files are of different collections, they
            share no query, or one lacks the measure.
    """
    a, b = read_records(path_a), read_records(path_b)
    first_a, first_b = next(iter(a.values())), next(iter(b.values()))
    if first_a.collection != first_b.collection:
        names = f"{shown(first_a.collection)} and {shown(first_b.collection)}"
        raise InputError(f"the files are of two collections, {names}; compare files of one")
    name = measure or next(iter(first_a.measures))
    only_a, common, only_b = _shared(_measured(a, name, path_a), _measured(b, name, path_b))
    pairs = [(a[query_id], b[query_id]) for query_id in common]
    _check_texts(pairs)
    changes = sorted(_changes(pairs, name), key=lambda change: -abs(change.difference))
    wins = sum(change.difference > 0 for change in changes)
    return Comparison(
        collection=first_a.collection,
        measure=name,
        system_a=first_a.system,
        system_b=first_b.system,
        queries=len(pairs),
        mean_a=math.fsum(one.measures[name] for one, _ in pairs) / len(pairs),
        mean_b=math.fsum(other.measures[name] for _, other in pairs) / len(pairs),
        wins=wins,
        ties=len(pairs) - len(changes),
        losses=len(changes) - wins,
        changes=tuple(changes),
        only_a=only_a,
        only_b=only_b,
    )


def _measured(
    records: Mapping[str, QueryRecord], measure: str, path: str | os.PathLike[str]
) -> list[str]:
    """Return the ids of the queries that have the measure."""
    found = [query_id for query_id, record in records.items() if measure in record.measures]
    if not found:
        known = dict.fromkeys(name for record in records.values() for name in record.measures)
        message = f"{os.fspath(path)} has no {measure!r}; choose one of {', '.join(known)}"
        raise InputError(message)
    return found


def _shared(
    a: Sequence[str], b: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return what is in A alone, in both, and in B alone."""
    in_a, in_b = set(a), set(b)
    common = tuple(query_id for query_id in a if query_id in in_b)
    if not common:
        message = "the files share no query; compare two systems of one evaluation"
        raise InputError(message)
    only_a = tuple(query_id for query_id in a if query_id not in in_b)
    return only_a, common, tuple(query_id for query_id in b if query_id not in in_a)


def _check_texts(pairs: Iterable[tuple[QueryRecord, QueryRecord]]) -> None:
    differing = [one.query_id for one, other in pairs if one.query != other.query]
    if differing:
        message = (
            f"the files differ in the texts of queries ({len(differing)}, such as "
            f"{shown(differing[0])}); the same ids must be the same queries"
        )
        raise InputError(message)


def _changes(pairs: Iterable[tuple[QueryRecord, QueryRecord]], measure: str) -> list[Change]:
    changes = []
    for one, other in pairs:
        a, b = one.measures[measure], other.measures[measure]
        if not math.isclose(a, b, rel_tol=0.0, abs_tol=SAME):
            changes.append(Change(one.query_id, one.query, a, b, _moved(one, other)))
    return changes


def _moved(one: QueryRecord, other: QueryRecord) -> tuple[Moved, ...]:
    in_a = {document.doc_id: document for document in one.every_document()}
    in_b = {document.doc_id: document for document in other.every_document()}
    found = []
    for doc_id, document in (in_a | in_b).items():
        ranks = _rank(in_a.get(doc_id)), _rank(in_b.get(doc_id))
        if ranks[0] != ranks[1]:
            found.append(Moved(doc_id, document.grade, *ranks, document.text))
    return tuple(sorted(found, key=_interest))


def _rank(document: DocumentRecord | None) -> int | None:
    return None if document is None else document.rank


def _interest(moved: Moved) -> tuple[bool, int, str]:
    best = min(rank for rank in (moved.rank_a, moved.rank_b) if rank is not None)
    return not moved.relevant, best, moved.doc_id
