"""Threads, event loops, processes: one pool each, cancelled, closed, forgotten, pickled."""

import asyncio
import copy
import gc
import pickle
import subprocess
import sys
import threading
import warnings

import httpx
import psutil
import pytest
from llama_index.core.async_utils import asyncio_run

from zelo import ClosedError, Reranker, ScoringError
from zelo.remote.single import Once

KEY = "sk-zelo-5ecre7"
QUERY = "how is the water of the river"
DOCUMENTS = ["the water is cold", "stone bridges in the old town", "read a file in Python"]
GATEWAY = {"dialect": "gateway", "score_scale": "probability"}


@pytest.fixture(scope="module")
def expected(local):
    return pytest.approx(local.score(QUERY, DOCUMENTS), abs=1e-4)


@pytest.fixture
def server(running):
    return running.play("gateway")


def ended():
    """Collect what is not used any more; a socket left open is a warning, and so an error."""
    gc.collect()


def test_several_loops_in_a_row(server, expected):
    """One reranker serves one event loop after the other, and leaves no socket behind."""
    with Reranker("zerank-2", base_url=server.url, **GATEWAY) as remote:
        for _ in range(3):
            assert asyncio.run(remote.ascore(QUERY, DOCUMENTS)) == expected
    ended()


def test_loops_that_are_only_closed(server, expected):
    """Loops that are closed without being shut down, as LlamaIndex's are, leave no socket open."""
    sockets = []

    async def main():
        for _ in range(50):
            assert asyncio_run(remote.ascore(QUERY, DOCUMENTS)) == expected
            sockets.append(psutil.Process().num_fds())

    with Reranker("zerank-2", base_url=server.url, **GATEWAY) as remote:
        asyncio.run(main())
    assert max(sockets[5:]) <= max(sockets[:5])
    ended()


def test_a_look_in_a_loop_that_was_closed(server):
    """Who looks for all in a loop that is closed meanwhile keeps nobody waiting."""
    once, looks = Once(), asyncio.Event()

    async def never():
        looks.set()
        await asyncio.Event().wait()

    async def found():
        return "found"

    loop = asyncio.new_event_loop()
    task = loop.create_task(once.afind(never))
    loop.run_until_complete(looks.wait())
    loop.close()
    assert asyncio.run(once.afind(found)) == "found"
    assert asyncio.run(once.afind(never)) == "found"
    task._log_destroy_pending = False  # its loop was closed, so nobody can end it


def test_nothing_is_printed_at_exit(server):
    """A program in a patched loop, as in notebooks, that closes nothing ends without a word."""
    program = f"""
import asyncio, nest_asyncio
from zelo import Reranker

remote = Reranker("zerank-2", base_url={server.url!r}, **{GATEWAY!r})

async def main():
    print(len(await remote.ascore("q", ["a", "b"])))

nest_asyncio.apply()
asyncio.run(main())  # it neither shuts its loop down nor closes it
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_loops_in_threads(server, expected):
    """Event loops of several threads and callers that wait share one reranker."""
    found = []
    with Reranker("zerank-2", base_url=server.url, **GATEWAY) as remote:

        async def several():
            return await asyncio.gather(*[remote.ascore(QUERY, DOCUMENTS) for _ in range(5)])

        def loop():
            found.extend(asyncio.run(several()))

        def waiting():
            found.append(remote.score(QUERY, DOCUMENTS))

        threads = [threading.Thread(target=work) for work in [loop, waiting] * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 18
    assert all(scores == expected for scores in found)
    ended()


def test_waiting_inside_a_running_loop(server, expected):
    """A call that waits works inside a running loop too; it only blocks it."""

    async def main():
        return remote.score(QUERY, DOCUMENTS)

    with Reranker("zerank-2", base_url=server.url, **GATEWAY) as remote:
        assert asyncio.run(main()) == expected


@pytest.mark.parametrize("close", [True, False], ids=["closed", "forgotten"])
@pytest.mark.parametrize("where", ["waiting", "in the loop", "after the loop"])
def test_nothing_is_left_open(server, expected, where, close):
    """Closed or forgotten, in or outside of its loop, a reranker leaves no socket open."""

    async def main(remote):
        found = await remote.ascore(QUERY, DOCUMENTS)
        if close and where == "in the loop":
            remote.close()
        return found

    remote = Reranker("zerank-2", base_url=server.url, **GATEWAY)
    found = remote.score(QUERY, DOCUMENTS) if where == "waiting" else asyncio.run(main(remote))
    assert found == expected
    if close:
        remote.close()
    del remote
    ended()


def test_closing_for_a_loop_that_waits(server):
    """A loop that is not running when the reranker is closed closes its connections at its end."""
    with warnings.catch_warnings(), asyncio.Runner() as runner:
        warnings.simplefilter("error")
        remote = Reranker("zerank-2", base_url=server.url, **GATEWAY)
        runner.run(remote.ascore(QUERY, DOCUMENTS))
        remote.close()
    ended()


def test_use_after_closing_is_an_error(server):
    """A closed reranker says so, to those who wait and those who await; closing twice is fine."""
    remote = Reranker("zerank-2", base_url=server.url, **GATEWAY)
    remote.score(QUERY, DOCUMENTS)
    remote.close()
    remote.close()
    with pytest.raises(ClosedError, match="was closed"):
        remote.score(QUERY, DOCUMENTS)
    with pytest.raises(ClosedError, match="was closed"):
        asyncio.run(remote.ascore(QUERY, DOCUMENTS))
    assert len(server.asked) == 1


def test_closing_under_a_call_is_a_typed_end(server, expected):
    """Who closes a reranker while it scores gets scores there, or a typed error."""
    outcomes = []
    server.pause = lambda asked: 0.2
    remote = Reranker("zerank-2", base_url=server.url, **GATEWAY)

    def call():
        try:
            outcomes.append(remote.score(QUERY, DOCUMENTS) == expected)
        except ScoringError:
            outcomes.append(True)

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    while not server.scoring:
        pass
    remote.close()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 12


def test_cancelling_closes_the_request(server):
    """A cancelled call's request is broken off, so that the server can drop it."""
    server.pause = lambda asked: 30.0

    async def main():
        with Reranker("zerank-2", base_url=server.url, **GATEWAY) as remote:
            call = asyncio.create_task(remote.ascore(QUERY, DOCUMENTS))
            while not server.scoring:
                await asyncio.sleep(0.005)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(server.dropped.wait, 20)

    asyncio.run(main())
    ended()


def test_a_cancelled_call_hurts_no_other(server, expected):
    """Calls beside a cancelled one get their scores."""
    server.pause = lambda asked: 0.1

    async def main():
        with Reranker("zerank-2", base_url=server.url, **GATEWAY) as remote:
            calls = [asyncio.create_task(remote.ascore(QUERY, DOCUMENTS)) for _ in range(6)]
            while len(server.scoring) < 6:
                await asyncio.sleep(0.005)
            for call in calls[::2]:
                call.cancel()
            return await asyncio.gather(*calls, return_exceptions=True)

    found = asyncio.run(main())
    assert all(scores == expected for scores in found[1::2])
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in found[::2])


def test_awaiting_holds_one_thread(server):
    """Many awaited calls at once share one thread of the client's."""
    server.pause = lambda asked: 0.2

    async def main():
        with Reranker("zerank-2", base_url=server.url, **GATEWAY) as remote:
            await remote.ascore(QUERY, DOCUMENTS)  # reads certificates, once
            calls = asyncio.gather(*[remote.ascore(QUERY, DOCUMENTS) for _ in range(20)])
            while len(server.scoring) < 20:
                await asyncio.sleep(0.005)
            during = set(threading.enumerate())
            await calls
            return during

    before = set(threading.enumerate())
    started = [thread.name for thread in asyncio.run(main()) - before]
    assert [name for name in started if name.startswith("zelo")] == ["zelo-pool"]


COPIES = {
    "pickle": lambda reranker: pickle.loads(pickle.dumps(reranker)),  # noqa: S301 - our own bytes
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_scores_with_the_environments_key(running, expected, monkeypatch, copied):
    """A copy carries the settings, and takes the key of the environment that it wakes up in."""
    server = running.play("gateway", key="sk-other")
    monkeypatch.setenv("ZELO_API_KEY", "sk-other")
    with Reranker("zerank-2", base_url=server.url, api_key=KEY, **GATEWAY) as remote:
        with copied(remote) as other:
            assert other.settings == remote.settings
            assert other.score(QUERY, DOCUMENTS) == expected
            assert asyncio.run(other.ascore(QUERY, DOCUMENTS)) == expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("used", [True, False])
def test_a_pickle_carries_no_key(server, used, protocol):
    """Neither the key nor a connection is in a pickle of a reranker, used or not."""
    with Reranker("zerank-2", base_url=[server.url], api_key=KEY, **GATEWAY) as remote:
        if used:
            remote.score(QUERY, DOCUMENTS)
        carried = pickle.dumps(remote, protocol)
    assert KEY.encode() not in carried


def test_a_client_of_ones_own_is_not_pickled(server):
    """A reranker with a caller's client says that it can be neither pickled nor copied."""
    with httpx.Client() as own:
        with Reranker("m", base_url=server.url, http_client=own, **GATEWAY) as remote:
            for copied in COPIES.values():
                with pytest.raises(TypeError, match="can be neither pickled nor copied"):
                    copied(remote)


def test_settings_make_it_again(server, expected):
    """The settings are the arguments of an equal reranker."""
    with Reranker("zerank-2", base_url=server.url, timeout=9.0, **GATEWAY) as remote:
        with Reranker(**remote.settings) as again:
            assert again.settings == remote.settings
            assert again.score(QUERY, DOCUMENTS) == expected
