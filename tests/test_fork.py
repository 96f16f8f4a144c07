"""Children made by fork: each loads and connects anew, never hangs, and leaves its parent alone."""

import asyncio
import gc
import logging
import multiprocessing
import os
import threading
from contextlib import contextmanager, nullcontext

import pytest
import torch
from framework_kit import FACES

from zelo import ForkedError, Reranker

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # beside threads: the point
]

QUERY, DOCUMENTS = "how is the water", ["the water is cold", "stone bridges"]
OPTIONS = {"dtype": "float32", "device": "cpu"}
DEADLINE_S = 60.0


@contextmanager
def held_elsewhere():
    """Have another thread hold every lock that an object of ours has."""
    kinds = (type(threading.Lock()), type(threading.RLock()))
    ours = [one for one in gc.get_objects() if str(type(one).__module__).startswith("zelo")]
    values = [value for one in ours for value in getattr(one, "__dict__", {}).values()]
    locks = {id(value): value for value in values if isinstance(value, kinds)}.values()
    taken, done = threading.Event(), threading.Event()

    def hold():
        for lock in locks:
            lock.acquire()
        taken.set()
        done.wait()
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()


def in_child(work, at_fork=None):
    """Return what comes of work in a forked child, which must end by itself."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run():
        try:
            sender.send(work())
        except Exception as error:
            sender.send(error)

    process = context.Process(target=run)
    with at_fork or nullcontext():
        process.start()
    try:
        assert receiver.poll(DEADLINE_S), "the child hangs"
        found = receiver.recv()
        process.join(DEADLINE_S)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
    return found


def in_child_of_two_threads(work):
    """`in_child`, of a thread in which torch computed with two, as it does on every two cores."""
    found = []

    def parent():
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        torch.ones(1 << 20).sin()
        try:
            found.append(in_child(work))
        finally:
            torch.set_num_threads(before)

    thread = threading.Thread(target=parent)
    thread.start()
    thread.join()
    return found[0]


def both_ways(reranker):
    """Score blocking and awaiting."""
    return reranker.score(QUERY, DOCUMENTS), asyncio.run(reranker.ascore(QUERY, DOCUMENTS))


def test_a_child_loads_its_own_copy(tiny_model):
    """A reranker whose model was loaded before the fork loads its own, and says so."""

    def work():
        told = []
        handler = logging.Handler()
        handler.emit = lambda record: told.append(record.getMessage())
        logging.getLogger("zelo").addHandler(handler)
        return reranker.score(QUERY, DOCUMENTS), told

    with Reranker(tiny_model, **OPTIONS) as reranker:
        expected = pytest.approx(reranker.score(QUERY, DOCUMENTS), abs=1e-5)
        for _ in range(2):
            found, told = in_child_of_two_threads(work)
            assert found == expected
            assert ["its own copy of" in message for message in told] == [True]
        assert reranker.score(QUERY, DOCUMENTS) == expected


def test_a_childs_new_reranker_loads(tiny_model):
    """Loading in a child ends, and quantising too, where its parent computed with two threads."""
    options = OPTIONS | {"quantization": "int8-weights"}
    with Reranker(tiny_model, **options) as reranker:
        expected = reranker.score(QUERY, DOCUMENTS)

    def work():
        return Reranker(tiny_model, **options).score(QUERY, DOCUMENTS)

    found = in_child_of_two_threads(work)
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_childs_adapter_loads_its_own_copy(tiny_model):
    """An adapter that was used before the fork ranks in the child as in its parent."""
    face = FACES[0]
    adapter = face.make(tiny_model)
    expected = face.scores(adapter, QUERY, DOCUMENTS)
    found = in_child(lambda: face.scores(adapter, QUERY, DOCUMENTS))
    adapter.close()
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_child_cannot_use_a_card_of_its_parents(tiny_model, monkeypatch):
    """Where the parent used CUDA, a child that might compute there says so; the CPU is free."""

    def work():
        return Reranker(tiny_model, dtype="float32").score(QUERY, DOCUMENTS)

    with Reranker(tiny_model, **OPTIONS) as reranker:
        reranker.warmup()
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        error = in_child(work)
        assert isinstance(error, ForkedError)
        assert "only after forking, start processes with 'spawn'" in str(error)
        assert len(in_child(lambda: reranker.score(QUERY, DOCUMENTS))) == 2


def test_a_child_connects_anew(running, local):
    """A remote reranker that was used or not connects anew in a child, and its parent goes on."""
    options = {"dialect": "gateway", "score_scale": "probability"}
    server = running.play("gateway")
    expected = [pytest.approx(local.score(QUERY, DOCUMENTS), abs=1e-4)] * 2
    with Reranker("zerank-2", base_url=[server.url] * 2, **options) as remote:
        assert list(in_child(lambda: both_ways(remote))) == expected
        assert list(both_ways(remote)) == expected
        assert list(in_child(lambda: both_ways(remote))) == expected
        assert list(both_ways(remote)) == expected


def test_no_lock_outlives_its_holder(tiny_model, running, local):
    """No lock that another thread held when a child was made keeps the child waiting."""
    options = {"dialect": "auto", "score_scale": "probability"}
    server = running.play("gateway")
    expected = pytest.approx(local.score(QUERY, DOCUMENTS), abs=1e-4)
    with (
        Reranker(tiny_model, **OPTIONS) as reranker,
        Reranker("zerank-2", base_url=[server.url] * 2, **options) as remote,
    ):
        reranker.warmup()
        remote.score(QUERY, DOCUMENTS)
        found = in_child(lambda: [*both_ways(reranker), *both_ways(remote)], held_elsewhere())
        assert found == [expected] * 4
