"""Failures of a trained reranker: pairs that its ensemble of judges is to look at once more.

The zELO paper (arXiv 2509.12541) does this once, after the first training: where the best document
that people labelled stands below rank t, that document and the one right above it are judged by the
ensemble, the pair joins the others, and everything behind is done again. t was set by hand for
each dataset. The default of t, what is best where nobody labelled anything, and what happens on
ties are ours. Knows rerankers, nothing of judges.
"""

import random
import statistics
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from os import PathLike
from typing import NamedTuple

from zelo._common.checks import positive
from zelo._common.journal import Journal, key_of
from zelo.corpora.fields import shown
from zelo.errors import InputError
from zelo.evaluation.rerankers import Pointwise
from zelo.reranker import Reranker
from zelo.scoring import Progress
from zelo.training.records import (
    Candidates,
    Pairs,
    Preferences,
    Targets,
    read_records,
    write_records,
)

__all__ = ["THRESHOLD", "Refined", "refine"]

AnyPath = str | PathLike[str]

THRESHOLD = 10
"""Beyond it a document does not count for nDCG@10, by which rerankers are compared."""
BLOCK = 8  # queries ranked at once, which share forward passes; a kill loses no more


class Refined(NamedTuple):
    """How the reranker ranks what is best, and what is to be judged."""

    queries: int
    """With candidates and targets."""
    left_out: int
    """Queries without targets, such as those whose comparisons were not connected."""
    failures: int
    """Queries whose best document stands below the threshold."""
    judged_before: int
    """Of these, those whose two documents had been compared already."""
    pairs: int
    """The others: one new pair each."""
    rank_median: float | None
    """Of the best documents, from 1; None without any query, as are the next two."""
    reciprocal_rank: float | None
    """Mean of 1 / rank."""
    first: float | None
    """Share of the queries whose best document stands first."""


class _Failure(NamedTuple):
    query_id: str
    best: str
    above: str


def refine(
    candidates: AnyPath,
    targets: AnyPath,
    preferences: AnyPath,
    out: AnyPath,
    *,
    reranker: Reranker,
    threshold: int = THRESHOLD,
    seed: int = 0,
    journal: Journal | None = None,
    on_progress: Progress | None = None,
) -> Refined:
    """Rank the candidates, and write a pair for each query whose best document ranks too low.

    The best document is the one with the highest grade, where a candidate has one above 0, and
    otherwise the one with the highest target. Of several that are equally good the one counts that
    the reranker ranks highest, so that a query fails only where all of them rank low. It is paired
    with the document ranked right above it, in an order that a coin decides, seeded by the query's
    id. A pair that was judged already, in whichever order, is not asked about again.

    Args:
        candidates: file of `records.Candidates`.
        targets: file of `records.Targets`, which the reranker learned.
        preferences: file of `records.Preferences`, judged before.
        out: file of `records.Pairs`, at most one pair for each query, in the candidates' order.
        reranker: the trained one.
        threshold: a rank beyond it is a failure.
        seed: of the coin.
        journal: where rankings are kept, so that a run that was killed goes on; None forgets them.
        on_progress: told of queries done and in all.

    Raises:
        InputError: a file is not as it must be, or they do not belong together; or the threshold is
            below 1.
        ScoringError: the reranker failed; what was ranked is in the journal.
    """
    positive("threshold", threshold)
    best = _highest_targets(targets)
    known = read_records(candidates, Candidates)
    ranks: list[int | None] = []  # None for a query without targets
    failed: list[_Failure] = []
    for record, ranking in _ranked(known, best.keys(), reranker, journal):
        ranks.append(None)
        if ranking:
            place = _place(record, ranking, best[record.query.id])
            ranks[-1] = place + 1
            if place >= threshold:
                failed.append(_Failure(record.query.id, ranking[place], ranking[place - 1]))
        if on_progress is not None:
            on_progress(len(ranks), max(len(best), len(ranks)))
    new = _not_judged(failed, preferences)
    written = write_records(out, (_pair(one, seed) for one in new))
    return _figures(ranks, len(failed), written)


def _highest_targets(path: AnyPath) -> dict[str, frozenset[str]]:
    """By query, the documents with the highest target."""
    best = {}
    for record in read_records(path, Targets):
        highest = max(record.targets.values(), default=None)
        best[record.query] = frozenset(d for d, value in record.targets.items() if value == highest)
    return best


def _ranked(
    records: Iterable[Candidates],
    rated: Iterable[str],
    reranker: Reranker,
    journal: Journal | None,
) -> Iterator[tuple[Candidates, list[str]]]:
    """Yield each query with the ids of its documents, best first; none where it is not rated."""
    waiting = iter(records)
    wanted = set(rated)
    identity = Pointwise(reranker).identity
    while block := list(islice(waiting, BLOCK)):
        asked = [one for one in block if one.query.id in wanted]
        keys = [key_of("ranking", identity, _texts(one)) for one in asked]
        orders = {key: journal.get(key) for key in keys} if journal is not None else {}
        missing = [at for at, key in enumerate(keys) if orders.get(key) is None]
        found = reranker.rank_many([_texts(asked[at]) for at in missing])
        for at, ranking in zip(missing, found, strict=True):
            orders[keys[at]] = [one.index for one in ranking]
            if journal is not None:
                journal.put(keys[at], orders[keys[at]])
        by_query = {one.query.id: orders[key] for one, key in zip(asked, keys, strict=True)}
        for record in block:
            order = by_query.get(record.query.id, [])
            yield record, [record.documents[index].id for index in order]


def _texts(record: Candidates) -> tuple[str, list[str]]:
    return record.query.query, [document.content for document in record.documents]


def _place(record: Candidates, ranking: Sequence[str], rated_best: frozenset[str]) -> int:
    """Return where in a ranking the best document stands, from 0."""
    highest = max((document.score or 0.0 for document in record.documents), default=0.0)
    graded = {document.id for document in record.documents if document.score == highest}
    wanted = graded if highest > 0 else rated_best
    for place, doc_id in enumerate(ranking):
        if doc_id in wanted:
            return place
    query = shown(record.query.id)
    message = f"query {query}: the document with the highest target is none of its candidates"
    raise InputError(message)


def _not_judged(failed: Sequence[_Failure], preferences: AnyPath) -> list[_Failure]:
    """Return the failures whose two documents were not compared yet."""
    unseen = {one.query_id: {one.best, one.above} for one in failed}
    judged = set()
    for record in read_records(preferences, Preferences):
        pair = unseen.pop(record.query, None)
        if pair is not None and any(set(other) == pair for other in record.pairs):
            judged.add(record.query)
    if unseen:
        named = shown(next(iter(unseen)))
        message = f"query {named} has targets, but no line of preferences that they come from"
        raise InputError(message)
    return [one for one in failed if one.query_id not in judged]


def _pair(failure: _Failure, seed: int) -> Pairs:
    coin = random.Random(key_of("refine", seed, failure.query_id))  # noqa: S311, not secret
    pair = (failure.best, failure.above)
    turned = coin.random() < 0.5
    return Pairs(query=failure.query_id, pairs=[pair[::-1] if turned else pair])


def _figures(ranks: Sequence[int | None], failures: int, pairs: int) -> Refined:
    known = [rank for rank in ranks if rank is not None]
    return Refined(
        queries=len(known),
        left_out=len(ranks) - len(known),
        failures=failures,
        judged_before=failures - pairs,
        pairs=pairs,
        rank_median=statistics.median(known) if known else None,
        reciprocal_rank=statistics.fmean(1 / rank for rank in known) if known else None,
        first=statistics.fmean(rank == 1 for rank in known) if known else None,
    )
