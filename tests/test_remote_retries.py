"""What is asked again, when, and how often: statuses, Retry-After, deadline, retry budget."""

import asyncio
import email.utils
import math
import threading

import pytest
from fakes import FAKES
from fakes_serving import FakeServer
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import JSONResponse, Response

from zelo import RemoteError, Reranker, ScoringTimeoutError
from zelo.scoring import retrying as module
from zelo.scoring.retrying import Patience
from zelo.transport.failures import retry_after

QUERY, DOCUMENTS = "how is the water", ["the water is cold", "stone bridges"]
GOOD = {"results": [{"index": i, "relevance_score": 0.5} for i in range(2)]}
WAYS = ["waiting", "awaiting"]
RETRIED = [408, 429, 500, 502, 503, 504]
REFUSED = [400, 402, 404, 405, 406, 409, 413, 415, 418, 422, 424, 431, 451, 501, 505, 507, 599]


@pytest.fixture(scope="module")
def running():
    with FakeServer(FAKES["gateway"], model=None).running() as server:
        yield server


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts, which pass at once."""
    found = []

    async def asleep(seconds):
        found.append(seconds)

    monkeypatch.setattr(module.time, "sleep", found.append)
    monkeypatch.setattr(module, "asyncio", Asyncio(asleep))
    return found


class Asyncio:
    """asyncio, as far as the policy needs it."""

    def __init__(self, sleep):
        self.sleep = sleep


def failing(server, status, times=1, **headers):
    """Let a server fail so many times, and then answer."""
    server.play("gateway")
    answers = [Response("no", status, headers)] * times
    server.script.extend([lambda asked, a=answer: a for answer in answers])
    server.script.extend([lambda asked: JSONResponse(GOOD)] * 5)
    return server


def client(server, **options):
    """Return a client of a server, which is told what that speaks."""
    options = {"dialect": "gateway", "score_scale": "probability"} | options
    return Reranker("zerank-2", base_url=server.url, **options)


def score(way, reranker):
    """Score, blocking or awaiting."""
    if way == "waiting":
        return reranker.score(QUERY, DOCUMENTS)
    return asyncio.run(reranker.ascore(QUERY, DOCUMENTS))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", RETRIED)
def test_a_status_that_may_pass_is_asked_again(running, pauses, way, status):
    """A server that fails twice in a way that passes gives its scores at the third attempt."""
    server = failing(running, status, times=2)
    with client(server) as remote:
        assert score(way, remote) == [0.5, 0.5]
    assert len(server.scoring) == 3
    assert len(pauses) == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [*REFUSED, 201, 204, 206])
def test_a_status_that_stays_is_told_at_once(running, pauses, way, status):
    """A refusal that would come again is raised with its status, and not asked again."""
    server = failing(running, status)
    with client(server) as remote:
        server.script.appendleft(lambda asked: JSONResponse(GOOD))
        score(way, remote)  # after which there is no doubt of the dialect
        with pytest.raises(RemoteError, match=f"answered {status}") as caught:
            score(way, remote)
    assert caught.value.status == status
    assert len(server.scoring) == 2
    assert pauses == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_no_more_attempts_than_allowed(running, pauses, way, retries):
    """`max_retries` bounds the attempts, and the last failure is raised."""
    server = failing(running, 503, times=9)
    with client(server, max_retries=retries) as remote:
        with pytest.raises(RemoteError, match="answered 503") as caught:
            score(way, remote)
    assert caught.value.status == 503
    assert len(server.scoring) == 1 + retries


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("text", "seconds"), [("3", 3.0), ("2.5", 2.5), ("0", 0.0)])
def test_a_servers_wish_is_heeded(running, pauses, way, text, seconds):
    """The pause is what Retry-After asks for, in whole seconds or decimals."""
    server = failing(running, 429, **{"retry-after": text})
    with client(server) as remote:
        score(way, remote)
    assert pauses == [seconds]


def test_a_servers_wish_may_be_a_date(running, pauses):
    """A date is waited for; one that is past is now."""
    server = failing(running, 503, **{"retry-after": "Fri, 01 Nov 2019 10:00:00 GMT"})
    with client(server) as remote:
        score("waiting", remote)
    assert pauses == [0.0]


@pytest.mark.parametrize("way", WAYS)
def test_a_wish_beyond_the_deadline_is_told_at_once(running, pauses, way):
    """A server that wants more time than there is left ends the call, and the error says so."""
    server = failing(running, 429, **{"retry-after": "3600"})
    with client(server) as remote:
        with pytest.raises(RemoteError, match="answered 429") as caught:
            score(way, remote)
    assert caught.value.retry_after == 3600.0
    assert len(server.scoring) == 1


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "soon", "1e9", "", "5 minutes", "0x10"])
def test_a_wish_without_sense_counts_as_none(running, pauses, text):
    """NaN, negative, absurd and unreadable wishes leave the pause to us."""
    server = failing(running, 503, **{"retry-after": text})
    with client(server) as remote:
        score("waiting", remote)
    assert len(pauses) == 1
    assert 0 <= pauses[0] <= 0.5


NOW = 1_790_000_000.0


@given(st.one_of(st.binary(max_size=40).map(lambda b: b.decode("latin-1")), st.text(max_size=40)))
@example("Thu, 01 Jan 0001 00:00:00 -0000")
@example("Fri, 31 Dec 9999 23:59:59 -0000")
@example("Mon, 99 Foo 2026 10:00:00 GMT")
@example("1" * 400)
def test_any_header_is_a_sensible_pause_or_none(text):
    """Whatever stands in Retry-After, it is a pause from now to a day, or nothing."""
    seconds = retry_after({"retry-after": text}, now=NOW)
    assert seconds is None or 0.0 <= seconds <= 86_400.0


@given(st.integers(-100_000, 86_400))
def test_a_date_is_as_long_as_it_is(seconds):
    """A date is the time from now to then."""
    text = email.utils.formatdate(NOW + seconds, usegmt=True)
    assert retry_after({"retry-after": text}, now=NOW) == pytest.approx(max(0, seconds), abs=1)


class Clock:
    """Time that passes only where somebody sleeps or works."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


OUTCOMES = st.lists(
    st.tuples(st.floats(0, 20), st.sampled_from([*RETRIED, None]), st.none() | st.floats(0, 90)),
    max_size=12,
)


@given(OUTCOMES, st.floats(0.5, 60), st.integers(0, 12))
def test_the_deadline_is_never_exceeded(outcomes, timeout, retries):
    """However long attempts take and servers ask to wait, no attempt begins after the deadline."""
    clock, left = Clock(), iter(outcomes)

    def attempt(seconds):
        assert 0 < seconds <= timeout
        takes, status, wish = next(left, (0, None, None))
        clock.now += min(takes, seconds)
        if takes > seconds:
            raise ScoringTimeoutError("late")
        if status is None:
            return "scores"
        raise RemoteError("no", status=status, retry_after=wish, transient=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", clock)
        try:
            assert Patience(timeout, retries).call(attempt) == "scores"
        except (RemoteError, ScoringTimeoutError):
            pass
    assert clock.now <= timeout


def test_a_failing_server_is_not_flooded(running, pauses):
    """When every request fails, retries add about a tenth to the load, after a small reserve."""
    server = failing(running, 503, times=1_000)
    with client(server) as remote:
        for _ in range(150):
            with pytest.raises(RemoteError, match="answered 503"):
                remote.score(QUERY, DOCUMENTS)
    assert 150 <= len(server.scoring) <= 150 + 10 + 15


def test_a_working_server_refills_the_budget(running, pauses):
    """After a storm, calls that work earn the right to retry again."""
    server = failing(running, 503, times=40)
    server.script.extend([lambda asked: JSONResponse(GOOD)] * 200)
    with client(server) as remote:
        while server.script and len(server.scoring) < 40:
            with pytest.raises(RemoteError):
                remote.score(QUERY, DOCUMENTS)
        for _ in range(30):
            remote.score(QUERY, DOCUMENTS)
        server.script.appendleft(lambda asked: Response("no", 503))
        assert remote.score(QUERY, DOCUMENTS) == [0.5, 0.5]


def test_callers_share_the_budget(running, pauses):
    """Many threads at a failing server together stay within the budget of their reranker."""
    server = failing(running, 503, times=1_000)
    with client(server) as remote:

        def call():
            for _ in range(10):
                with pytest.raises(RemoteError):
                    remote.score(QUERY, DOCUMENTS)

        threads = [threading.Thread(target=call) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 60 <= len(server.scoring) <= 60 + 10 + math.ceil(6)


def test_a_retry_is_logged_without_texts(running, pauses, caplog):
    """The log says what failed and where, and nothing of what was sent."""
    server = failing(running, 503)
    with client(server) as remote:
        score("waiting", remote)
    (message,) = [r.getMessage() for r in caplog.records if r.name == "zelo"]
    assert "/v1/rerank answered 503" in message
    assert "water" not in message


def test_further_retries_are_counted_when_it_is_closed(running, pauses, caplog):
    """The first of a kind has its line, and the others one in the end."""
    server = failing(running, 503, times=2)
    with client(server) as remote:
        score("waiting", remote)
        assert len(caplog.messages) == 1
    assert caplog.messages[1:] == [f"{server.url}: further retries: 1 (answered 503: 1)"]
