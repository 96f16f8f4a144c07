"""Several models behind one queue, and models that work while their worker goes on.

`Card` stands in for a model on a card: packs are computed one after another in a thread of its own,
and `start` returns at once. All it knows is what `zelo.local.worker.Logits` says.
"""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zelo.errors import ClosedError, ModelFailedError, ScoringError
from zelo.local.engine import Engine
from zelo.local.packing import Part
from zelo.local.worker import RETIRED_AFTER

POISON = 666


class Card:
    """A model whose logits are the sums of prompts' ids, in a thread of its own.

    Args:
        most_tokens: memory runs out for packs beyond, of which two are held at once.
        fails: what it raises for packs with the poisoned token.
        late: tell failures with the result, not at the start.
        broken: fail on everything.
        seconds: how long a pack takes.
    """

    device = torch.device("cpu")

    def __init__(
        self,
        *,
        asynchronous: bool = True,
        most_tokens: int = 10**9,
        late: bool = True,
        broken: bool = False,
        seconds: float = 0.0,
    ) -> None:
        self.asynchronous = asynchronous
        self.events: list[tuple[str, int]] = []
        self.go = threading.Event()
        self.go.set()
        self.began = threading.Event()
        self.broken = broken
        self.largest = 0
        self._most_tokens, self._late, self._seconds = most_tokens, late, seconds
        self._packs = 0
        self._pool = ThreadPoolExecutor(1)

    def start(self, pack: Any) -> Any:
        self._packs += 1
        self._note("start", self._packs)
        fault = self._fault(pack)
        if fault is not None and not self._late:
            raise fault
        self.largest = max(self.largest, len(pack.ids))
        computed = self._pool.submit(self._compute, pack, self._packs, fault)
        if not self.asynchronous:
            wait([computed])
        return Result(self, self._packs, computed)

    def close(self) -> None:
        """End its thread."""
        self.go.set()
        self._pool.shutdown()

    def _fault(self, pack: Any) -> Exception | None:
        if self.broken:
            return RuntimeError("CUDA error: an illegal memory access was encountered")
        if len(pack.ids) > self._most_tokens:
            return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")
        if POISON in pack.ids:
            return RuntimeError("poisoned")
        return None

    def _compute(self, pack: Any, number: int, fault: Exception | None) -> list[float]:
        self.began.set()
        self.go.wait(30)
        time.sleep(self._seconds)
        self._note("computed", number)
        if fault is not None:
            raise fault
        return sums(pack)

    def _note(self, what: str, number: int) -> None:
        self.events.append((what, number))


class Result:
    """A pack under way on a `Card`."""

    def __init__(self, card: Card, number: int, computed: "Future[list[float]]") -> None:
        self._card, self._number, self._computed = card, number, computed

    def result(self) -> list[float]:
        self._card._note("wait", self._number)
        found = self._computed.result(30)
        self._card._note("result", self._number)
        return found


def sums(pack: Any) -> list[float]:
    """Return the sum of each prompt's ids."""
    found = []
    for segment in pack.last_segments:
        _, _, prefix, prefix_length, own, own_length = segment
        total = pack.ids[prefix : prefix + prefix_length].sum()
        found.append(float(total + pack.ids[own : own + own_length].sum()))
    return found


def submit(engine: Engine, prefix: list[int], suffixes: list[list[int]], progress: Any = None):
    """Submit a call, and return its future."""
    future: Future[list[float]] = Future()
    engine.submit(prefix, suffixes, future, progress)
    return future


@pytest.fixture
def engine_of():
    """Make engines over cards, all of which end with the test."""
    made = []

    def make(*cards: Card, max_batch_tokens: int = 100) -> Engine:
        engine = Engine(list(cards), max_batch_tokens)
        made.append((engine, cards))
        return engine

    yield make
    for engine, cards in made:
        for card in cards:
            card.go.set()
        engine.close()
        for card in cards:
            card.close()


CALLS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 50), max_size=5),
        st.lists(
            st.lists(st.sampled_from([*range(20), POISON]), min_size=1, max_size=40),
            min_size=1,
            max_size=8,
        ),
    ),
    min_size=1,
    max_size=8,
)
CARDS = st.lists(
    st.fixed_dictionaries(
        {
            "asynchronous": st.booleans(),
            "most_tokens": st.sampled_from([30, 60, 120, 10**9]),
            "late": st.booleans(),
            "broken": st.sampled_from([False, False, False, True]),
        }
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=60)
@given(calls=CALLS, cards=CARDS, cancelled=st.sets(st.integers(0, 7)))
def test_every_call_gets_its_own_logits_or_its_own_error(calls, cards, cancelled):
    """Whatever packs fail, on however many cards, at their start or in their result, each call gets
    its own logits in order, or a typed error that only its own documents or cards can explain."""
    models = [Card(**options) for options in cards]
    engine = Engine(models, max_batch_tokens=150)
    try:
        futures = [submit(engine, prefix, suffixes) for prefix, suffixes in calls]
        for number in cancelled:
            if number < len(futures):
                futures[number].cancel()
        small = min(options["most_tokens"] for options in cards)
        whole = not any(options["broken"] for options in cards)
        for (prefix, suffixes), future in zip(calls, futures, strict=True):
            if future.cancelled():
                continue
            expected = [sum(prefix) + sum(suffix) for suffix in suffixes]
            longest = len(prefix) + max(map(len, suffixes))
            poisoned = any(POISON in [*prefix, *suffix] for suffix in suffixes)
            if error := future.exception(20):
                assert isinstance(error, ModelFailedError)
                assert poisoned or longest > small or not whole
            else:
                assert future.result() == expected
                assert not poisoned
    finally:
        engine.close()
        for model in models:
            model.close()


def test_the_next_pack_is_started_while_one_is_under_way(engine_of):
    """A card has its next pack before the first one is done, and never a third."""
    card = Card()
    engine = engine_of(card)
    card.go.clear()
    call = submit(engine, [], [[1] * 60 for _ in range(5)])  # a pack each
    while ("start", 2) not in card.events:
        time.sleep(0.001)
    time.sleep(0.02)
    assert [event for event in card.events if event[0] != "wait"] == [("start", 1), ("start", 2)]
    card.go.set()
    assert call.result(10) == [60.0] * 5
    at = {event: place for place, event in enumerate(card.events)}
    for number in (1, 2, 3):
        assert at["result", number] < at["start", number + 2]


def test_a_call_that_comes_late_is_started_at_once(engine_of):
    """A pack under way, with nothing behind it, keeps no later call from the card."""
    card = Card()
    engine = engine_of(card)
    card.go.clear()
    first = submit(engine, [], [[1]])
    assert card.began.wait(10)
    time.sleep(0.02)  # the worker has found nothing else to do
    second = submit(engine, [], [[2]])
    while ("start", 2) not in card.events:
        time.sleep(0.001)
    assert not first.done()
    card.go.set()
    assert (first.result(10), second.result(10)) == ([1.0], [2.0])


def test_a_model_in_this_thread_is_not_run_ahead(engine_of):
    """Where nothing is won by it, a pack's logits are handed out before the next is started."""
    card = Card(asynchronous=False)
    engine = engine_of(card)
    assert submit(engine, [], [[1] * 60 for _ in range(3)]).result(10) == [60.0] * 3
    order = [event for event in card.events if event[0] not in ("wait", "computed")]
    assert order == [(what, n) for n in (1, 2, 3) for what in ("start", "result")]


def test_nothing_is_held_back_for_want_of_more(engine_of):
    """A lone pack is answered although no other one follows it."""
    engine = engine_of(Card())
    for i in range(1, 20):
        assert submit(engine, [], [[i]]).result(10) == [float(i)]


@pytest.mark.parametrize("late", [False, True])
def test_a_failure_under_way_costs_nobody_else(engine_of, late):
    """A pack that fails, at its start or in its result, leaves the packs around it whole."""
    card = Card(late=late)
    engine = engine_of(card)
    card.go.clear()
    first = submit(engine, [], [[1] * 90])
    assert card.began.wait(10)
    guilty = submit(engine, [], [[2] * 40, [POISON]])
    last = submit(engine, [3], [[3] * 40, [4]])
    card.go.set()
    assert first.result(10) == [90.0]
    assert last.result(10) == [123.0, 7.0]
    with pytest.raises(ModelFailedError, match="RuntimeError: poisoned"):
        guilty.result(10)
    assert engine.stats().out_of_memory == 0


def test_cancelling_what_is_under_way(engine_of):
    """A call that is cancelled between its packs' starts and results disturbs no other."""
    card = Card()
    engine = engine_of(card)
    card.go.clear()
    doomed = submit(engine, [], [[1] * 60 for _ in range(50)])
    while ("start", 2) not in card.events:
        time.sleep(0.001)
    assert doomed.cancel()
    other = submit(engine, [], [[5]])
    card.go.set()
    assert other.result(10) == [5.0]
    assert card.events[-1][1] <= 3  # two were under way


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_memory_that_ran_out_once_makes_later_packs_smaller(engine_of, asynchronous, late):
    """After packs that did not fit, those of later calls do: none fails again."""
    card = Card(most_tokens=300, asynchronous=asynchronous, late=late)
    engine = engine_of(card, max_batch_tokens=1_000)
    documents = [[1] * 50 for _ in range(60)]
    assert submit(engine, [], documents).result(10) == [50.0] * 60
    failed = engine.stats().out_of_memory
    assert 2 <= failed <= 2 + (asynchronous and late)  # a second one may have been under way
    assert submit(engine, [], documents).result(10) == [50.0] * 60
    assert engine.stats().out_of_memory == failed
    assert engine.stats().documents == 120


def test_a_long_prefix_does_not_enlarge_packs_beyond_memory(engine_of):
    """Packs that a prefix would make larger stay within what is known to fit."""
    card = Card(most_tokens=500)
    engine = engine_of(card, max_batch_tokens=300)
    for _ in range(2):
        found = submit(engine, [1] * 200, [[1] * 50 for _ in range(20)]).result(10)
        assert found == [250.0] * 20
    assert engine.stats().out_of_memory <= 2


def test_an_out_of_memory_error_keeps_no_tensors(engine_of):
    """What a failed pack had allocated is free while its halves are computed, or they would fail
    for it."""
    held: list[Any] = []

    class Filling(Card):
        def start(self, pack: Any) -> Any:
            if len(pack.ids) > 300:
                return self._filled()
            assert all(reference() is None for reference in held)
            return super().start(pack)

        def _filled(self) -> Any:
            import weakref

            activations = torch.zeros(10)
            held.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("full")

    engine = engine_of(Filling(), max_batch_tokens=1_000)
    assert submit(engine, [], [[1] * 50 for _ in range(20)]).result(10) == [50.0] * 20
    assert held


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("MPS backend out of memory (MPS allocated: 9.07 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        MemoryError(),
    ],
    ids=lambda error: str(error)[:12] or "MemoryError",
)
def test_other_ways_to_say_it(engine_of, error):
    """What devices and libraries say instead of OutOfMemoryError is taken for it."""

    class Full(Card):
        def _fault(self, pack: Any) -> Exception | None:
            return error if len(pack.ids) > 300 else None

    engine = engine_of(Full(), max_batch_tokens=1_000)
    assert submit(engine, [], [[1] * 50 for _ in range(20)]).result(10) == [50.0] * 20
    assert engine.stats().out_of_memory > 0


def test_all_cards_take_part(engine_of):
    """Packs of one call are computed on all cards at once, and come back in order."""
    cards = [Card() for _ in range(3)]
    engine = engine_of(*cards)
    for card in cards:
        card.go.clear()
    call = submit(engine, [], [[i] * 60 for i in range(1, 13)])
    assert all(card.began.wait(10) for card in cards)
    for card in cards:
        card.go.set()
    assert call.result(10) == [60.0 * i for i in range(1, 13)]
    assert engine.stats().packs == 12
    assert engine.stats().calls == 1


def test_progress_comes_from_one_thread_at_a_time(engine_of):
    """With several cards, progress still counts up, is never told twice at once, and ends before
    the answer is there."""
    engine = engine_of(*(Card(seconds=0.001) for _ in range(3)))
    seen: list[int] = []
    at_once = threading.Lock()

    def progress(done: int, total: int) -> None:
        assert at_once.acquire(blocking=False)
        time.sleep(0.002)
        seen.append(done)
        at_once.release()

    submit(engine, [], [[1] * 60 for _ in range(30)], progress).result(10)
    assert seen == sorted(set(seen))
    assert seen[-1] == 30


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_large_call_gets_on_among_small_ones(engine_of, count):
    """However many small calls keep coming, on one card or several, a large one ends."""
    engine = engine_of(*(Card(seconds=0.0005) for _ in range(count)))
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            assert submit(engine, [1], [[1] * 5] * 3).result(10) == [6.0] * 3

    with ThreadPoolExecutor(6) as pool:
        askers = [pool.submit(keep_asking) for _ in range(6)]
        large = submit(engine, [2], [[1] * 10 for _ in range(400)])
        assert large.result(30) == [12.0] * 400
        stop.set()
    for asker in askers:
        asker.result()


def test_a_broken_card_costs_no_call(engine_of, caplog):
    """What fails on one card is computed on another, and a card that fails on everything is used
    no more, which the log tells once."""
    whole, broken = Card(seconds=0.001), Card(broken=True)
    engine = engine_of(broken, whole)
    for i in range(1, 60):
        assert submit(engine, [], [[i]] * 3).result(10) == [float(i)] * 3
    assert sum("is used no more" in record.message for record in caplog.records) == 1
    starts = len(broken.events)
    assert submit(engine, [], [[1] * 60 for _ in range(20)]).result(10) == [60.0] * 20
    assert len(broken.events) == starts
    assert len([event for event in broken.events if event[0] == "start"]) >= RETIRED_AFTER


def test_the_last_card_is_not_given_up(engine_of):
    """Where all fail, callers get errors at once, and when the card works again, logits."""
    cards = [Card(broken=True), Card(broken=True)]
    engine = engine_of(*cards)
    for _ in range(12):
        with pytest.raises(ModelFailedError, match="illegal memory access"):
            submit(engine, [], [[1], [2]]).result(10)
    for card in cards:
        card.broken = False
    assert submit(engine, [], [[7]]).result(10) == [7.0]


def test_a_poisoned_document_reaches_two_cards_at_most(engine_of):
    """A document that breaks models must not break all of them."""
    cards = [Card(seconds=0.001) for _ in range(4)]
    engine = engine_of(*cards)
    with pytest.raises(ModelFailedError, match="poisoned"):
        submit(engine, [], [[POISON]]).result(10)
    assert sum(bool(card.events) for card in cards) == 2
    assert submit(engine, [], [[1]] * 9).result(10) == [1.0] * 9


def test_a_fault_of_one_worker_leaves_the_others(engine_of):
    """A model that breaks its promise costs the calls in its hands, and no other."""

    class Short(Card):
        def _compute(self, *_: Any) -> list[float]:
            return []

    short, whole = Short(), Card()
    engine = engine_of(short, whole)
    whole.go.clear()
    held = submit(engine, [], [[1] * 60 for _ in range(2)])  # two packs, for whoever is free
    later = [submit(engine, [], [[i] * 60]) for i in range(1, 9)]
    whole.go.set()
    failed = 0
    for i, call in enumerate([held, *later]):
        error = call.exception(10)
        assert error is None or "engine stopped: ValueError: the model gave 0" in str(error)
        assert error is not None or call.result() == ([60.0] * 2 if i == 0 else [60.0 * i])
        failed += error is not None
    assert failed < 9
    assert submit(engine, [], [[5]]).result(10) == [5.0]
    assert not engine.closed


def test_calls_that_no_card_can_take_any_more_fail(engine_of):
    """A call that one card refused does not wait for ever when the other one is gone."""

    class Dying(Card):
        def _compute(self, *_: Any) -> list[float]:
            self.go.wait(30)
            return []

    dying, refusing = Dying(), Card(broken=True)
    engine = engine_of(dying, refusing)
    dying.go.clear()
    calls = [submit(engine, [], [[1] * 90]) for _ in range(6)]
    while not dying.events or len(refusing.events) < 3 * RETIRED_AFTER:  # it has refused some
        time.sleep(0.001)
    dying.go.set()
    for call in calls:
        with pytest.raises(ScoringError):
            call.result(10)


def test_closing_ends_all_workers(engine_of):
    """Packs under way are finished, what waits is told, and no thread or model stays."""
    before = set(threading.enumerate())
    cards = [Card(), Card()]
    engine = engine_of(*cards)
    for card in cards:
        card.go.clear()
    under_way = [submit(engine, [], [[i] * 90]) for i in range(1, 5)]
    while sum(event[0] == "start" for card in cards for event in card.events) < 4:
        time.sleep(0.001)
    waiting = submit(engine, [], [[1]])
    closer = threading.Thread(target=engine.close)
    closer.start()
    with pytest.raises(ClosedError):
        waiting.result(10)
    for card in cards:
        card.go.set()
    closer.join(10)
    assert not closer.is_alive()
    assert [call.result(0) for call in under_way] == [[90.0 * i] for i in range(1, 5)]
    assert not any(worker.thread.is_alive() or worker.model for worker in engine._workers)
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("zelo"):
            thread.join(10)
            assert not thread.is_alive()
    with pytest.raises(ClosedError):
        submit(engine, [], [[1]])


def test_a_progress_callback_may_close(engine_of):
    """Closing from a worker's own thread ends, and answers everybody."""
    engine = engine_of(Card(), Card())
    closed = []

    def close(*_: int) -> None:
        engine.close()
        closed.append(True)

    call = submit(engine, [], [[1] * 60 for _ in range(40)], close)
    with pytest.raises(ClosedError):
        call.result(10)
    for worker in engine._workers:
        worker.thread.join(10)
        assert not worker.thread.is_alive()
    assert closed


def test_rehearsals_reach_every_card_and_count_nowhere(engine_of):
    """Packs for nobody are computed as they are on each card, also while calls wait."""
    cards = [Card(), Card()]
    engine = engine_of(*cards)
    calls = [submit(engine, [], [[i] * 60]) for i in range(1, 5)]
    packs = [[Part([1], [[2], [3]])], [Part([], [[4] * 150]), Part([5], [[6]])]]
    for done in engine.rehearse(packs):
        assert done.result(10) is None
    assert [call.result(10) for call in calls] == [[60.0 * i] for i in range(1, 5)]
    assert [card.largest for card in cards] == [152, 152]
    assert engine.stats().documents == 4


def test_rehearsals_end_with_errors():
    """Who warms up a model that fails, or is closed meanwhile, is told."""
    card = Card(broken=True)
    engine = Engine([card], 100)
    (failed,) = engine.rehearse([[Part([], [[1]])]])
    with pytest.raises(ModelFailedError, match="illegal memory access"):
        failed.result(10)
    card.go.clear()
    held = submit(engine, [], [[1]])
    assert card.began.wait(10)
    waiting = engine.rehearse([[Part([], [[1]])]] * 3)
    closer = threading.Thread(target=engine.close)
    closer.start()
    while not engine.closed:
        time.sleep(0.001)
    card.go.set()
    closer.join(10)
    for one in [held, *waiting]:
        with pytest.raises(ScoringError):
            one.result(10)
    with pytest.raises(ClosedError):
        engine.rehearse([[Part([], [[1]])]])
    card.close()
