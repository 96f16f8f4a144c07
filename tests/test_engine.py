"""Many callers, one model: merging, fairness, cancelling, failing, closing."""

import threading
from concurrent.futures import CancelledError, Future, wait

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zelo.errors import ClosedError, ScoringError
from zelo.local.engine import Engine

POISON = 666


class Done:
    """A pack that was computed at once."""

    def __init__(self, logits):
        self._logits = logits

    def result(self):
        return self._logits


class Sum:
    """Stands in for the model at the engine's outer edge: a prompt's logit is its ids' sum.

    Remembers the packs, can be held back, and fails on packs with a poisoned token or above a
    size, as a card that runs out of memory does.
    """

    device = torch.device("cpu")
    asynchronous = False

    def __init__(self, most_tokens=10**9):
        self.packs = []
        self.go = threading.Event()
        self.go.set()
        self.started = threading.Event()
        self.most_tokens = most_tokens

    def start(self, pack):
        self.started.set()
        self.go.wait(30)
        if len(pack.ids) > self.most_tokens:
            raise torch.OutOfMemoryError("fake card is full")
        if POISON in pack.ids:
            raise RuntimeError("poisoned")
        self.packs.append(pack)
        sums = []
        for segment in pack.last_segments:
            _, _, prefix, prefix_length, own, own_length = segment
            total = pack.ids[prefix : prefix + prefix_length].sum()
            sums.append(float(total + pack.ids[own : own + own_length].sum()))
        return Done(sums)


@pytest.fixture
def model():
    return Sum()


@pytest.fixture
def engine(model):
    engine = Engine([model], max_batch_tokens=100)
    yield engine
    model.go.set()
    engine.close()


def submit(engine, prefix, suffixes, progress=None):
    future = Future()
    engine.submit(prefix, suffixes, future, progress)
    return future


def hold(engine, model):
    """Keep the engine busy with a call of its own until `model.go` is set."""
    model.go.clear()
    first = submit(engine, [], [[1]])
    assert model.started.wait(10)
    return first


CALLS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 50), max_size=5),
        st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=60), min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=50)
@given(calls=CALLS, most_tokens=st.integers(70, 400))
def test_every_call_gets_its_own_logits(calls, most_tokens):
    """However calls are merged, split or halved for memory, each gets its own in order."""
    engine = Engine([Sum(most_tokens)], max_batch_tokens=150)
    futures = [submit(engine, prefix, suffixes) for prefix, suffixes in calls]
    for (prefix, suffixes), future in zip(calls, futures, strict=True):
        assert future.result(10) == [sum(prefix) + sum(suffix) for suffix in suffixes]
    engine.close()


def test_waiting_calls_are_merged(engine, model):
    """Calls that wait while a pack is computed share the next one, and stats() says so."""
    first = hold(engine, model)
    others = [submit(engine, [i], [[i, 2], [i, 3]]) for i in range(10)]
    model.go.set()
    wait([first, *others], 10)
    stats = engine.stats()
    assert [f.result() for f in others] == [[2 * i + 2, 2 * i + 3] for i in range(10)]
    assert (stats.calls, stats.packs, stats.merged_callers) == (11, 2, 10)
    assert (stats.documents, stats.tokens) == (21, 1 + 10 * 5)
    assert (stats.prefix_tokens_saved, stats.padding) == (10, 0)


def test_small_call_overtakes_a_large_one(engine, model):
    """A 5-document call behind a 1,000-document one ends within two packs."""
    model.go.clear()
    large = submit(engine, [1], [[1] * 10 for _ in range(1_000)])
    assert model.started.wait(10)
    small = submit(engine, [2], [[2] * 5 for _ in range(5)])
    packs_at_end = []
    small.add_done_callback(lambda _: packs_at_end.append(len(model.packs)))
    model.go.set()
    assert large.result(30) == [11.0] * 1_000
    assert small.result(30) == [12.0] * 5
    assert packs_at_end == [2]


def test_cancelled_call_costs_nothing_further(engine, model):
    """What a cancelled call had waiting is never computed."""
    first = hold(engine, model)
    cancelled = submit(engine, [], [[POISON + i] for i in range(1, 500)])
    kept = submit(engine, [], [[5]])
    assert cancelled.cancel()
    model.go.set()
    assert kept.result(10) == [5.0]
    wait([first], 10)
    assert sum(len(pack.last_rows) for pack in model.packs) == 2
    with pytest.raises(CancelledError):
        cancelled.result()


def test_cancelled_in_the_middle(engine, model):
    """A call cancelled while its pack is computed does not disturb the next one."""
    model.go.clear()
    doomed = submit(engine, [], [[1] * 60 for _ in range(50)])
    assert model.started.wait(10)
    doomed.cancel()
    model.go.set()
    assert submit(engine, [], [[7]]).result(10) == [7.0]
    assert len(model.packs) == 2


def test_failing_document_costs_its_own_call_only(engine, model):
    """Companions of a document on which the model fails are scored all the same."""
    first = hold(engine, model)
    guilty = submit(engine, [], [[1], [POISON], [2]])
    innocent = [submit(engine, [i], [[i], [i + 1]]) for i in range(3)]
    model.go.set()
    wait([first, guilty, *innocent], 10)
    assert [f.result() for f in innocent] == [[2 * i, 2 * i + 1] for i in range(3)]
    with pytest.raises(ScoringError, match="poisoned"):
        guilty.result()
    assert submit(engine, [], [[9]]).result(10) == [9.0]


def test_out_of_memory_on_one_document_is_an_error():
    """A document that does not fit even alone gives a typed error with advice, not a score."""
    engine = Engine([Sum(most_tokens=50)], max_batch_tokens=1_000)
    with pytest.raises(ScoringError, match="max_document_tokens"):
        submit(engine, [], [[1] * 10, [1] * 51]).result(10)
    engine.close()


def test_progress_counts_up_to_all(engine):
    """Progress is reported after each pack and ends at the whole."""
    seen = []
    submit(engine, [], [[1] * 40 for _ in range(7)], lambda *at: seen.append(at)).result(10)
    assert seen[-1] == (7, 7)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_failing_progress_callback_fails_its_call(engine):
    """An exception of the caller's own callback reaches the caller, and nobody else."""
    future = submit(engine, [], [[1]], lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        future.result(10)
    assert submit(engine, [], [[3]]).result(10) == [3.0]


def test_close_answers_everybody(engine, model):
    """Closing finishes the pack in work and tells those who wait that the model is closed."""
    first = hold(engine, model)
    waiting = submit(engine, [], [[1]])
    closer = threading.Thread(target=engine.close)
    closer.start()
    model.go.set()
    closer.join(10)
    assert first.result(0) == [1.0]
    with pytest.raises(ClosedError):
        waiting.result(10)
    with pytest.raises(ClosedError):
        submit(engine, [], [[1]])


def test_dying_engine_leaves_nobody_waiting():
    """A fault of the engine itself is an error for the callers, not an endless wait."""

    class Short(Sum):
        def start(self, pack):
            return Done([])

    engine = Engine([Short()], max_batch_tokens=100)
    with pytest.raises(ScoringError, match="engine stopped"):
        submit(engine, [], [[1]]).result(10)
    with pytest.raises(ClosedError):
        submit(engine, [], [[1]])
