"""The candidates of several collections in one file: how many queries of each, and which not.

Queries are named `collection/query` in all files of a run, as two collections may have the same
ids. A query that is evaluated, by its text, is never trained on.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from zelo.corpora import Collection, normal_text
from zelo.corpora.collection import evenly
from zelo.errors import InputError
from zelo.evaluation.experiment import Stage as Tell
from zelo.retrieval.stage import FirstStage
from zelo.training.candidates import candidates
from zelo.training.pipeline.sources import Readings, Trained, check_different, evaluated
from zelo.training.pipeline.tables import Config
from zelo.training.records import Candidates

__all__ = ["Chosen", "choose", "gathered", "shares"]


class Chosen(NamedTuple):
    """A collection, with those of its queries that are trained on."""

    collection: Collection
    evaluated: int
    """Queries that were left out because they are evaluated."""
    held_out: int
    in_no_split: int
    """As `Trained` has both."""


def choose(config: Config, readings: Readings) -> list[Chosen]:
    """Choose the queries of all collections.

    Raises:
        InputError: one cannot be read, two have one name, or one has no query to train on.
    """
    taken = {
        normal_text(text)
        for one in evaluated(config)
        for text in readings.evaluated(one).queries.values()
    }
    found = [_without(readings.source(source), taken) for source in config.collections]
    names = [one.collection.name for one in found]
    check_different("collections", names, "give one of them a name=")
    counts = shares(
        [
            min(source.queries or len(one.collection.queries), len(one.collection.queries))
            for source, one in zip(config.collections, found, strict=True)
        ],
        [source.weight for source in config.collections],
        config.candidates.queries,
    )
    return [
        one._replace(collection=_only(one.collection, evenly(one.collection.queries, count)))
        for one, count in zip(found, counts, strict=True)
    ]


def gathered(
    chosen: Sequence[Chosen], first_stage: FirstStage, config: Config, tell: Tell
) -> Iterator[Candidates]:
    """Yield the candidates of all chosen queries, collection by collection.

    Raises:
        InputError: the first stage cannot search a collection.
    """
    for collection in (one.collection for one in chosen):
        records = candidates(
            collection,
            first_stage,
            depth=config.candidates.depth,
            add_relevant=config.candidates.add_relevant,
            progress=tell(f"{collection.name}: {first_stage.name}"),
        )
        for record in records:
            name = f"{collection.name}/{record.query.id}"
            yield record.model_copy(update={"query": record.query.model_copy(update={"id": name})})


def shares(available: Sequence[int], weights: Sequence[float], total: int | None) -> list[int]:
    """Return how many queries each collection gives, at least one and at most what it has.

    Without a total all that there are, if the weights are equal; and else as many as there can be
    in the proportion of the weights. With a total, its share of it by weight; where a collection
    has fewer, the others share out what is left.
    """
    if total is not None:
        return _filled(available, weights, total)
    if len(set(weights)) == 1:
        return [*available]
    most = min(count / weight for count, weight in zip(available, weights, strict=True))
    return [max(1, math.floor(most * weight + 1e-9)) for weight in weights]


def _filled(available: Sequence[int], weights: Sequence[float], total: int) -> list[int]:
    counts = [0] * len(available)
    for _ in range(min(total, sum(available))):
        # the collection that is furthest behind its share is next
        open_ones = [at for at, count in enumerate(counts) if count < available[at]]
        counts[min(open_ones, key=lambda at: ((counts[at] + 0.5) / weights[at], at))] += 1
    return [max(1, count) for count in counts]


def _without(trained: Trained, taken: set[str]) -> Chosen:
    collection = trained.collection
    kept = [q for q, text in collection.queries.items() if normal_text(text) not in taken]
    if not kept:
        message = (
            f"{collection.name}: every query is evaluated on, so that none is left to train on; "
            "name another split of it, or other collections under evaluate.collections"
        )
        raise InputError(message)
    evaluated = len(collection.queries) - len(kept)
    return Chosen(_only(collection, kept), evaluated, trained.held_out, trained.in_no_split)


def _only(collection: Collection, query_ids: Sequence[str]) -> Collection:
    changes: dict[str, Any] = {
        "queries": {query_id: collection.queries[query_id] for query_id in query_ids},
        "qrels": {query_id: collection.qrels[query_id] for query_id in query_ids},
    }
    return dataclasses.replace(collection, **changes)
