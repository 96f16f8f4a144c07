"""The Ray Serve example: replicas under load that die, are replaced, updated and multiplied."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from ray_serving import Cluster

from zelo import Reranker
from zelo.errors import ZeloError

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.timeout(600),  # clusters start slowly where others are at work
    pytest.mark.usefixtures("only_cluster"),
]

MODEL = "zelo-nano"
CLIENTS = 6  # fewer than the retries that a client has in reserve
QUERIES = ("how is the water of the river", "an old bridge", "when was it built")
DOCUMENTS = [f"the water of bridge {i} is {'cold ' * (i % 7)}" for i in range(80)]
"""So many that a request takes a while, and each replica has some under way at any time."""
ENOUGH = 2 * CLIENTS
"""Answers until the load is in full flow, or again after a change."""
TOKENS = 100_000  # far above what the clients have under way
PATIENCE_S = 250.0  # for machines with other work


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two replicas, and room for a third."""
    replicas = {"min_replicas": 2, "max_replicas": 3, "tokens_per_replica": TOKENS}
    with Cluster(model=MODEL, timeout_s=PATIENCE_S, **replicas) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def expected() -> dict[str, list[float]]:
    """What the model says in this process."""
    with Reranker(MODEL, device="cpu") as local:
        return {query: local.score(query, DOCUMENTS) for query in QUERIES}


class Load:
    """Clients that ask without a pause, and what came of it."""

    def __init__(self, address: str, expected: dict[str, list[float]], max_retries: int) -> None:
        self._reranker = Reranker(
            MODEL, base_url=address, max_retries=max_retries, timeout=PATIENCE_S
        )
        self._expected = expected
        self._going_on = True
        self.answers = 0
        self.failures: list[ZeloError] = []
        self.wrong = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """Ask until the block ends; then every request that was sent is waited for."""
        with self._reranker:
            async with asyncio.TaskGroup() as tasks:
                for number in range(CLIENTS):
                    tasks.create_task(self._ask(number))
                try:
                    await self.answered(ENOUGH)
                    yield self
                finally:
                    self._going_on = False

    async def answered(self, more: int) -> None:
        """Wait for so many more answers."""
        so_far = self.answers
        await until(lambda: self.answers >= so_far + more or bool(self.failures))

    async def _ask(self, number: int) -> None:
        query = QUERIES[number % len(QUERIES)]
        while self._going_on:
            try:
                scores = await self._reranker.ascore(query, DOCUMENTS)
            except ZeloError as error:
                self.failures.append(error)
                return
            self.answers += 1
            self.wrong += scores != pytest.approx(self._expected[query], abs=1e-5)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; the test's own timeout ends what never is."""
    while not condition():
        await asyncio.sleep(0.05)


async def replaced(cluster: Cluster, old: set[int]) -> None:
    """Wait until none of these processes is left, and there are two again."""
    now = old
    while now & old or len(now) < 2:
        now = await asyncio.to_thread(cluster.replicas)


async def test_killed_replica_costs_no_answer(cluster, expected, caplog):
    """A replica that dies with requests under way is replaced; its clients ask again, and get
    the scores that the model gives in this process."""
    victim = min(cluster.replicas())
    with caplog.at_level(logging.WARNING, "zelo"):
        async with Load(cluster.address, expected, max_retries=2).running() as load:
            os.kill(victim, signal.SIGKILL)
            await replaced(cluster, {victim})
            await load.answered(ENOUGH)
    assert not load.failures
    assert not load.wrong
    assert any("tried again" in message for message in caplog.messages)


async def test_rolling_update_needs_no_second_attempt(cluster, expected):
    """Under load all replicas change, and a client that never asks twice gets every answer."""
    before = cluster.replicas()
    async with Load(cluster.address, expected, max_retries=0).running() as load:
        await asyncio.to_thread(cluster.run, timeout_s=PATIENCE_S - 1)
        await replaced(cluster, before)
        await load.answered(ENOUGH)
    assert not load.failures
    assert not load.wrong
    async with httpx.AsyncClient(base_url=cluster.address, timeout=PATIENCE_S) as client:
        assert (await client.get("/info")).json()["limits"]["timeout_s"] == PATIENCE_S - 1


async def test_queued_tokens_start_a_replica(cluster):
    """More tokens under way than two replicas should have start a third, though requests are few;
    who gives up takes the work back."""
    assert len(cluster.replicas()) == 2
    long = [f"bridge {i}: " + "the water of the river is cold " * 100 for i in range(1_000)]
    async with httpx.AsyncClient(base_url=cluster.address, timeout=PATIENCE_S) as client:
        body = {"query": QUERIES[0], "documents": long}
        asked = [asyncio.create_task(client.post("/v1/rerank", json=body)) for _ in range(2)]
        while len(await asyncio.to_thread(cluster.replicas)) < 3:
            await asyncio.sleep(0.2)
            assert not any(task.done() for task in asked)
        for task in asked:
            task.cancel()
        await asyncio.wait(asked)
