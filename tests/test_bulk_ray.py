"""Bulk scoring on real Ray: the same rows, whichever process is killed.

One flow for all of them, because clusters take long to start: a driver with two workers begins, an
actor is killed, then the driver itself; another driver finishes. What the tests look at was noted
on the way. Only processes that this file started, found as children of its drivers, are killed.
"""

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest
from bulk_kit import HERE, assert_same, pairs, parts_of, write_rows
from ray_serving import BUSY_MACHINE

from zelo import InputError, ScoringError
from zelo.bulk import score
from zelo.bulk.asked import Asked
from zelo.bulk.blocks import Block
from zelo.bulk.layout import Wishes
from zelo.bulk.ledger import Names
from zelo.bulk.on_ray import BLOCKS_AHEAD, MOST_TRIES, BlockActor
from zelo.bulk.worker import Job

BLOCKS, ROWS, WORKERS = 24, 6, 2
LONGEST = 200  # seconds until a wait gives up

pytestmark = [
    pytest.mark.timeout(600),  # clusters start slowly where others are at work
    pytest.mark.usefixtures("only_cluster"),
]
DRIVER = """
import json, sys
from dataclasses import asdict
from zelo.bulk import score

path, output, model, options = json.loads(sys.argv[1])
print(json.dumps(asdict(score(path, output, model, **options))))
"""


class Work(NamedTuple):
    """What a driver is told."""

    path: Path
    output: Path
    model: Path

    def options(self, **more: Any) -> dict[str, Any]:
        return {"reranker": HERE, "block_rows": ROWS, **more}


class Flow(NamedTuple):
    """What was seen when processes were killed."""

    work: Work
    when_actor_died: dict[str, int]
    when_driver_died: dict[str, int]
    in_flight: int
    """Parts that were written by workers that outlived their driver, until they ended too."""
    at_the_end: dict[str, int]
    result: dict[str, Any]
    left: list[psutil.Process]
    """Processes of either cluster that were alive a while after the end."""


@pytest.fixture(scope="module")
def flow(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """Kill an actor and a driver, and let another driver finish."""
    folder = tmp_path_factory.mktemp("ray")
    path = write_rows(folder / "in.parquet", pairs(queries=BLOCKS, each=ROWS))
    work = Work(path, folder / "out", tiny_model)
    sockets = Path(tempfile.mkdtemp(prefix="zelo-ray-"))  # Ray's sockets need a short path
    started: list[psutil.Process] = []
    drivers: list[subprocess.Popen[str]] = []
    chance = random.Random(5)  # noqa: S311
    try:
        driver = at_work(work, sockets, drivers)
        wait_for(lambda: len(times(work.output)) >= 3, driver, log_of(work))
        actor = chance.choice(actors_of(driver))
        actor.kill()
        first = times(work.output)
        wait_for(lambda: len(times(work.output)) >= len(first) + 5, driver, log_of(work))
        started += children_of(driver)
        driver.kill()
        driver.communicate()
        second = times(work.output)
        _, alive = psutil.wait_procs(started, timeout=LONGEST)
        stopped = times(work.output)
        driver = at_work(work, sockets, drivers)
        started += children_of(driver)
        out, _ = driver.communicate(timeout=LONGEST)
        _, alive = psutil.wait_procs(started, timeout=LONGEST)
        flow = Flow(
            work,
            first,
            second,
            len(stopped) - len(second),
            times(work.output),
            json.loads(out),
            alive,
        )
        assert stopped.items() >= second.items()
        yield flow
    finally:
        for driver in drivers:
            with driver:
                driver.kill()
        for process in psutil.wait_procs(started, timeout=0)[1]:
            process.kill()
        shutil.rmtree(sockets, ignore_errors=True)


def at_work(
    work: Work, sockets: Path, drivers: "list[subprocess.Popen[str]]"
) -> "subprocess.Popen[str]":
    """Start a driver, and wait until its actors are there.

    Ray gives a node 30 seconds to start, which on a busy machine are not always enough.
    """
    end = time.monotonic() + LONGEST
    while True:
        drivers.append(driver := start(work, sockets))
        while driver.poll() is None and time.monotonic() < end:
            if actors_of(driver):
                return driver
            time.sleep(0.05)
        told = log_of(work).read_text(errors="replace")[-2000:]
        assert "could not be reached or started" in told, told
        assert time.monotonic() < end, told


def start(work: Work, sockets: Path) -> "subprocess.Popen[str]":
    """Start a driver, with a cluster of its own."""
    told = [str(work.path), str(work.output), str(work.model), work.options(ray=True, workers=2)]
    with log_of(work).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, json.dumps(told)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | BUSY_MACHINE | {"RAY_TMPDIR": str(sockets)},
        )


def log_of(work: Work) -> Path:
    """Return where a driver's errors go."""
    return work.output.with_name("driver.log")


def wait_for(happened: Callable[[], bool], driver: "subprocess.Popen[str]", log: Path) -> None:
    """Wait until something has happened, while the driver is at work."""
    end = time.monotonic() + LONGEST
    while not happened():
        assert driver.poll() is None, log.read_text(errors="replace")[-2000:]
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


def actors_of(driver: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the worker processes of a driver's cluster that do blocks."""
    found = []
    for process in children_of(driver):
        with suppress(psutil.Error):  # it has ended meanwhile
            if "BlockActor" in " ".join(process.cmdline()):
                found.append(process)
    return found


def children_of(driver: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return all that a driver started, and what that started."""
    with suppress(psutil.Error):
        return list(psutil.Process(driver.pid).children(recursive=True))
    return []


def times(output: Path) -> dict[str, int]:
    """Return the parts that count, and when each was written."""
    done = {mark.stem for mark in (output / "_zelo" / "done").glob("*.json")}
    parts = [part for part in parts_of(output) if part.stem.removeprefix("part-") in done]
    return {part.name: part.stat().st_mtime_ns for part in parts}


def test_no_row_is_lost_or_doubled(flow: Flow, tmp_path: Path) -> None:
    """The output is that of the same call without Ray, in order."""
    alone = score(flow.work.path, tmp_path / "alone", str(flow.work.model), **flow.work.options())
    assert_same(flow.work.output, tmp_path / "alone", BLOCKS * ROWS)
    assert flow.result["rows"] == alone.rows == BLOCKS * ROWS
    assert flow.result["blocks"] == len(flow.at_the_end) == BLOCKS


def test_what_was_done_is_not_done_again(flow: Flow) -> None:
    """Neither after the actor's death nor after the driver's was a finished part touched."""
    assert len(flow.when_actor_died) >= 3
    assert len(flow.when_driver_died) >= len(flow.when_actor_died) + 5
    assert flow.when_driver_died.items() >= flow.when_actor_died.items()
    assert flow.at_the_end.items() >= flow.when_driver_died.items()
    before = flow.result["blocks_before"]
    assert before == len(flow.when_driver_died) + flow.in_flight
    assert before < BLOCKS


def test_at_most_what_was_in_flight_is_repeated(flow: Flow) -> None:
    """An actor has one block in work, so each kill costs as many blocks as it hit actors."""
    tries = [
        json.loads(mark.read_bytes())["tries"]
        for mark in (flow.work.output / "_zelo" / "done").glob("*.json")
    ]
    assert len(tries) == BLOCKS
    assert sum(tries) - BLOCKS <= 1  # one actor was killed
    assert flow.in_flight <= WORKERS * BLOCKS_AHEAD
    assert flow.result["blocks_again"] == 0


def test_nothing_is_left_running(flow: Flow) -> None:
    """The cluster ends with its driver, also with one that was killed."""
    assert flow.left == []


@pytest.mark.parametrize(
    ("inputs", "options", "told"),
    [
        ("memory://in/a.jsonl", {}, "this process alone"),
        (None, {"reranker": {"device": "cuda:1"}}, "leave the number out"),
    ],
)
def test_what_workers_cannot_reach_is_refused(
    tiny_model: Path, tmp_path: Path, inputs: str | None, options: Any, told: str
) -> None:
    """Before a cluster is started."""
    import fsspec

    line = b'{"query": "a", "document": "b"}\n'
    fsspec.filesystem("memory").pipe("/in/a.jsonl", line)
    (tmp_path / "a.jsonl").write_bytes(line)
    given = {"reranker": HERE} | options
    with pytest.raises(InputError, match=told):
        score(inputs or tmp_path / "a.jsonl", tmp_path / "out", str(tiny_model), ray=True, **given)


def test_a_block_that_kills_every_worker_is_given_up(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would begin it again for ever; the error says which rows, and nothing is written.

    The actor is called here, without a cluster: its fifth try is what matters.
    """
    import ray

    class Begun:
        begin = SimpleNamespace(remote=lambda block: MOST_TRIES + 1)

    monkeypatch.setattr(ray, "get", lambda answer: answer)
    path = write_rows(tmp_path / "in.jsonl", pairs(queries=1))
    wishes = Wishes({}, ids=False, logit=False)
    asked = Asked.of(path, tmp_path / "out", str(tiny_model), HERE, None, wishes, {})
    actor = BlockActor(Job(asked, Names(1, ".jsonl"), None, skip_bad=False), Begun())
    outcome = actor({"block": np.array([json.dumps(Block(0, 0, 1, 5, 5, 0, 900))])})["outcome"]
    error, _ = pickle.loads(outcome[0])  # noqa: S301  our own
    assert isinstance(error, ScoringError)
    assert "4 workers died over block 0, rows 1 to 5 of file 1" in str(error)
    assert not (tmp_path / "out").exists()
