"""Timeouts and retries: how long a call is waited for, and what is tried again."""

import asyncio
import math
import pickle
import re
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelo import (
    InputError,
    ModelFailedError,
    NonFiniteScoreError,
    RemoteError,
    Reranker,
    ScoringTimeoutError,
)
from zelo.local.model import ScoringModel
from zelo.scoring import retrying as module
from zelo.scoring.retrying import LONGEST_PAUSE_S, TOLD_AGAIN_S, Patience, Retries

QUERY, DOCUMENTS = "the river", ["water", "stone bridges", "the sea in spring"]
WAYS = ["waiting", "awaiting"]


class Clock:
    """Time that passes only where somebody sleeps or works."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()

    async def asleep(seconds):
        clock.sleep(seconds)

    monkeypatch.setattr(module, "time", clock)
    # not asyncio.sleep itself: servers of other tests may still be ending, and sleep meanwhile
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=asleep))
    return clock


def run(way, patience, attempt):
    """Call `attempt` under `patience`, blocking or awaiting."""

    async def aattempt(seconds):
        return attempt(seconds)

    return patience.call(attempt) if way == "waiting" else asyncio.run(patience.acall(aattempt))


def failing(times, error, clock=None, takes=0.0):
    """Return an attempt that fails so many times, and the list of seconds that it was given."""
    given = []

    def attempt(seconds):
        given.append(seconds)
        if clock is not None:
            clock.now += takes
        if len(given) <= times:
            raise error
        return "scores"

    return attempt, given


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_failure_that_passes_is_survived(clock, way, failures):
    """A call succeeds when it fails no more often than it is tried again."""
    attempt, given = failing(failures, ModelFailedError("memory"))
    assert run(way, Patience(max_retries=2), attempt) == "scores"
    assert given == [None] * (failures + 1)
    assert len(clock.pauses) == failures


@pytest.mark.parametrize("way", WAYS)
def test_the_last_failure_is_raised(clock, way):
    """When every attempt fails, the caller gets the error itself."""
    error = ModelFailedError("memory")
    attempt, given = failing(9, error)
    with pytest.raises(ModelFailedError) as caught:
        run(way, Patience(max_retries=3), attempt)
    assert caught.value is error
    assert len(given) == 4


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [NonFiniteScoreError([0]), InputError("no"), KeyError("bug")])
def test_what_cannot_pass_is_not_tried_again(clock, way, error):
    """An error that would come again is raised at once."""
    attempt, given = failing(1, error)
    with pytest.raises(type(error)):
        run(way, Patience(max_retries=5), attempt)
    assert len(given) == 1
    assert clock.pauses == []


@pytest.mark.parametrize("way", WAYS)
def test_each_attempt_gets_the_time_that_is_left(clock, way):
    """The timeout counts for the call as a whole: attempts and pauses use it up together."""
    attempt, given = failing(2, ModelFailedError("memory"), clock, takes=10.0)
    assert run(way, Patience(timeout=60.0, max_retries=2), attempt) == "scores"
    spent = [0.0, 10.0 + clock.pauses[0], 20.0 + sum(clock.pauses)]
    assert given == pytest.approx([60.0 - seconds for seconds in spent])


@pytest.mark.parametrize("way", WAYS)
def test_no_attempt_starts_after_the_timeout(clock, way):
    """A failure that leaves no time for another attempt is raised instead of waited out."""
    attempt, given = failing(9, ModelFailedError("memory"), clock, takes=10.0)
    with pytest.raises(ModelFailedError):
        run(way, Patience(timeout=10.0, max_retries=5), attempt)
    assert len(given) == 1
    assert clock.now == 10.0


@given(st.floats(0, 1), st.integers(0, 30))
def test_pauses_are_bounded(share, number):
    """A pause is never longer than its bound, which doubles up to eight seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.random, "uniform", lambda low, high: low + share * (high - low))
        course = module._Course(Patience(max_retries=99), None, None)
        course._retries = number
        pause = course.pause(ModelFailedError("memory"))
    assert 0 <= pause <= min(LONGEST_PAUSE_S, 0.5 * 2**number)


def test_pauses_differ_between_callers(clock):
    """Callers that failed together do not all come back at the same moment."""
    for _ in range(5):
        attempt, _ = failing(1, ModelFailedError("memory"))
        run("waiting", Patience(max_retries=1), attempt)
    assert len(set(clock.pauses)) == 5


def test_a_retry_is_logged(clock, caplog):
    """Whoever reads the log sees that a call was tried again, and why."""
    attempt, _ = failing(1, ModelFailedError("memory ran out"))
    run("waiting", Patience(), attempt)
    assert [record.name for record in caplog.records] == ["zelo"]
    assert re.search(r"tried again in \d\.\d s: memory ran out", caplog.text)


def refusal(status):
    """What a server answers that has too much to do."""
    return RemoteError(f"http://gpu answered {status}", status=status, transient=True)


def test_retries_of_a_kind_are_logged_once_and_counted(clock, caplog):
    """For each server: a run of hours against a limit must not bury what else there is to read."""
    one, other = Retries("http://gpu", reserve=99), Retries("http://cpu", reserve=99)
    for error in (refusal(429), refusal(503), refusal(429), RemoteError("gone", transient=True)):
        attempt, _ = failing(2, error)
        Patience(max_retries=2).call(attempt, retries=one)
    attempt, _ = failing(1, refusal(429))
    Patience().call(attempt, retries=other)
    told = [re.sub(r"\d\.\d s", "1 s", message) for message in caplog.messages]
    assert told == [
        "tried again in 1 s: http://gpu answered 429",
        "tried again in 1 s: http://gpu answered 503",
        "tried again in 1 s: gone",
        "tried again in 1 s: http://gpu answered 429",
    ]
    caplog.clear()
    for _ in range(2):
        one.sum_up()
        other.sum_up()
    kinds = "answered 429: 3, answered 503: 1, no whole answer: 1"
    assert caplog.messages == [f"http://gpu: further retries: 5 ({kinds})"]


def test_retries_that_go_on_are_logged_again_and_again(clock, caplog):
    """A program that runs for months tells of a server that fails then, too."""
    retries = Retries("http://gpu", reserve=99)
    for _ in range(4):
        for _ in range(3):
            retries.tell(refusal(503), 0.5)
        clock.now += TOLD_AGAIN_S
    again = "tried again in 0.5 s; so were 2 others since the last such line: http://gpu"
    assert [message.startswith(again) for message in caplog.messages] == [False, True, True, True]


def score(way, reranker, documents=DOCUMENTS):
    """Score the documents, blocking or awaiting."""
    if way == "waiting":
        return reranker.score(QUERY, documents)
    return asyncio.run(reranker.ascore(QUERY, documents))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("max_retries", [0, 1])
def test_a_model_that_fails_for_a_moment(monkeypatch, tiny_model, way, max_retries):
    """A document whose forward pass failed once gets its score, if retries are allowed."""
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.0)
    start, calls = ScoringModel.start, []

    def fail_at_first(self, pack):
        calls.append(pack)
        if len(calls) == 1:
            raise RuntimeError("out of memory")
        return start(self, pack)

    options = {"dtype": "float32", "device": "cpu", "max_retries": max_retries}
    with Reranker(tiny_model, **options) as reranker:
        expected = score(way, reranker, ["water"])
        monkeypatch.setattr(ScoringModel, "start", fail_at_first)
        if max_retries:
            assert score(way, reranker, ["water"]) == expected
        else:
            with pytest.raises(ModelFailedError, match="RuntimeError: out of memory"):
                score(way, reranker, ["water"])
    assert len(calls) == max_retries + 1


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_takes_too_long_fails_and_is_dropped(tiny_model, stuck, way):
    """A call beyond its timeout raises, what it had waiting is dropped, and others go on."""
    options = {"dtype": "float32", "device": "cpu"}
    with (
        Reranker(tiny_model, **options) as patient,
        Reranker(tiny_model, timeout=0.05, **options) as hasty,
    ):
        with pytest.raises(ScoringTimeoutError, match=r"within 0\.05 s") as caught:
            score(way, hasty)
        assert isinstance(caught.value, TimeoutError)
        stuck.set()
        assert len(score(way, patient)) == len(DOCUMENTS)
        engine = patient._scorer._instance.engine
        while engine._queue._calls:  # the worker forgets a call when it looks for the next
            time.sleep(0.01)


def test_loading_does_not_count(tiny_model):
    """The first call of a reranker with a timeout may load its model for longer than that."""
    with Reranker(tiny_model, dtype="float32", device="cpu", timeout=30.0) as reranker:
        acquire = reranker._scorer._acquire
        with pytest.MonkeyPatch.context() as patch:
            clock = Clock()

            def load():
                clock.now += 3600
                return acquire()

            patch.setattr(reranker._scorer, "_acquire", load)
            patch.setattr(module, "time", clock)
            assert len(reranker.rank(QUERY, DOCUMENTS)) == 3


def test_patience_travels_in_pickles(tiny_model, stuck):
    """A pickled reranker is as patient as the one it was made from."""
    hasty = Reranker(tiny_model, device="cpu", timeout=0.05, max_retries=0)
    copied = pickle.loads(pickle.dumps(hasty))  # noqa: S301 - our own bytes
    assert copied.settings == hasty.settings
    with copied:
        with pytest.raises(ScoringTimeoutError):
            copied.rank(QUERY, DOCUMENTS)
        stuck.set()  # or closing would wait for the forward pass


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"timeout": 0}, "timeout=0; it must be a number of seconds above 0"),
        ({"timeout": -1.5}, "timeout=-1.5"),
        ({"timeout": math.inf}, "timeout=inf"),
        ({"timeout": math.nan}, "timeout=nan"),
        ({"timeout": "5"}, "timeout='5'"),
        ({"max_retries": -1}, "max_retries=-1; it must be a whole number of at least 0"),
        ({"max_retries": 1.5}, "max_retries=1.5"),
    ],
)
def test_impossible_patience_is_refused(options, told):
    """A timeout or number of retries without meaning is an error, and says what would have one."""
    with pytest.raises(InputError) as caught:
        Reranker("zelo-nano", **options)
    assert told in str(caught.value)
