"""How much work the stages of a run are: what they came to, or what they can come to at most."""

import math
from collections.abc import Mapping, Sequence

from zelo.training.pipeline.gathering import choose
from zelo.training.pipeline.sources import Readings
from zelo.training.pipeline.stage import Figures
from zelo.training.pipeline.tables import Config

__all__ = ["Amount", "expected"]

Amount = dict[str, int]
LEFT_OUT = "queries of no split left out"


def expected(
    config: Config, readings: Readings, stages: Sequence[str], figures: Mapping[str, Figures]
) -> dict[str, Amount]:
    """Return by stage how many queries, documents, pairs and votes it handles.

    Args:
        config: of the run.
        readings: its collections.
        stages: names, in their order.
        figures: of those stages that are done.

    Raises:
        InputError: a collection cannot be read.
    """
    left_out: Amount = {}
    if "candidates" in figures:
        queries = int(figures["candidates"]["queries"])
        documents = int(figures["candidates"]["documents"])
    else:
        chosen = choose(config, readings)
        queries = sum(len(one.collection.queries) for one in chosen)
        documents = sum(
            len(one.collection.queries)
            * min(config.candidates.depth, len(one.collection.documents))
            for one in chosen
        )
        in_no_split = sum(one.in_no_split for one in chosen)
        left_out = {LEFT_OUT: in_no_split} if in_no_split else {}
    pairs = _pairs(config, documents)
    if "pairs" in figures:
        pairs = int(figures["pairs"]["pairs"])
    judged = pairs
    if config.distill is not None and config.distill.pairs_per_query is not None:
        judged = min(pairs, queries * config.distill.pairs_per_query)
    across = queries * config.across.cycles * config.across.each
    if "across" in figures:
        across = int(figures["across"]["pairs"])
    failures = int(figures["refine"]["pairs"]) if "refine" in figures else queries
    judges = len(config.judges)
    by_kind: dict[str, Amount] = {
        "candidates": {"queries": queries, "documents": documents, **left_out},
        "pairs": {"pairs": pairs},
        "judge": {"pairs": judged, "votes": judged * judges},
        "distill": {"pairs": judged},
        "judge-distilled": {"pairs": pairs, "votes": pairs},
        "fit": {"queries": queries, "pairs": pairs},
        "across": {"pairs": across},
        "judge-across": {
            "pairs": across,
            "votes": across * (1 if config.distill is not None else judges),
        },
        "calibrate": {"queries": queries},
        "pointwise": {"queries": queries, "documents": documents},
        "refine": {"queries": queries, "documents": documents},
        "judge-refined": {"pairs": failures, "votes": failures * judges},
        "merge": {"pairs": judged + failures},
    }
    found = {}
    for name in stages:
        most = by_kind.get(name, by_kind.get(name.removesuffix("-refined"), {}))
        counted = _counted(figures.get(name, {}))
        found[name] = {what: counted.get(what, count) for what, count in most.items()}
    return found


def _counted(figures: Figures) -> Amount:
    """What a stage that is done counted itself."""
    found: Amount = {what: int(figures[what]) for what in ("queries", "pairs") if what in figures}
    if "judges" in figures:
        found["votes"] = sum(one["votes"] for one in figures["judges"])
    return found


def _pairs(config: Config, documents: int) -> int:
    """Pairs within queries, each document in as many as its query has room for."""
    room = (config.candidates.depth - 1) / 2
    wanted = config.pairs
    return math.floor(documents * (room if wanted.method == "full" else min(room, wanted.cycles)))
