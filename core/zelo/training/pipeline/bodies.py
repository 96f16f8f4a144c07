"""What the stages between candidates and targets do: from files to files, with figures.

Each calls the function that its command calls. Training and evaluation have modules of their own.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

from zelo._common.journal import Journal
from zelo.evaluation.experiment import Stage as Tell
from zelo.reranker import Reranker
from zelo.training.merging import merged
from zelo.training.pipeline.evaluating import first_stage_of
from zelo.training.pipeline.gathering import choose, gathered
from zelo.training.pipeline.sources import Readings
from zelo.training.pipeline.tables import Config
from zelo.training.records import Candidates, Pairs, Preferences, read_records, write_records
from zelo.training.refine import refine
from zelo.training.stages import pairs as pairs_stage
from zelo.training.stages import ratings as ratings_stage
from zelo.training.stages import targets as targets_stage

__all__ = [
    "calibrate",
    "check_candidates",
    "choose_across",
    "choose_pairs",
    "find_candidates",
    "find_failures",
    "merge",
    "rate",
]

Path = pathlib.Path
Figures = dict[str, Any]


def check_candidates(config: Config, readings: Readings) -> None:
    """Refuse collections and a first stage that cannot be searched.

    Raises:
        InputError: as `choose`, or the first stage has no meaning or lacks an option.
        ModelError: there is no such embedding model.
    """
    choose(config, readings)
    first_stage_of(config)


def find_candidates(config: Config, readings: Readings, out: Path, tell: Tell) -> Figures:
    """Search every collection for every query that is trained on."""
    chosen = choose(config, readings)
    documents: dict[str, int] = dict.fromkeys((one.collection.name for one in chosen), 0)
    queries = dict(documents)
    graded = 0

    def counted() -> Iterator[Candidates]:
        nonlocal graded
        for record in gathered(chosen, first_stage_of(config), config, tell):
            name = record.query.id.partition("/")[0]
            queries[name] += 1
            documents[name] += len(record.documents)
            graded += sum(1 for document in record.documents if document.score is not None)
            yield record

    written = write_records(out, counted())
    return {
        "queries": written,
        "documents": sum(documents.values()),
        "graded_documents": graded,
        "collections": [
            {
                "collection": one.collection.name,
                "queries": queries[one.collection.name],
                "documents": documents[one.collection.name],
                "nothing_found": len(one.collection.queries) - queries[one.collection.name],
                "left_out_as_evaluated": one.evaluated,
                "left_out_as_held_out": one.held_out,
                "left_out_as_in_no_split": one.in_no_split,
            }
            for one in chosen
        ],
    }


def choose_pairs(
    config: Config, candidates: Path, out: Path, tell: Tell, *, taught: Path | None = None
) -> Figures:
    """Choose the pairs of every query that has at least two documents.

    With `taught`, the first ones of each query are written there: those that the ensemble judges,
    for the pairwise model to learn from.
    """
    tell("pairs")
    wanted = config.pairs
    found = pairs_stage.choose_pairs(
        candidates, out, method=wanted.method, cycles=wanted.cycles, seed=config.seed
    )
    if taught is not None and config.distill is not None:
        write_records(taught, _first(out, config.distill.pairs_per_query))
    return found._asdict()


def rate(config: Config, preferences: Path, out: Path, tell: Tell) -> Figures:
    """Fit the ratings."""
    tell("ratings")
    wanted = config.fit
    return ratings_stage.rate(
        preferences,
        out,
        method=wanted.method,
        prior=wanted.prior,
        skip_disconnected=wanted.skip_disconnected,
    )._asdict()


def choose_across(config: Config, ratings: Path, out: Path, tell: Tell) -> Figures:
    """Choose the pairs of documents of different queries."""
    tell("pairs across queries")
    wanted = config.across
    return pairs_stage.choose_across(
        ratings, out, cycles=wanted.cycles, each=wanted.each, seed=config.seed
    )._asdict()


def calibrate(
    config: Config, ratings: Path, judged: Path | None, candidates: Path, out: Path, tell: Tell
) -> Figures:
    """Turn ratings into targets; without judged pairs across queries every offset is 0."""
    tell("targets")
    wanted = config.calibrate
    graded = wanted.curve == "grades" or (wanted.curve == "auto" and _graded(candidates))
    return targets_stage.calibrate(
        ratings, judged, out, candidates=candidates if graded else None, prior=wanted.prior
    )._asdict()


def find_failures(
    config: Config,
    tell: Tell,
    *,
    candidates: Path,
    targets: Path,
    preferences: Path,
    model: Path,
    out: Path,
    journal: Path,
) -> Figures:
    """Rank the candidates by the trained reranker, and choose what is to be judged again."""
    reranker = Reranker(
        model,
        device=config.device,
        dtype=config.dtype,
        max_document_tokens=config.pointwise.max_document_tokens,
    )
    with reranker, Journal(journal) as rankings:
        found = refine(
            candidates,
            targets,
            preferences,
            out,
            reranker=reranker,
            threshold=config.refine.threshold,
            seed=config.seed,
            journal=rankings,
            on_progress=tell("ranking the candidates"),
        )
    return found._asdict()


def merge(preferences: Path, further: Path, out: Path, tell: Tell) -> Figures:
    """Put further judged pairs into the lines of the others."""
    tell("merging")
    pairs = 0

    def counted() -> Iterator[Preferences]:
        nonlocal pairs
        records = read_records(preferences, Preferences)
        for record in merged(records, read_records(further, Preferences)):
            pairs += len(record.pairs)
            yield record

    written = write_records(out, counted())
    return {"queries": written, "pairs": pairs}


def _first(pairs: Path, count: int | None) -> Iterator[Pairs]:
    for record in read_records(pairs, Pairs):
        yield record.model_copy(update={"pairs": record.pairs[:count]})


def _graded(candidates: Path) -> bool:
    """Whether a candidate is known to be relevant."""
    return any(
        (document.score or 0) > 0
        for record in read_records(candidates, Candidates)
        for document in record.documents
    )
