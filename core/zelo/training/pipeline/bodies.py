"""What the stages between candidates and targets do: from files to files, with figures.

Each calls the function that its command calls. Training and evaluation have modules of their own.
"""

import pathlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from zelo.evaluation.experiment import Stage as Tell
from zelo.journal import Journal
from zelo.reranker import Reranker
from zelo.training import calibration
from zelo.training.merging import merged
from zelo.training.pairs import Shape, across, sample
from zelo.training.pipeline.evaluating import first_stage_of
from zelo.training.pipeline.gathering import choose, gathered
from zelo.training.pipeline.tables import Config
from zelo.training.ratings import Quality, fit
from zelo.training.ratings.fitting import Disconnected
from zelo.training.records import (
    Candidates,
    Pairs,
    Preferences,
    Ratings,
    Targets,
    read_records,
    write_records,
)
from zelo.training.refine import refine

__all__ = [
    "calibrate",
    "choose_across",
    "choose_pairs",
    "find_candidates",
    "find_failures",
    "merge",
    "rate",
]

NAMED = 20
"""Of the queries that were left out."""
BINS = 20
"""Of the histogram of targets."""

Path = pathlib.Path
Figures = dict[str, Any]


def find_candidates(config: Config, out: Path, tell: Tell) -> Figures:
    """Search every collection for every query that is trained on."""
    chosen = choose(config)
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
    shape = Shape()
    left_out = 0

    def chosen() -> Iterator[Pairs]:
        nonlocal left_out
        for record in read_records(candidates, Candidates):
            doc_ids = [document.id for document in record.documents]
            if len(doc_ids) < 2:
                left_out += 1
                continue
            found = sample(
                record.query.id,
                doc_ids,
                method=config.pairs.method,
                cycles=config.pairs.cycles,
                seed=config.seed,
            )
            shape.add(found, doc_ids)
            yield found

    write_records(out, chosen())
    if taught is not None and config.distill is not None:
        write_records(taught, _first(out, config.distill.pairs_per_query))
    return {
        "queries": shape.queries,
        "documents": shape.documents,
        "pairs": shape.pairs,
        "degree_min": shape.degree_min,
        "degree_mean": shape.degree_mean,
        "degree_max": shape.degree_max,
        "diameter_max": shape.diameter_max,
        "queries_left_out": left_out,
    }


def rate(config: Config, preferences: Path, out: Path, tell: Tell) -> Figures:
    """Fit the ratings."""
    tell("ratings")
    quality = Quality()
    left_out: list[Disconnected] = []

    def watched() -> Iterator[Ratings]:
        found = fit(
            read_records(preferences, Preferences),
            method=config.fit.method,
            prior=config.fit.prior,
            on_disconnected=left_out.append if config.fit.skip_disconnected else None,
        )
        for record in found:
            quality.add(record)
            yield record

    write_records(out, watched())
    return {
        "queries": quality.queries,
        "documents": quality.documents,
        "comparisons": quality.comparisons,
        "degree_mean": quality.degree_mean,
        "converged_share": quality.converged_share,
        "iterations_mean": quality.iterations_mean,
        "loss": quality.loss,
        "queries_left_out": len(left_out),
        "left_out": [one.query for one in islice(left_out, NAMED)],
    }


def choose_across(config: Config, ratings: Path, out: Path, tell: Tell) -> Figures:
    """Choose the pairs of documents of different queries."""
    tell("pairs across queries")
    found = list(
        across(
            read_records(ratings, Ratings),
            cycles=config.across.cycles,
            each=config.across.each,
            seed=config.seed,
        )
    )
    write_records(out, found)
    queries = {query for record in found for query in (record.query, record.against)}
    return {"queries": len(queries), "pairs": sum(len(record.pairs) for record in found)}


def calibrate(
    config: Config, ratings: Path, judged: Path | None, candidates: Path, out: Path, tell: Tell
) -> Figures:
    """Turn ratings into targets; without judged pairs across queries every offset is 0."""
    tell("targets")
    rated = list(read_records(ratings, Ratings))
    figures: Figures = {"queries": len(rated)}
    if judged is None:
        offsets: Mapping[str, float] = {one.query: 0.0 for one in rated}
    else:
        found = calibration.offsets(
            rated, read_records(judged, Preferences), prior=config.calibrate.prior
        )
        offsets = found.by_query
        figures |= {
            "comparisons_across": found.comparisons,
            "converged": found.converged,
            "loss": found.loss,
            "offset_min": min(offsets.values()),
            "offset_max": max(offsets.values()),
        }
    curve = _curve(config, rated, offsets, candidates)
    bins = [0] * BINS

    def counted() -> Iterator[Targets]:
        for record in calibration.calibrate(rated, offsets, curve):
            for target in record.targets.values():
                bins[min(int(target * BINS), BINS - 1)] += 1
            yield record

    write_records(out, counted())
    by = "grades" if curve.relevant else "quantiles"
    return {**figures, "curve": by, **curve._asdict(), "targets": bins}


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


def _curve(
    config: Config, rated: list[Ratings], offsets: Mapping[str, float], candidates: Path
) -> calibration.Curve:
    wanted = config.calibrate.curve
    if wanted == "auto":
        wanted = "grades" if _graded(candidates) else "quantiles"
    if wanted == "quantiles":
        return calibration.by_quantiles(rated, offsets)
    return calibration.anchored(rated, offsets, read_records(candidates, Candidates))


def _graded(candidates: Path) -> bool:
    """Whether a candidate is known to be relevant."""
    return any(
        (document.score or 0) > 0
        for record in read_records(candidates, Candidates)
        for document in record.documents
    )
