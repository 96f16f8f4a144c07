"""Pairs of the small collection, judges whose every vote can be foretold, and a run to be killed.

Every query has the same documents, compared along a ring, every other pair turned around; one line
compares documents across two queries.
"""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from collection import COLLECTION
from fake_openai import Messages, by_words

from zelo._common.journal import Journal
from zelo.errors import ModelFailedError
from zelo.llm import Chat
from zelo.training.judges import (
    ChatJudge,
    Judge,
    OracleJudge,
    Pair,
    PairwiseJudge,
    PointwiseJudge,
    PointwiseScores,
    Side,
    Vote,
)
from zelo.training.judging import Judged, judge
from zelo.training.records import (
    Candidates,
    Document,
    Pairs,
    Preferences,
    Query,
    read_records,
    write_records,
)

__all__ = [
    "Files",
    "Lengths",
    "Words",
    "comparing",
    "files_in",
    "judged",
    "preferences",
    "run_to_be_killed",
    "shown",
    "side",
]


class Files(NamedTuple):
    """What judging reads and writes."""

    candidates: Path
    pairs: Path
    out: Path
    journal: Path


def files_in(folder: Path, *, queries: int = 4, documents: int = 6) -> Files:
    """Write candidates and pairs: a ring of so many documents for each of so many queries."""
    files = Files(*(folder / f"{name}.jsonl" for name in ("candidates", "pairs", "out", "votes")))
    query_ids = list(COLLECTION.queries)[:queries]
    doc_ids = list(COLLECTION.documents)[:documents]
    write_records(files.candidates, [_candidates(query_id, doc_ids) for query_id in query_ids])
    ring = list(zip(doc_ids, doc_ids[1:] + doc_ids[:1], strict=True))
    turned = [pair[::-1] if place % 2 else pair for place, pair in enumerate(ring)]
    lines = [Pairs(query=query_id, pairs=turned) for query_id in query_ids]
    lines.append(Pairs(query=query_ids[0], against=query_ids[-1], pairs=ring))
    write_records(files.pairs, lines)
    return files


def judged(files: Files, judges: Iterable[Judge], **options: Any) -> Judged:
    """Judge with a journal that lies beside the files."""
    with Journal(files.journal) as journal:
        return judge(files.pairs, files.candidates, judges, files.out, journal=journal, **options)


def preferences(files: Files) -> list[Preferences]:
    """What was written."""
    return list(read_records(files.out, Preferences))


def side(query_id: str, doc_id: str) -> Side:
    """A document of the collection with one of its queries."""
    grade = COLLECTION.qrels[query_id].get(doc_id)
    return Side(query_id, COLLECTION.queries[query_id], doc_id, COLLECTION.documents[doc_id], grade)


class Words(PairwiseJudge):
    """Prefers the document that holds more of its query's words. It notes what it is asked."""

    def __init__(
        self,
        name: str = "words",
        *,
        concurrency: int = 1,
        tokens: int = 10,
        fails_at: int | None = None,
        says: Callable[[Pair], float | None] | None = None,
    ) -> None:
        self.name = name
        self.concurrency = concurrency
        self.metered = True
        self.asked: list[Pair] = []
        self.prepared = self.released = self.most_at_once = 0
        self._now = 0
        self._tokens, self._fails_at = tokens, fails_at
        self._says = says or _by_words

    @property
    def identity(self) -> dict[str, Any]:
        """Its name is all that its votes depend on."""
        return {"words": self.name}

    def prepare(self) -> None:
        """Count."""
        self.prepared += 1

    def release(self) -> None:
        """Count."""
        self.released += 1

    async def judge(self, pair: Pair) -> Vote:
        """Vote, after a moment."""
        self.asked.append(pair)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(0.001)
        self._now -= 1
        if len(self.asked) == self._fails_at:
            raise ModelFailedError("the model failed")
        return Vote(self._says(pair), self._tokens, 0, 1, 0)


class Lengths(PointwiseJudge):
    """Scores a document by its length. It notes what it is asked."""

    def __init__(self, name: str = "lengths", scale: float = 100.0) -> None:
        super().__init__(name, scale)
        self.asked: list[tuple[str, str]] = []

    @property
    def identity(self) -> dict[str, Any]:
        """Nothing is to be told of it."""
        return {"lengths": self.name}

    async def score(self, query: str, documents: Sequence[str]) -> PointwiseScores:
        """Measure."""
        self.asked += [(query, text) for text in documents]
        return PointwiseScores([float(len(text)) for text in documents], len(documents), 1)


def _by_words(pair: Pair) -> float:
    first, second = (by_words(one.query, one.document) for one in pair)
    return 0.5 if first == second else float(first > second)


def shown(messages: Messages) -> tuple[tuple[str, str], tuple[str, str]]:
    """The two (query, document) that a chat judge is shown."""
    found = re.findall(r'^(Query|Document)(?: ([AB]))?: (".*")$', messages[-1]["content"], re.M)
    texts = {(kind, letter): json.loads(text) for kind, letter, text in found}
    assert len(texts) == len(found)
    first, second = (
        (texts.get(("Query", letter), texts.get(("Query", ""))), texts["Document", letter])
        for letter in "AB"
    )
    return first, second


def comparing(messages: Messages) -> str:
    """A chat model that compares as `Words` does, and thinks aloud before."""
    (query, first), (other, second) = shown(messages)
    difference = by_words(other, second) - by_words(query, first)
    return f"A has some words, B has others.\nScore: {max(-1, min(1, difference / 4))}"


def run_to_be_killed(folder: Path, url: str) -> None:
    """Judge by a chat model and by an oracle, with a journal."""
    files = Files(*(folder / f"{name}.jsonl" for name in ("candidates", "pairs", "out", "votes")))
    judged(files, [ChatJudge(Chat("any", url), concurrency=3), OracleJudge(noise=0.2)])


def _candidates(query_id: str, doc_ids: Sequence[str]) -> Candidates:
    judged = COLLECTION.qrels[query_id]
    return Candidates(
        query=Query(id=query_id, query=COLLECTION.queries[query_id]),
        documents=[
            Document(id=one, content=COLLECTION.documents[one], score=judged.get(one))
            for one in doc_ids
        ],
    )


if __name__ == "__main__":
    run_to_be_killed(Path(sys.argv[1]), sys.argv[2])
