"""A server for a long while: requests of all sizes, cancelled ones, bad ones, and nothing grows.

Every answer is compared with the in-process scores. In the end the queue must be empty, no
connection be left, and memory, over the second half of the time, not grow.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from served import ZELO, Process, body, sample, until

from zelo import RemoteError, Reranker

MODEL, KEY = "zelo-nano", "a-key-of-the-soak"
WORKERS = 8
SIZES = ((1, 5), (5, 20), (20, 200), (100, 30), (3, 2_000))
"""Documents of a request, and words of the longest of them."""
LARGEST_SLOPE = 1.0
"""MiB per minute: below what allocators drift in ten minutes, far above what one leaked request a
second would add."""
TOLERANCE = 1e-5


class Ask(NamedTuple):
    """A request with the scores that it must get."""

    query: str
    documents: list[str]
    scores: list[float]


def requests(reranker: Reranker, count: int = 40) -> list[Ask]:
    """Return requests of all sizes."""
    chance = random.Random(0)  # noqa: S311 - no secret
    words = "water river stone bridge cold town old file json read path open sea north".split()
    found = []
    for number in range(count):
        size, longest = SIZES[number % len(SIZES)]
        documents = [
            " ".join(chance.choices(words, k=chance.randint(0, longest))) for _ in range(size)
        ]
        query = " ".join(chance.choices(words, k=4))
        found.append(Ask(query, documents, reranker.score(query, documents)))
    return found


class Soak:
    """Workers that send whatever chance wants, until the time is up."""

    def __init__(self, address: str, asks: list[Ask], seconds: float) -> None:
        self.counts: Counter[str] = Counter()
        self._address = address
        self._asks = asks
        self._end = time.monotonic() + seconds
        self._chance = random.Random(1)  # noqa: S311 - no secret
        self._client = Reranker(
            MODEL, base_url=address, api_key=KEY, dialect="zelo", max_retries=0, timeout=300.0
        )

    async def run(self) -> None:
        """Send until the end."""
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(
            base_url=self._address, headers=headers, timeout=300
        ) as self._http:
            await asyncio.gather(*(self._worker() for _ in range(WORKERS)))
        self._client.close()

    async def _worker(self) -> None:
        deeds: list[Callable[[], Awaitable[str]]] = [self._right, self._cancelled, self._bad]
        while time.monotonic() < self._end:
            (deed,) = self._chance.choices(deeds, weights=(5, 2, 3))
            self.counts[await deed()] += 1

    async def _right(self) -> str:
        ask = self._chance.choice(self._asks)
        try:
            found = await self._client.ascore(ask.query, ask.documents)
        except RemoteError as error:
            return f"failed: {error.status}"
        off = max(abs(a - b) for a, b in zip(found, ask.scores, strict=True))
        return "right" if off <= TOLERANCE else "wrong"

    async def _cancelled(self) -> str:
        ask = self._chance.choice(self._asks)
        call = self._client.ascore(ask.query, ask.documents)
        try:
            await asyncio.wait_for(call, self._chance.uniform(0.0, 0.3))
        except TimeoutError:
            return "cancelled"
        return "right before it was cancelled"

    async def _bad(self) -> str:
        ask = self._chance.choice(self._asks)
        good = body(ZELO, ask.query, ask.documents, model=MODEL)
        post = self._http.post
        status, got = await self._chance.choice(
            [
                lambda: _status(400, post(ZELO, content=b'{"query', headers=JSON)),
                lambda: _status(401, post(ZELO, json=good, headers={"Authorization": "Bearer x"})),
                lambda: _status(404, post(ZELO, json=good | {"model": "another"})),
                lambda: _status(413, post(ZELO, json=good | {"documents": ["a"] * 1_001})),
                lambda: _status(415, post(ZELO, content=b"query=1")),
                lambda: _status(422, post(ZELO, json=good | {"documents": [7]})),
                lambda: _status(422, post(ZELO, json=good | {"query": " "})),
            ]
        )()
        return "refused" if status == got else f"failed: {got} instead of {status}"


JSON = {"content-type": "application/json"}


async def _status(expected: int, answer: Awaitable[httpx.Response]) -> tuple[int, int]:
    return expected, (await answer).status_code


async def watch(server: psutil.Process, samples: list[tuple[float, float]]) -> None:
    """Note the server's resident memory in MiB twice a second, until cancelled."""
    start = time.monotonic()
    while True:
        samples.append((time.monotonic() - start, server.memory_info().rss / 2**20))
        await asyncio.sleep(0.5)


def slope(samples: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the linear fit over the second half: MiB per minute, and its standard error."""
    half = np.array(samples[len(samples) // 2 :])
    minutes, memory = half[:, 0] / 60, half[:, 1]
    (found, base) = np.polyfit(minutes, memory, 1)
    rest = memory - (found * minutes + base)
    spread = np.sum((minutes - minutes.mean()) ** 2)
    return float(found), float(np.sqrt(np.sum(rest**2) / max(1, len(half) - 2) / spread))


async def idle(address: str, server: psutil.Process) -> None:
    """Wait until nothing is under way or connected; what stays ends in this job's time limit."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as client:
        for name in ("zelo_queue_tokens", "zelo_requests_under_way"):
            while sample((await client.get(f"{address}/metrics")).text, name):
                await asyncio.sleep(0.1)
    await until(lambda: all(c.status != "ESTABLISHED" for c in server.net_connections()))


async def soak(seconds: float) -> tuple[Counter[str], list[tuple[float, float]], list[str]]:
    """Run it; return what came of the requests, memory over time, and what the server logged."""
    with Reranker(MODEL, device="cpu") as reranker:
        asks = requests(reranker)
    with Process(MODEL, "--api-key", KEY, "--timeout", 300) as process:
        address = await process.address()
        server = psutil.Process(process._process.pid)
        samples: list[tuple[float, float]] = []
        work = Soak(address, asks, seconds)
        watching = asyncio.create_task(watch(server, samples))
        await work.run()
        watching.cancel()
        async with asyncio.timeout(60):
            await idle(address, server)
        unexpected = [line for line in process.errors if '"unexpected"' in line]
    return work.counts, samples, unexpected


def main() -> None:
    """Soak a server and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    counts, samples, unexpected = asyncio.run(soak(options.seconds))
    found, error = slope(samples)
    table = Table("", "", title=f"Soak of {options.seconds:g} s", show_header=False)
    for name, count in sorted(counts.items()):
        table.add_row(f"requests {name}", f"{count:,}")
    table.add_row("memory at half time, MiB", f"{samples[len(samples) // 2][1]:.1f}")
    table.add_row("memory at the end, MiB", f"{samples[-1][1]:.1f}")
    table.add_row("slope, MiB a minute", f"{found:+.2f} (standard error {error:.2f})")
    table.add_row("queue and connections at the end", "0")
    Console().print(table)
    faults = [name for name in counts if name == "wrong" or name.startswith("failed")]
    if faults or unexpected:
        raise SystemExit(f"faults: {faults} {unexpected[:2]}")
    if found - 2 * error > LARGEST_SLOPE:  # more than chance
        raise SystemExit(f"memory grows by more than {LARGEST_SLOPE:g} MiB a minute")


if __name__ == "__main__":
    main()
