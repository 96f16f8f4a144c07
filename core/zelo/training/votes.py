"""What one judge has said so far, kept by content in a journal.

A vote is kept under the judge's settings and the two texts in their order; a pointwise judge's
scores under its settings, the query's and the documents' texts. So a run that was killed goes on,
and what was paid for is never asked again, whatever pairs are asked about next time.
"""

import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from zelo._common.journal import Journal, key_of
from zelo.errors import ScoringError
from zelo.evaluation.costs import SEARCH_DOCUMENTS
from zelo.training.budget import Took
from zelo.training.judges.judge import Judge, Pair, PairwiseJudge, PointwiseJudge, Side

__all__ = ["Asked", "PairwiseVotes", "PointwiseVotes", "Votes", "votes_of"]

Unit = TypeVar("Unit")


class Asked(NamedTuple):
    """What a pointwise judge is asked at once: a query with documents."""

    query_id: str
    query: str
    documents: dict[str, str]
    """Texts by digest."""


class Votes(ABC, Generic[Unit]):
    """The votes of one judge; a unit is what it is asked at once."""

    judge: Judge

    def __init__(self, judge: Judge, journal: Journal) -> None:
        self.judge = judge
        self._journal = journal
        self._prefix = key_of("judge", dict(judge.identity))[:16]

    @abstractmethod
    def units(self, pairs: Sequence[Pair]) -> list[Unit]:
        """What is to be asked about pairs, nothing twice."""

    @abstractmethod
    def key(self, unit: Unit) -> str:
        """The unit's place in the journal: two of one key must not be under way at once."""

    @abstractmethod
    def has(self, unit: Unit) -> bool:
        """Whether all of it was answered."""

    @abstractmethod
    def known(self, pairs: Sequence[Pair]) -> int:
        """Count the pairs whose vote needs no question."""

    @abstractmethod
    async def ask(self, unit: Unit) -> Took:
        """Ask what was not answered, and keep the answer."""

    @abstractmethod
    def of(self, pairs: Sequence[Pair]) -> list[float | None]:
        """Return the votes on pairs; every unit of theirs was answered."""

    @abstractmethod
    def where(self, unit: Unit) -> str:
        """Name a unit by its ids."""

    def history(self) -> Iterator[Took]:
        """Yield what each kept answer of this judge took."""
        for _, value in self._journal.items(self._prefix):
            yield Took.from_json(value["took"])


class PairwiseVotes(Votes[Pair]):
    """Of a judge that compares: a unit is a pair."""

    def __init__(self, judge: PairwiseJudge, journal: Journal) -> None:
        super().__init__(judge, journal)
        self._judge = judge

    def units(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Return the pairs."""
        return [*dict.fromkeys(pairs)]

    def key(self, unit: Pair) -> str:
        """The vote's own."""
        return self._prefix + key_of(list(self._judge.content(unit)))

    def has(self, unit: Pair) -> bool:
        """Whether there is a vote, or that there is none is known."""
        return self.key(unit) in self._journal

    def known(self, pairs: Sequence[Pair]) -> int:
        """Count those that were answered."""
        return sum(self.has(pair) for pair in pairs)

    async def ask(self, unit: Pair) -> Took:
        """Ask for one vote."""
        started = time.perf_counter()
        vote = await self._judge.judge(unit)
        seconds = time.perf_counter() - started
        if vote.preference is not None and not 0 <= vote.preference <= 1:
            message = f"judge {self.judge.name} gave {vote.preference}, which is no preference"
            raise ScoringError(message)
        took = Took(
            requests=vote.requests,
            input_tokens=vote.input_tokens,
            output_tokens=vote.output_tokens,
            malformed=vote.malformed,
            searches=vote.requests,
            seconds=seconds,
        )
        kept = {"preference": vote.preference, "took": took.as_json()}
        self._journal.put(self.key(unit), kept)
        return took

    def of(self, pairs: Sequence[Pair]) -> list[float | None]:
        """Return one vote per pair, as it was kept."""
        return [self._journal.get(self.key(pair))["preference"] for pair in pairs]

    def where(self, unit: Pair) -> str:
        """Name both documents, with their queries."""
        first, second = unit
        return " against ".join(
            f"document {side.doc_id!r} of query {side.query_id!r}" for side in (first, second)
        )


class PointwiseVotes(Votes[Asked]):
    """Of a judge that scores: a unit is a query with its documents, each scored once.

    Blank documents are not scored, as no reranker can; theirs is minus infinity.
    """

    def __init__(self, judge: PointwiseJudge, journal: Journal) -> None:
        super().__init__(judge, journal)
        self._judge = judge

    def units(self, pairs: Sequence[Pair]) -> list[Asked]:
        """Return each query with its distinct documents, in order of appearance."""
        found: dict[str, Asked] = {}
        for side in (side for pair in pairs for side in pair):
            asked = found.setdefault(side.query, Asked(side.query_id, side.query, {}))
            if side.document.strip():
                asked.documents[_digest(side)] = side.document
        return [*found.values()]

    def key(self, unit: Asked) -> str:
        """The query's own."""
        return self._key(unit.query)

    def has(self, unit: Asked) -> bool:
        """Whether every document has its score."""
        return unit.documents.keys() <= self._scores(unit.query).keys()

    def known(self, pairs: Sequence[Pair]) -> int:
        """Count those with a score for both documents."""
        scores = {unit.query: self._scores(unit.query) for unit in self.units(pairs)}
        return sum(
            all(not side.document.strip() or _digest(side) in scores[side.query] for side in pair)
            for pair in pairs
        )

    async def ask(self, unit: Asked) -> Took:
        """Ask for the scores that are not known, and keep them with the others."""
        known = self._kept(unit.query)
        rest = {d: text for d, text in unit.documents.items() if d not in known["scores"]}
        started = time.perf_counter()
        found = await self._judge.score(unit.query, [*rest.values()])
        seconds = time.perf_counter() - started
        if len(found.values) != len(rest) or not all(map(math.isfinite, found.values)):
            message = f"judge {self.judge.name} gave no finite score for each of {len(rest)} texts"
            raise ScoringError(message)
        took = Took(
            requests=found.requests,
            input_tokens=found.input_tokens,
            searches=math.ceil(len(rest) / SEARCH_DOCUMENTS),
            seconds=seconds,
        )
        known["scores"].update(zip(rest, found.values, strict=True))
        known["took"] = Took.from_json(known["took"]).plus(took).as_json()
        self._journal.put(self.key(unit), known)
        return took

    def of(self, pairs: Sequence[Pair]) -> list[float | None]:
        """Return one vote per pair, from its two scores."""
        scores = {unit.query: self._scores(unit.query) for unit in self.units(pairs)}
        found: list[float | None] = []
        for first, second in pairs:
            own, other = (_score(scores[side.query], side) for side in (first, second))
            found.append(self._judge.preference(own, other))
        return found

    def where(self, unit: Asked) -> str:
        """Name the query."""
        return f"query {unit.query_id!r}"

    def _key(self, query: str) -> str:
        return self._prefix + key_of(query)

    def _kept(self, query: str) -> dict[str, Any]:
        return self._journal.get(self._key(query)) or {"scores": {}, "took": Took().as_json()}

    def _scores(self, query: str) -> dict[str, float]:
        scores: dict[str, float] = self._kept(query)["scores"]
        return scores


def votes_of(judge: Judge, journal: Journal) -> "PairwiseVotes | PointwiseVotes":
    """Return where the votes of a judge are kept."""
    if isinstance(judge, PairwiseJudge):
        return PairwiseVotes(judge, journal)
    return PointwiseVotes(judge, journal)


def _digest(side: Side) -> str:
    return hashlib.blake2b(side.document.encode(), digest_size=12).hexdigest()


def _score(scores: dict[str, float], side: Side) -> float:
    return scores[_digest(side)] if side.document.strip() else -math.inf
