"""Judging pairs: every judge is asked about every pair, and their votes are averaged.

What was answered is kept in a journal at once. A run that was killed, or whose budget was spent,
goes on where it stopped, and at most what was under way is paid for again. Files are read line by
line, so there may be more pairs than memory holds. Knows nothing of what judges are.
"""

import asyncio
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zelo._common.journal import Journal
from zelo.errors import InputError, ZeloError
from zelo.evaluation.costs import Price
from zelo.evaluation.experiment import Stage
from zelo.scoring import Progress
from zelo.training.agreement import Agreement, Poll, Share
from zelo.training.budget import Budget, Ledger, Took
from zelo.training.judges.judge import Judge
from zelo.training.lookup import CandidateFile, Line, lines
from zelo.training.records import Preferences, write_records
from zelo.training.votes import PairwiseVotes, PointwiseVotes, votes_of

__all__ = ["JudgeReport", "Judged", "judge", "mean"]

AnyPath = str | os.PathLike[str]
Votes = PairwiseVotes | PointwiseVotes


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """What one judge did."""

    share: Share
    took: Took
    """All that the journal holds of it, earlier runs included."""
    usd: float | None
    """None without a price."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What judging gave."""

    lines: int
    pairs: int
    judges: Mapping[str, JudgeReport]
    ensemble: Share
    agreement: tuple[Agreement, ...]

    def figures(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {
            "lines": self.lines,
            "pairs": self.pairs,
            "judges": [
                {
                    "judge": name,
                    **report.share._asdict(),
                    **dataclasses.asdict(report.took),
                    "usd": report.usd,
                }
                for name, report in self.judges.items()
            ],
            "ensemble": self.ensemble._asdict(),
            "agreement": [one._asdict() for one in self.agreement],
        }


def judge(
    pairs: AnyPath,
    candidates: AnyPath | CandidateFile,
    judges: Iterable[Judge],
    out: AnyPath,
    *,
    journal: Journal,
    budget: Budget | None = None,
    prices: Mapping[str, Price] | None = None,
    on_stage: Stage | None = None,
) -> Judged:
    """Ask every judge about every pair, and write the preferences in the order of the pairs.

    A preference is the mean of the judges that voted, in [0, 1], 1 for the first document; None
    where none did. Judges work side by side, each with as many questions under way as it takes.
    Blocks until all is done, so it is not for a running event loop.

    Args:
        pairs: file of `records.Pairs`.
        candidates: file of `records.Candidates`, with the texts.
        judges: with different names; released at the end.
        out: file of `records.Preferences`, written when every pair was judged.
        journal: where votes are kept.
        budget: what may be spent; default, no bound. See `Ledger` for how it is kept.
        prices: by judge.
        on_stage: told of each judge, and counts pairs, or queries for a judge that scores.

    Raises:
        InputError: a file, a name or a price is not as it must be; nothing was asked then.
        BudgetError: the budget is spent. Nothing is written; what was judged is in the journal.
        ScoringError: a judge failed. The same holds.
    """
    if not isinstance(candidates, CandidateFile):
        candidates = CandidateFile(candidates)
    judges = list(judges)
    every = _votes(judges, journal)
    work = _Work(pairs, candidates, every, on_stage or (lambda _: lambda done, total: None))
    try:
        history = {one.judge.name: one.history() for one in every}
        ledger = Ledger(judges, history, prices or {}, budget or Budget())
        work.count()
        asyncio.run(work.ask(ledger))
    finally:
        for one in judges:
            one.release()
    poll = Poll([one.name for one in judges])
    written = write_records(out, work.preferences(poll))
    reports = {
        one.name: JudgeReport(poll.share(one.name), ledger.took[one.name], ledger.usd(one.name))
        for one in judges
    }
    return Judged(written, work.pairs, reports, poll.share(), tuple(poll.agreement()))


def mean(votes: Sequence[float | None]) -> float | None:
    """Return the mean of the votes that were given, whatever their order; None without any."""
    given = [vote for vote in votes if vote is not None]
    if not given:
        return None
    # fsum rounds once; the quotient may still leave the votes' range by its last bit
    return min(max(math.fsum(given) / len(given), min(given)), max(given))


def _votes(judges: Sequence[Judge], journal: Journal) -> list[Votes]:
    """Where the votes of each judge are kept, which must differ, as must the names."""
    if not judges:
        raise InputError("there is no judge; give at least one")
    names = [one.name for one in judges]
    identities = [dict(one.identity) for one in judges]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InputError(f"two judges are named {name!r}; give them different names")
        if identities[place] in identities[:place]:
            raise InputError(f"judge {name!r} is another one under a second name; leave one out")
    return [votes_of(one, journal) for one in judges]


class _Work:
    """The pairs that are to be judged, by all judges."""

    def __init__(
        self, path: AnyPath, candidates: CandidateFile, votes: Sequence[Votes], tell: Stage
    ) -> None:
        self.pairs = 0
        self._path, self._candidates, self._votes, self._tell = path, candidates, votes, tell
        self._units = dict.fromkeys((one.judge.name for one in votes), 0)

    def count(self) -> None:
        """Read all pairs once, so that an unknown id is told before anything is paid for."""
        for _, pairs in self._lines():
            self.pairs += len(pairs)
            for one in self._votes:
                self._units[one.judge.name] += len(one.units(pairs))

    async def ask(self, ledger: Ledger) -> None:
        """Let all judges answer."""
        desks = [
            _Desk(one, ledger, self._tell(name), self._units[name])
            for one in self._votes
            for name in [one.judge.name]
        ]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(desk.work(self._lines())) for desk in desks]
        except BaseExceptionGroup as failed:  # the others were cancelled; the first says why
            raise failed.exceptions[0] from None
        if not all(task.result() for task in tasks):
            raise ledger.spent()

    def preferences(self, poll: Poll) -> Iterator[Preferences]:
        """Yield what was judged, in the order of the pairs, and count it."""
        for record, pairs in self._lines():
            votes = {one.judge.name: one.of(pairs) for one in self._votes}
            means = [mean(said) for said in zip(*votes.values(), strict=True)]
            poll.add(pairs, votes, means)
            yield Preferences(
                query=record.query,
                against=record.against,
                pairs=record.pairs,
                preferences=means,
                votes=votes,
            )

    def _lines(self) -> Iterator[Line]:
        return lines(self._path, self._candidates)


class _Desk:
    """One judge at work: as many units under way as it takes, and as the budget allows."""

    def __init__(self, votes: Votes, ledger: Ledger, progress: Progress, total: int) -> None:
        self._votes: Any = votes  # its units are its own kind
        self._judge = votes.judge
        self._ledger = ledger
        self._progress, self._total, self._done = progress, total, 0
        self._prepared = False
        self._under_way: dict[str, asyncio.Task[None]] = {}
        progress(0, total)  # it has begun: judges work side by side

    async def work(self, asked: Iterator[Line]) -> bool:
        """Ask about everything that was not answered; False if the budget did not allow it."""
        try:
            allowed = await self._begin_all(asked)
            while self._under_way:
                await self._settle()
        except BaseException:
            for task in self._under_way.values():
                task.cancel()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)
            raise
        return allowed

    async def _begin_all(self, asked: Iterator[Line]) -> bool:
        for _, pairs in asked:
            await asyncio.sleep(0)  # a journal full of answers must not hold up the others
            for unit in self._votes.units(pairs):
                if not await self._begin(unit):
                    return False
        return True

    async def _begin(self, unit: Any) -> bool:
        key = self._votes.key(unit)
        while key in self._under_way or len(self._under_way) >= self._judge.concurrency:
            await self._settle()
        if self._votes.has(unit):
            self._count()
            return True
        if not self._prepared:
            await asyncio.to_thread(self._judge.prepare)
            self._prepared = True
        while not self._ledger.allows(self._judge.name):
            if not self._under_way:
                return False
            await self._settle()
        self._ledger.begin(self._judge.name)
        self._under_way[key] = asyncio.create_task(self._ask(unit))
        return True

    async def _ask(self, unit: Any) -> None:
        try:
            took = await self._votes.ask(unit)
        except ZeloError as error:
            error.add_note(f"judge {self._judge.name}, {self._votes.where(unit)}")
            raise
        self._ledger.end(self._judge.name, took)
        self._count()

    async def _settle(self) -> None:
        """Wait until something that is under way has come to its end."""
        await asyncio.wait(self._under_way.values(), return_when=asyncio.FIRST_COMPLETED)
        for key, task in [*self._under_way.items()]:
            if task.done():
                del self._under_way[key]
                task.result()

    def _count(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)
