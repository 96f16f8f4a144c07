"""Groups scored by BM25 instead of people: any text gives as many as wanted.

The model learns to order a query's documents as BM25 does before it sees a label: how much each
word counts, how repeats and length weigh. BM25 knows its collection; the model has to guess.
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from zelo.retrieval.bm25 import BM25
from zelo.training.nano.batches import Group, Source
from zelo.training.nano.mining import CHARACTERS_INDEXED

CANDIDATES, BEST = 60, 10  # of each query; documents of BM25's top ten are drawn more often
QUERIES_PER_SOURCE = 3_000


@dataclasses.dataclass(frozen=True, slots=True)
class ScoredGroup:
    """A query with documents and BM25's score of each, float32 [documents]."""

    group: Group
    scores: Tensor


def draw_scored_groups(
    sources: Sequence[Source], documents: int, generator: random.Random
) -> Iterator[ScoredGroup]:
    """Draw groups of `documents` for ever: 4 of BM25's best, some from further down, 2 random."""
    pools = [_Pool(source, generator) for source in sources]
    weights = [source.weight for source in sources]
    while True:
        group = generator.choices(pools, weights)[0].draw(documents, generator)
        if group is not None:
            yield group


class _Pool:
    def __init__(self, source: Source, generator: random.Random) -> None:
        self._texts = [text[:CHARACTERS_INDEXED] for text in source.documents.values()]
        self._index = BM25(self._texts)
        count = min(QUERIES_PER_SOURCE, len(source.examples))
        self._queries = [example.query for example in generator.sample(source.examples, count)]

    def draw(self, documents: int, generator: random.Random) -> ScoredGroup | None:
        query = generator.choice(self._queries)
        found = self._index.search(query, CANDIDATES)
        if len(found) < documents:
            return None
        best, rest = found[:BEST], found[BEST:] or found
        picked = generator.sample(best, 4) + generator.sample(rest, min(documents - 6, len(rest)))
        scores = {candidate.index: candidate.score for candidate in picked}
        known = {candidate.index: candidate.score for candidate in found}
        while len(scores) < documents:
            other = generator.randrange(len(self._texts))
            # Beyond the candidates a score is lower than the last one's; 0 is near enough.
            scores.setdefault(other, known.get(other, 0.0))
        texts = tuple(self._texts[index] for index in scores)
        return ScoredGroup(Group(query, texts), torch.tensor(list(scores.values())))
