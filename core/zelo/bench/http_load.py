"""Clients of a server: each request timed, and each answer compared with the expected scores."""

import asyncio
import itertools
import json
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpx

from zelo.bench.http_results import Exchange, Load, Overload, Throughput, Verdict
from zelo.reranker import Reranker
from zelo.wire import DIALECTS

__all__ = ["LONGEST_WAIT_S", "Client", "Work", "keep_busy", "overrun", "score_alone"]

DIALECT = DIALECTS["zelo"]
LONGEST_WAIT_S = 300.0
"""After this long without an answer a request counts as lost."""


@dataclass(frozen=True, slots=True)
class Work:
    """One request: texts, and the logits that they must get."""

    query: str
    documents: tuple[str, ...]
    logits: tuple[float, ...]

    def body(self, model: str | None) -> bytes:
        """Return what is posted."""
        content = {"model": model, "query": self.query, "documents": self.documents}
        return json.dumps(content, ensure_ascii=False).encode()


class Client:
    """Sends requests to one server and judges what comes back.

    Args:
        http: connections, without limits of their own.
        work: requests, sent in turn.
        model: what the server calls its model; None for its first.
        tolerance: largest difference between two logits of the same text.
    """

    def __init__(
        self, http: httpx.AsyncClient, work: Sequence[Work], model: str | None, tolerance: float
    ) -> None:
        self._http = http
        self._work = work
        self._bodies = [one.body(model) for one in work]
        self._tolerance = tolerance

    async def send(self, number: int, due: float) -> Exchange:
        """Send one of the requests, due at this `time.perf_counter()`."""
        place = number % len(self._work)
        headers = {"content-type": "application/json"}
        try:
            got = await self._http.post(DIALECT.path, content=self._bodies[place], headers=headers)
        except httpx.HTTPError as error:
            return Exchange("lost", time.perf_counter() - due, type(error).__name__)
        seconds = time.perf_counter() - due
        return Exchange(self._verdict(got, self._work[place]), seconds, str(got.status_code))

    def _verdict(self, got: httpx.Response, work: Work) -> Verdict:
        if got.status_code != 200:
            return "refused" if got.status_code == 429 else "lost"
        try:
            scores = DIALECT.scores(got.json())
        except ValueError:  # no JSON, or none of the dialect
            return "wrong"
        found = [score.logit for score in sorted(scores, key=lambda score: score.index)]
        places = sorted(score.index for score in scores)
        if places != list(range(len(work.logits))):
            return "wrong"
        off = (
            abs((math.nan if a is None else a) - b) for a, b in zip(found, work.logits, strict=True)
        )
        return "right" if all(one <= self._tolerance for one in off) else "wrong"


async def keep_busy(client: Client, clients: int, seconds: float, documents: int) -> Load:
    """Let so many clients send one request after the other, each its own, for so many seconds."""
    exchanges: list[Exchange] = []

    async def ask(number: int) -> None:
        exchanges.append(await client.send(number, time.perf_counter()))

    took = await _in_turns(ask, clients, seconds)
    return Load(tuple(exchanges), took, documents)


async def score_alone(
    reranker: Reranker, work: Sequence[Work], clients: int, seconds: float
) -> Throughput:
    """Do what `keep_busy` does, in this process."""
    scored = 0

    async def ask(number: int) -> None:
        nonlocal scored
        one = work[number % len(work)]
        found = await reranker.ascore(one.query, one.documents)
        scored += len(found)  # not in one line: that would read it before the wait

    took = await _in_turns(ask, clients, seconds)
    return Throughput(scored, took)


async def overrun(
    client: Client, rate: float, seconds: float, documents: int, full_queue_seconds: float
) -> Overload:
    """Send requests at a steady rate, per second, whether or not earlier ones were answered."""
    start = time.perf_counter()
    sent = []
    for number in range(max(1, math.ceil(rate * seconds))):
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        sent.append(asyncio.create_task(client.send(number, due)))
    exchanges = await asyncio.gather(*sent)
    took = time.perf_counter() - start
    return Overload(tuple(exchanges), took, documents, rate, full_queue_seconds)


async def _in_turns(ask: Callable[[int], Awaitable[None]], clients: int, seconds: float) -> float:
    """Let clients ask until the time is up; return the seconds until the last was answered."""
    start = time.perf_counter()

    async def client(number: int) -> None:
        for turn in itertools.count():
            await ask(number + turn * clients)
            if time.perf_counter() - start >= seconds:
                return

    await asyncio.gather(*(client(number) for number in range(clients)))
    return time.perf_counter() - start
