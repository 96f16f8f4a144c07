"""Running systems over collections: every query once per reranker and candidate, resumably.

A document that two first stages both found is scored once for a pointwise reranker. What is done
is kept in a journal by content (the reranker's settings, the query's and the documents' texts), so
a run that was killed goes on where it stopped, and a later one with more systems, queries or depth
pays for what is new. Knows nothing of measures.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from zelo._common.checks import (
    at_least_one,
    at_least_zero,
    callable_or_none,
    in_order,
    instance_of,
    positive,
)
from zelo._common.journal import Journal
from zelo.corpora import Collection
from zelo.errors import InputError, ZeloError
from zelo.evaluation.results import Call, Evaluation, Ranked, Ranking, SystemRun
from zelo.evaluation.systems import Case, Reordering, System
from zelo.evaluation.tally import Tally
from zelo.retrieval.stage import FirstStage, Run
from zelo.scoring import Progress

__all__ = ["Stage", "aevaluate", "evaluate"]

Stage = Callable[[str], Progress]
"""Told what work begins, it returns where to report how much of it is done."""


def evaluate(
    collections: Iterable[Collection],
    systems: Iterable[System],
    *,
    depth: int = 100,
    queries: int | None = None,
    seed: int = 0,
    journal: Journal | None = None,
    on_stage: Stage | None = None,
) -> Evaluation:
    """Run every system over every collection. For a running event loop, see `aevaluate`.

    Args:
        collections: of which the queries with a relevant document are evaluated.
        systems: with different names.
        depth: how many candidates a first stage hands over, at most.
        queries: at most this many per collection, evenly spaced; None for all.
        seed: of whatever is random later: it is kept in the result.
        journal: where finished queries are kept; None forgets them.
        on_stage: told of each piece of long work.

    Raises:
        InputError: names repeat, nothing is to be evaluated, or a first stage cannot search.
        ScoringError: a reranker failed on a query. What was done until then is in the journal.
    """
    return asyncio.run(
        aevaluate(
            collections,
            systems,
            depth=depth,
            queries=queries,
            seed=seed,
            journal=journal,
            on_stage=on_stage,
        )
    )


async def aevaluate(
    collections: Iterable[Collection],
    systems: Iterable[System],
    *,
    depth: int = 100,
    queries: int | None = None,
    seed: int = 0,
    journal: Journal | None = None,
    on_stage: Stage | None = None,
) -> Evaluation:
    """`evaluate` for event loops; first stages still run in the calling thread."""
    systems = list(in_order("systems", systems, "a list of systems"))
    for i, system in enumerate(systems):
        instance_of(f"systems[{i}]", system, System)
    _check_names(systems)
    depth, seed = at_least_one("depth", depth), at_least_zero("seed", seed)
    if journal is not None:
        instance_of("journal", journal, Journal)
    callable_or_none("on_stage", on_stage)
    sampled = _sampled(collections, positive("queries", queries))
    tell = on_stage or (lambda _: lambda done, total: None)
    found = {name: _retrieve(of, systems, depth, tell) for name, of in sampled.items()}
    runs = _first_runs(found, systems)
    calls: dict[tuple[str, str], tuple[Call, ...]] = {}
    # Reranker by reranker, so that not all of them need fit in memory at once.
    for reranker, behind in _rerankers(systems):
        for name, collection in sampled.items():
            tally = Tally(reranker, journal)
            cases = _cases(collection, behind, found[name])
            await _rerank(cases, reranker, tally, tell(f"{name}: {reranker.name}"))
            for system in behind:
                runs[name, system.name] = _ranked(system, collection, found[name], tally)
            if reranker.identity is not None:
                calls[name, reranker.name] = tally.calls()
        reranker.release()
    first_stages = {
        (name, stage): _unranked(stage, stage, run)
        for name, by_stage in found.items()
        for stage, run in by_stage.items()
    }
    names = tuple(system.name for system in systems)
    return Evaluation(sampled, names, runs, first_stages, calls, depth, seed)


def _sampled(collections: Iterable[Collection], queries: int | None) -> dict[str, Collection]:
    sampled: dict[str, Collection] = {}
    listed = in_order("collections", collections, "a list of collections")
    for i, collection in enumerate(listed):
        instance_of(f"collections[{i}]", collection, Collection)
        if collection.name in sampled:
            raise InputError(f"two collections are named {collection.name!r}; rename one")
        sampled[collection.name] = kept = collection.sample(queries)
        if not kept.queries:
            message = f"{collection.name}: no query has a relevant document, so nothing is measured"
            raise InputError(message)
    if not sampled:
        raise InputError("collections holds none; there is nothing to evaluate on")
    return sampled


def _check_names(systems: Sequence[System]) -> None:
    names = [system.name for system in systems]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two systems are named {name!r}; give them different names")
    if not systems:
        raise InputError("systems holds none; there is nothing to evaluate")
    rerankers: dict[str, Mapping[str, Any] | None] = {}
    for reranker in (system.reranker for system in systems if system.reranker is not None):
        if rerankers.setdefault(reranker.name, reranker.identity) != reranker.identity:
            message = f"two different rerankers are named {reranker.name!r}; name them differently"
            raise InputError(message)


def _retrieve(
    collection: Collection, systems: Sequence[System], depth: int, tell: Stage
) -> dict[str, Run]:
    stages: dict[str, FirstStage] = {}
    for system in systems:
        stages.setdefault(system.first_stage.name, system.first_stage)
    found = {}
    for name, stage in stages.items():
        progress = tell(f"{collection.name}: {name}")
        run = stage.retrieve(collection, list(collection.queries), depth, progress)
        found[name] = {query_id: run.get(query_id, [])[:depth] for query_id in collection.queries}
    return found


def _rerankers(systems: Sequence[System]) -> list[tuple[Reordering, list[System]]]:
    """Each reranker with the systems that it stands in."""
    found: dict[str, tuple[Reordering, list[System]]] = {}
    for system in systems:
        if system.reranker is not None:
            found.setdefault(system.reranker.name, (system.reranker, []))[1].append(system)
    return list(found.values())


def _cases(
    collection: Collection, systems: Sequence[System], found: Mapping[str, Run]
) -> list[Case]:
    """What a reranker is asked about a collection: first stage by first stage, query by query."""
    return [
        _case(collection, query_id, found[stage])
        for stage in dict.fromkeys(system.first_stage.name for system in systems)
        for query_id in collection.queries
        if found[stage][query_id]
    ]


async def _rerank(
    cases: Sequence[Case], reranker: Reordering, tally: Tally, progress: Progress
) -> None:
    """Score what the tally lacks, as many cases at once as the reranker takes."""
    if not all(map(tally.has, cases)):
        await asyncio.to_thread(reranker.prepare)
    waiting, done = iter(cases), 0

    async def work() -> None:
        nonlocal done
        # one iterator for all workers: the next case goes to whoever is free
        for case in waiting:
            await _reorder(case, reranker, tally)
            done += 1
            progress(done, len(cases))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(reranker.concurrency):
                group.create_task(work())
    except BaseExceptionGroup as failed:  # the others were cancelled; the first says why
        raise failed.exceptions[0] from None


async def _reorder(case: Case, reranker: Reordering, tally: Tally) -> None:
    rest = tally.missing(case)
    if not rest.documents:
        return
    started = time.perf_counter()
    try:
        scores = await reranker.reorder(rest)
    except ZeloError as error:
        error.add_note(f"{case.collection}, query {case.query_id!r}, reranker {reranker.name}")
        raise
    tally.add(rest, scores, time.perf_counter() - started)


def _case(collection: Collection, query_id: str, run: Run) -> Case:
    doc_ids = tuple(found.doc_id for found in run[query_id])
    return Case(
        collection.name,
        query_id,
        collection.queries[query_id],
        doc_ids,
        tuple(collection.documents[doc_id] for doc_id in doc_ids),
        collection.qrels[query_id],
    )


def _first_runs(
    found: Mapping[str, Mapping[str, Run]], systems: Sequence[System]
) -> dict[tuple[str, str], SystemRun]:
    """The runs of systems that are a first stage alone."""
    return {
        (name, system.name): _unranked(
            system.name, system.first_stage.name, by_stage[system.first_stage.name]
        )
        for name, by_stage in found.items()
        for system in systems
        if system.reranker is None
    }


def _unranked(system: str, first_stage: str, run: Run) -> SystemRun:
    rankings = {q: tuple(Ranked(f.doc_id, f.score) for f in found) for q, found in run.items()}
    return SystemRun(system, first_stage, None, rankings)


def _ranked(
    system: System, collection: Collection, found: Mapping[str, Run], tally: Tally
) -> SystemRun:
    run = found[system.first_stage.name]
    rankings: dict[str, Ranking] = {
        q: tally.ranking(_case(collection, q, run)) if run[q] else () for q in run
    }
    name = None if system.reranker is None else system.reranker.name
    return SystemRun(system.name, system.first_stage.name, name, rankings)
