"""The study: a collection and a reranker in, a report out."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from zelo.corpora import Collection
from zelo.errors import InputError
from zelo.evaluation.robustness.chosen import choose
from zelo.evaluation.robustness.reading import readings_of
from zelo.evaluation.robustness.results import AttackOutcome, PositionOutcome, RobustnessReport
from zelo.evaluation.robustness.trials import Trials
from zelo.reranker import Reranker
from zelo.retrieval.stage import FirstStage
from zelo.scoring import Progress

__all__ = ["LENGTHS", "robustness"]

LENGTHS = (2_000, 8_000)
"""Characters of the long documents: about 500, 2,000 and 8,000 tokens."""


def robustness(
    collection: Collection,
    reranker: Reranker,
    first_stage: FirstStage,
    *,
    queries: int | None = 50,
    depth: int = 100,
    lengths: Iterable[int] = LENGTHS,
    seed: int = 0,
    progress: Progress | None = None,
) -> RobustnessReport:
    """Measure how far documents climb by attacks, and how deep long ones hide a passage.

    Per query, every attack is added to one irrelevant candidate, and one relevant passage is put
    into long documents at five depths; both are ranked among the query's other candidates. A model
    of this process is read with zelo's defences and without; a server only as it reads.

    Args:
        collection: at least one query with a relevant document.
        reranker: stays open.
        first_stage: where the candidates come from.
        queries: how many of the answerable ones, evenly spaced; None for all.
        depth: candidates per query.
        lengths: of the long documents, in characters; none leaves positions out.
        seed: of the choice of documents and of the intervals.
        progress: called with (queries done, queries in all).

    Raises:
        InputError: a length makes no sense, no query can be measured, or a prompt is longer than
            the model reads.
        ScoringError: a document could not be scored; nothing is reported in its place.
    """
    lengths = tuple(lengths)
    if any(length < 1 for length in lengths):
        raise InputError(f"lengths={lengths!r}; each counts characters, at least 1")
    sample = collection.sample(queries)
    found = first_stage.retrieve(sample, list(sample.queries), depth)
    with ExitStack() as stack:
        readings = readings_of(reranker, stack)
        trials = Trials(sample, sorted(set(lengths)), seed, readings)
        for number, query_id in enumerate(sample.queries, start=1):
            trials.measure(choose(sample, query_id, found[query_id], seed))
            if progress is not None:
                progress(number, len(sample.queries))
    if not trials.attacks and not trials.positions:
        message = (
            f"{sample.name}: none of {len(sample.queries)} queries has a candidate or a relevant "
            "document that could be measured; take more queries, or another first stage"
        )
        raise InputError(message)
    return RobustnessReport(
        collection=sample.name,
        reranker=Path(str(reranker.settings["model"])).name,
        first_stage=first_stage.name,
        queries=len(sample.queries),
        depth=depth,
        seed=seed,
        left_out=dict(trials.left_out),
        readings=readings.meaning,
        attacks=tuple(
            AttackOutcome(reading, tuple(of), attack.name, attack.kind, place)
            for (reading, place, attack), of in trials.attacks.items()
        ),
        positions=tuple(
            PositionOutcome(reading, tuple(of), length, at)
            for (length, reading, at), of in sorted(
                trials.positions.items(), key=lambda item: item[0][0]
            )
        ),
    )
