"""First stages and rerankers whose every answer the tests can foretell, and a run to be killed."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collection import COLLECTION

from zelo._common.journal import Journal
from zelo.corpora import Collection
from zelo.evaluation.experiment import evaluate
from zelo.evaluation.results import Evaluation
from zelo.evaluation.systems import Case, Ordered, Scores, System
from zelo.retrieval.stage import Retrieved, Run
from zelo.scoring import Progress

__all__ = ["EVERY", "Slice", "WordMatch", "run_to_be_killed"]


class Slice:
    """Hands over a slice of the corpus, in its order, whatever the query is."""

    def __init__(self, name: str, start: int, stop: int) -> None:
        self.name = name
        self._places = slice(start, stop)

    def retrieve(
        self,
        collection: Collection,
        query_ids: Sequence[str],
        depth: int,
        progress: Progress | None = None,
    ) -> Run:
        """Return the slice for every query."""
        doc_ids = list(collection.documents)[self._places]
        found = [Retrieved(doc_id, float(-rank)) for rank, doc_id in enumerate(doc_ids)]
        return {query_id: found for query_id in query_ids}


EVERY = Slice("every", 0, 100)


class WordMatch:
    """Counts the query's words in a document. It notes what it is asked, also in a file."""

    def __init__(
        self,
        name: str = "words",
        *,
        pointwise: bool = True,
        concurrency: int = 1,
        log: Path | None = None,
        fails_on: str | None = None,
        pause: float = 0.002,
    ) -> None:
        self.name = name
        self.pointwise = pointwise
        self.concurrency = concurrency
        self.asked: list[Case] = []
        self.prepared = self.released = self.most_at_once = 0
        self._log, self._fails_on, self._pause = log, fails_on, pause
        self._now = 0

    @property
    def identity(self) -> Mapping[str, Any]:
        """Its name is all that its scores depend on."""
        return {"name": self.name}

    def prepare(self) -> None:
        """Count."""
        self.prepared += 1

    async def reorder(self, case: Case) -> Scores:
        """Order by the number of common words, which often ties."""
        from zelo.errors import ModelFailedError

        self.asked.append(case)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(self._pause)
        self._now -= 1
        if case.query_id == self._fails_on:
            raise ModelFailedError("the model failed")
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(f"{case.query_id} {len(case.documents)}\n")
        words = set(case.query.lower().split())
        scores = [float(len(words & set(text.lower().split()))) for text in case.documents]
        ranked = sorted(range(len(scores)), key=lambda place: -scores[place])
        ordered = [Ordered(place, scores[place], scores[place] / 20) for place in ranked]
        return Scores(tuple(ordered), input_tokens=len(scores))

    def release(self) -> None:
        """Count."""
        self.released += 1


def run_to_be_killed(journal: Path, log: Path) -> Evaluation:
    """Two first stages that overlap, each behind the same reranker, with a journal."""
    words = WordMatch(log=log, pause=0.03)  # long enough to be killed before the end
    systems = [
        System("a", Slice("a", 0, 25), words),
        System("b", Slice("b", 10, 40), words),
    ]
    with Journal(journal) as kept:
        return evaluate([COLLECTION], systems, journal=kept)


if __name__ == "__main__":
    run_to_be_killed(Path(sys.argv[1]), Path(sys.argv[2]))
