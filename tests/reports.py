"""Small evaluations and summaries, written by hand, whose every figure the tests know."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from collection import COLLECTION

from zelo.evaluation.figures import (
    Bin,
    Calibration,
    Cell,
    Cost,
    Histogram,
    Summary,
    Threshold,
)
from zelo.evaluation.results import Evaluation, Ranked, SystemRun

__all__ = ["MEASURES", "SYSTEMS", "evaluation", "summary", "summary_of"]

SYSTEMS = ("bm25", "bm25+nano", "bm25+random", "bm25+oracle", "dense", "dense+nano")
MEASURES = ("nDCG@10", "R@10")
BASE = {
    "bm25": 0.5,
    "bm25+nano": 0.6,
    "bm25+random": 0.1,
    "bm25+oracle": 0.9,
    "dense": 0.55,
    "dense+nano": 0.58,
}


def summary(
    collections: Sequence[str] = ("bees", "tides"), systems: Sequence[str] = SYSTEMS, **more: Any
) -> Summary:
    """Every figure of systems named FIRST_STAGE[+RERANKER]; `more` replaces fields.

    The baseline is the first system. All others differ from it significantly, save `dense`.
    """
    first = {system: system.partition("+")[0] for system in systems}
    rerankers = {system: system.partition("+")[2] or None for system in systems}
    oracles = frozenset(system for system in systems if rerankers[system] == "oracle")
    cells = {
        (collection, system, measure): _cell(system, systems[0], place / 100 - number / 10, oracles)
        for place, collection in enumerate(collections)
        for system in systems
        for number, measure in enumerate(MEASURES)
    }
    timed = dict.fromkeys(
        name for name in rerankers.values() if name not in (None, "random", "oracle")
    )
    made = Summary(
        measures=MEASURES,
        collections=tuple(collections),
        systems=tuple(systems),
        oracles=oracles,
        baseline=systems[0],
        depth=100,
        queries=dict.fromkeys(collections, 300),
        documents=dict.fromkeys(collections, 5_183),
        first_stages=first,
        rerankers=rerankers,
        cells=cells,
        averages={
            (system, measure): math.fsum(cells[c, system, measure].mean for c in collections)
            / len(collections)
            for system in systems
            for measure in MEASURES
        },
        recall={(c, stage): 0.91 for c in collections for stage in first.values()},
        costs={name: _cost(place) for place, name in enumerate(timed) if name is not None},
        calibration={s: _calibration() for s in systems if rerankers[s] in timed},
        values={key: {"q": cell.mean} for key, cell in cells.items()},
    )
    return dataclasses.replace(made, **more)


def evaluation(
    rankings: Mapping[str, Mapping[str, Sequence[Ranked]]] | None = None,
    documents: Mapping[str, str] | None = None,
) -> Evaluation:
    """Three queries of `COLLECTION`, `q-dance` the first of them, under `bm25` and `bm25+nano`.

    The first stage hands over the first fifteen documents in the corpus' order, the reranker turns
    them round. `rankings`, by system and query, and `documents`, by id, replace those.
    """
    sample = COLLECTION.sample(3)
    collection = dataclasses.replace(sample, documents={**sample.documents, **(documents or {})})
    doc_ids = list(collection.documents)[:15]
    up = tuple(Ranked(doc_id, -float(rank)) for rank, doc_id in enumerate(doc_ids))
    down = tuple(
        Ranked(doc_id, rank / 2, rank / 20) for rank, doc_id in reversed([*enumerate(doc_ids)])
    )
    given = rankings or {}
    runs = {}
    for system, reranker, default in (("bm25", None, up), ("bm25+nano", "nano", down)):
        found = {q: tuple(given.get(system, {}).get(q, default)) for q in collection.queries}
        runs[collection.name, system] = SystemRun(system, "bm25", reranker, found)
    first = SystemRun("bm25", "bm25", None, dict.fromkeys(collection.queries, up))
    return Evaluation(
        collections={collection.name: collection},
        systems=("bm25", "bm25+nano"),
        runs=runs,
        first_stages={(collection.name, "bm25"): first},
        calls={},
        depth=15,
        seed=0,
    )


def summary_of(found: Evaluation, values: Mapping[str, float] | None = None) -> Summary:
    """A summary that fits `evaluation`; every query has its system's value for all measures."""
    (collection,) = found.collections.values()
    by_system = values or {"bm25": 0.25, "bm25+nano": 0.75}
    return summary(
        (collection.name,),
        found.systems,
        values={
            (collection.name, system, measure): dict.fromkeys(collection.queries, value)
            for system, value in by_system.items()
            for measure in MEASURES
        },
    )


def _cell(system: str, baseline: str, more: float, oracles: frozenset[str]) -> Cell:
    mean = BASE.get(system, 0.4) + more
    if system == baseline or system in oracles:
        return Cell(mean, mean - 0.05, mean + 0.04)
    difference = BASE.get(system, 0.4) - BASE.get(baseline, 0.4)
    return Cell(mean, mean - 0.05, mean + 0.04, difference, 0.2 if system == "dense" else 0.001)


def _cost(place: int) -> Cost:
    return Cost(
        queries=600,
        documents=60_000,
        seconds=120.0,
        documents_per_second=500.0,
        median_s=0.2 * 10**place,
        p95_s=0.31 * 10**place,
        depth=100,
        input_tokens=9_000_000,
        output_tokens=0,
        requests=600,
        malformed=0,
    )


def _calibration() -> Calibration:
    bins = tuple(Bin(i / 10, (i + 1) / 10, 512 >> i, i / 10 + 0.05, i / 12) for i in range(10))
    return Calibration(
        documents=30_000,
        relevant=612,
        error=0.0412,
        brier=0.0233,
        bins=bins,
        histogram=Histogram(tuple(range(20)), tuple(400 >> i for i in range(20))),
        thresholds=(
            Threshold(0.5, 0.71, 0.51, 0.62, 1.2),
            Threshold(0.95, None, 0.0, 0.0, 0.0),
        ),
    )
