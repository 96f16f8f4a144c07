"""What the judges of a run have said already, and what they are still to be asked and paid for."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from statistics import fmean
from typing import Any, NamedTuple

from zelo._common.journal import Journal
from zelo.evaluation.costs import SEARCH_DOCUMENTS, Price
from zelo.training.budget import Took
from zelo.training.judges.judge import Judge, Pair, PairwiseJudge, Side
from zelo.training.judges.prompt import messages
from zelo.training.lookup import CandidateFile, Line, lines
from zelo.training.pipeline.chain import Chain
from zelo.training.pipeline.expecting import Amount
from zelo.training.pipeline.gathering import choose
from zelo.training.pipeline.judges import make_unprepared, prices_of
from zelo.training.pipeline.stage import Done
from zelo.training.votes import PairwiseVotes, PointwiseVotes, votes_of

__all__ = ["Asking", "asking"]

CHARACTERS_PER_TOKEN = 4
"""Of English, about."""
WRITTEN_TOKENS = 200
"""In an answer: some sentences of reasons. Our own guess; a reasoning model writes many more."""
SHOWN_CHARACTERS = 8_000
"""Of a document, at most; what `ChatJudge` shows by default."""

Votes = PairwiseVotes | PointwiseVotes


class Asking(NamedTuple):
    """What one judge is asked in all stages together."""

    judge: str
    votes: int
    """At most."""
    stored: int
    """Of these, those that are kept from before; where the pairs are yet to be chosen, none."""
    spent_usd: float | None
    """For all that is kept, by its price of now; None without one."""
    to_come_usd: float | None
    """At most, if questions go on to cost what they cost so far. Before the first, guessed from the
    lengths of texts. None where neither can be done, or there is no price."""


def asking(
    chain: Chain, standing: Mapping[str, Done | None], amounts: Mapping[str, Amount]
) -> list[Asking]:
    """Return what every judge of the configuration is asked, but BM25, which is quick and free.

    Args:
        chain: of the run.
        standing: how each stage ended; None for those that are to be done.
        amounts: what each stage comes to at most, with `queries` or `pairs`.
    """
    with ExitStack() as stack:
        journal = None
        if chain.votes.exists():  # else it would be made
            journal = stack.enter_context(Journal(chain.votes))
        desk = _Desk(chain, standing, amounts, journal)
        found = []
        for judge in make_unprepared(chain.config):
            stack.callback(judge.release)
            found.append(desk.asking(judge))
        return found


class _Desk:
    """The pairs of all stages in which the judges are asked, and what is kept of them."""

    def __init__(
        self,
        chain: Chain,
        standing: Mapping[str, Done | None],
        amounts: Mapping[str, Amount],
        journal: Journal | None,
    ) -> None:
        self._chain, self._standing, self._amounts = chain, standing, amounts
        self._journal = journal
        self._prices = prices_of(chain.config)
        there = standing["candidates"] is not None
        self._candidates = CandidateFile(chain.candidates) if there else None
        self._to_come = {
            output
            for stage in chain.stages
            if standing[stage.name] is None
            for output in stage.outputs
        }

    def asking(self, judge: Judge) -> Asking:
        """Return what a judge is asked."""
        votes = None if self._journal is None else votes_of(judge, self._journal)
        wanted = stored = questions = 0
        for stage in self._chain.asked:
            pairs = self._amounts[stage]["pairs"]
            known, open_ones = self._known(stage, votes, judge)
            wanted, stored, questions = wanted + pairs, stored + known, questions + open_ones
        price = self._prices.get(judge.name)
        if price is None:
            return Asking(judge.name, wanted, stored, None, None)
        paid = [] if votes is None else [took.usd(price) for took in votes.history()]
        to_come: float | None = 0.0
        if questions:
            each = fmean(paid) if paid else self._guess(judge, price)
            to_come = None if each is None else questions * each
        return Asking(judge.name, wanted, stored, math.fsum(paid), to_come)

    def _known(self, stage: str, votes: Votes | None, judge: Judge) -> tuple[int, int]:
        """Return how many votes of a stage are kept, and how many questions are not answered."""
        pairs, path = self._amounts[stage]["pairs"], self._chain.asked[stage]
        if self._standing[stage] is not None:
            return pairs, 0
        if votes is not None and self._candidates is not None and path not in self._to_come:
            return _looked_up(votes, lines(path, self._candidates))
        if isinstance(judge, PairwiseJudge):
            return 0, pairs
        # one that scores reads the documents of each query once, for the first stage
        first = next(iter(self._chain.asked))
        return 0, self._amounts["candidates"]["queries"] if stage == first else 0

    def _guess(self, judge: Judge, price: Price) -> float | None:
        """Return what a question costs, from the lengths of texts; None by the hour."""
        if price.unit == "hour":
            return None
        length = fmean(self._lengths())
        if isinstance(judge, PairwiseJudge):
            side = Side("", "", "", "x" * min(round(length), SHOWN_CHARACTERS))
            read = sum(len(message["content"]) for message in messages(Pair(side, side)))
            searches, written = 1, WRITTEN_TOKENS
        else:
            found = self._amounts["candidates"]
            depth = found["documents"] / max(1, found["queries"])
            read, written = round(depth * length), 0
            searches = math.ceil(depth / SEARCH_DOCUMENTS)
        tokens = read // CHARACTERS_PER_TOKEN
        return Took(input_tokens=tokens, output_tokens=written, searches=searches).usd(price)

    def _lengths(self) -> Iterator[int]:
        """Yield the lengths of the candidates in characters, or of all documents before."""
        if self._candidates is not None:
            yield from map(len, self._candidates.texts())
            return
        for one in choose(self._chain.config, self._chain.readings):
            yield from map(len, one.collection.documents.values())


def _looked_up(votes: Any, asked: Iterable[Line]) -> tuple[int, int]:
    known = questions = 0
    for _, pairs in asked:
        known += votes.known(pairs)
        questions += sum(not votes.has(unit) for unit in votes.units(pairs))
    return known, questions
