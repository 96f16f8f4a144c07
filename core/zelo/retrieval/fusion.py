"""Hybrid retrieval: several first stages' rankings fused by reciprocal rank.

Only ranks count, so stages whose scores mean different things can be fused.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from zelo._common.checks import at_least_one, at_least_zero, in_order, with_methods
from zelo.corpora import Collection
from zelo.errors import InputError
from zelo.retrieval.candidates import check_search, choose
from zelo.retrieval.stage import FirstStage, Retrieved, Run
from zelo.scoring import Progress

__all__ = ["HybridStage", "fuse"]


class HybridStage:
    """Reciprocal rank fusion of other first stages.

    `k=60` is the constant of Cormack, Clarke and Buettcher (2009). `k=0` weighs a rank by 1/rank,
    as the zerank models' makers do in their evaluations. Each stage is asked for `depth_factor`
    times the depth, three times as theirs are: what comes late in two lists can come early in one.

    Raises:
        InputError: fewer than two stages, `k` below 0 or `depth_factor` below 1.
    """

    def __init__(
        self,
        stages: Iterable[FirstStage],
        *,
        k: int = 60,
        depth_factor: int = 3,
        name: str = "hybrid",
    ) -> None:
        self._stages = tuple(in_order("stages", stages, "a list of first stages"))
        for i, stage in enumerate(self._stages):
            with_methods(f"stages[{i}]", stage, "retrieve")
        if len(self._stages) < 2:
            raise InputError(f"a hybrid of {len(self._stages)} stage(s); it fuses two or more")
        self.name = name
        self._k = at_least_zero("k", k)
        self._depth_factor = at_least_one("depth_factor", depth_factor)

    def retrieve(
        self,
        collection: Collection,
        query_ids: Sequence[str],
        depth: int,
        progress: Progress | None = None,
    ) -> Run:
        """Return the fused rankings; `progress` is told by one stage after the other.

        Raises:
            InputError: and whatever else the stages raise.
        """
        query_ids = check_search(collection, query_ids, depth, progress)
        runs = [
            stage.retrieve(collection, query_ids, depth * self._depth_factor, progress)
            for stage in self._stages
        ]
        order = {doc_id: place for place, doc_id in enumerate(collection.documents)}
        run: Run = {}
        for query_id in query_ids:
            rankings = [[found.doc_id for found in each[query_id]] for each in runs]
            run[query_id] = choose(collection, query_id, fuse(rankings, order, self._k), depth)
        return run


def fuse(rankings: Sequence[Sequence[str]], order: Mapping[str, int], k: int) -> list[Retrieved]:
    """Fuse rankings of document ids: a score is the sum of 1 / (k + rank), ranks counted from 1.

    Best first; equal scores in the collection's `order`. The rankings' own order does not matter,
    to the last bit.
    """
    parts: dict[str, list[float]] = {}
    for ranking in rankings:
        for rank, doc_id in enumerate(ranking, start=1):
            parts.setdefault(doc_id, []).append(1 / (k + rank))
    # fsum rounds once: summed in another order, equal parts give the same score.
    fused = [Retrieved(doc_id, math.fsum(values)) for doc_id, values in parts.items()]
    return sorted(fused, key=lambda found: (-found.score, order[found.doc_id]))
