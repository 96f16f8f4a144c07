"""More requests than fit, clients that go away, deadlines: who waits, and who is refused."""

import asyncio
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import (
    BODIES,
    DOCUMENTS,
    QUERY,
    ZELO,
    application,
    asking,
    body,
    error_message,
    held,
    path,
    sample,
    until,
)

from zelo import InputError, Reranker
from zelo.server import Limits
from zelo.server.admission import Admission, estimated_tokens
from zelo.server.refusal import Refusal

COST = estimated_tokens(QUERY, DOCUMENTS)


def scores_in(response):
    return [r["score"] for r in sorted(response.json()["results"], key=lambda r: r["index"])]


@pytest.mark.asyncio
async def test_overload_is_refused_and_the_rest_is_right(tiny_model):
    """At four times the capacity, what is accepted gets its own scores, what is not gets 429."""
    app = application(tiny_model, max_queued_tokens=5 * COST)
    queries = [f"{QUERY}{'?' * (i % 3)}" for i in range(20)]
    async with asking(app) as client:
        with held(app) as gate:
            sent = [
                asyncio.create_task(client.post(ZELO, json=body(ZELO, query=query)))
                for query in queries
            ]
            refused = await first(15, sent)
            gate.go.set()
            answers = await asyncio.gather(*sent)
    assert {answer.status_code for answer in refused} == {429}
    assert [answer.status_code for answer in answers].count(200) == 5
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        for query, answer in zip(queries, answers, strict=True):
            if answer.status_code == 200:
                expected = reranker.score(query, DOCUMENTS)
                assert scores_in(answer) == pytest.approx(expected, abs=1e-5)


async def first(count, tasks):
    """Return the results of so many tasks as have finished first."""
    await until(lambda: sum(task.done() for task in tasks) >= count)
    return [task.result() for task in tasks if task.done()]


@pytest.mark.asyncio
@pytest.mark.parametrize("place", BODIES)
async def test_refusal_says_when_to_come_back(tiny_model, place):
    """A 429 has Retry-After, says so in its dialect, and no part of it was computed."""
    app = application(tiny_model, max_queued_tokens=2 * COST)
    async with asking(app) as client:
        with held(app) as gate:
            waiting = asyncio.create_task(client.post(ZELO, json=body(ZELO)))
            await until(gate.arrived.is_set)
            claimed = app.state.service.admission.in_use
            response = await client.post(path(place), json=body(place, documents=DOCUMENTS * 2))
            assert app.state.service.admission.in_use == claimed
            gate.go.set()
            assert (await waiting).status_code == 200
        assert gate.passes == 1
    assert response.status_code == 429
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert "busy" in error_message(shown_as(place, response), response.json())


def shown_as(place, response):
    """Where the two dialects of /rerank are not yet told apart, errors are the first one's."""
    return "/rerank" if place.endswith("(texts)") and "error_type" not in response.json() else place


@pytest.mark.asyncio
async def test_request_larger_than_the_capacity(tiny_model):
    """What could never be admitted is 413, not 429 for ever."""
    app = application(tiny_model, max_queued_tokens=COST)
    async with asking(app) as client:
        response = await client.post(ZELO, json=body(ZELO, documents=DOCUMENTS * 3))
        assert response.status_code == 413
        assert "fewer documents" in error_message(ZELO, response.json())
        assert (await client.post(ZELO, json=body(ZELO))).status_code == 200
        assert app.state.service.admission.in_use == 0


@pytest.mark.asyncio
async def test_long_document_costs_no_more_than_is_read(tiny_model):
    """A document far beyond the longest prompt is admitted for what of it is read."""
    app = application(tiny_model, max_queued_tokens=34_000)
    async with asking(app) as client:
        sent = body(ZELO, documents=["cold " * 60_000], max_document_tokens=16)
        response = await client.post(ZELO, json=sent)
    assert response.status_code == 200
    assert response.json()["results"][0]["truncated"]


@pytest.mark.asyncio
async def test_bytes_count_while_they_arrive(tiny_model):
    """Bodies that are still being sent take their share of the capacity."""
    app = application(tiny_model, max_queued_tokens=1_000)
    hold, arrived = asyncio.Event(), asyncio.Event()

    async def slow():
        yield b" " * 3_000
        arrived.set()
        await hold.wait()
        yield json.dumps(body(ZELO)).encode()

    async with asking(app) as client:
        headers = {"content-type": "application/json"}
        sending = asyncio.create_task(client.post(ZELO, content=slow(), headers=headers))
        await arrived.wait()
        await until(lambda: app.state.service.admission.in_use == 750)
        refused = await client.post(ZELO, json=body(ZELO, documents=["cold " * 300]))
        assert refused.status_code == 429
        hold.set()
        assert (await sending).status_code == 200
    assert app.state.service.admission.in_use == 0


async def raw(app, members, receive):
    """Send a request with a `receive` of the test's own, and return the messages sent back."""
    content = json.dumps(members).encode()
    messages = []

    async def first_the_body():
        if not messages and not first_the_body.read:
            first_the_body.read = True
            return {"type": "http.request", "body": content, "more_body": False}
        return await receive()

    first_the_body.read = False

    async def send(message):
        messages.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": ZELO,
        "raw_path": ZELO.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    await app(scope, first_the_body, send)
    return messages


@pytest.mark.asyncio
async def test_client_that_goes_away_stops_costing(tiny_model):
    """When a client closes its connection, what of its request is not computed never is."""
    app = application(tiny_model, max_batch_tokens=64)
    gone = asyncio.Event()

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    async with asking(app) as client:
        with held(app) as gate:
            many = body(ZELO, documents=[f"cold water {i} " * 5 for i in range(200)])
            request = asyncio.create_task(raw(app, many, receive))
            await until(gate.arrived.is_set)
            gone.set()
            messages = await request
            assert app.state.service.admission.in_use == 0
            gate.go.set()
            assert (await client.post(ZELO, json=body(ZELO))).status_code == 200
            assert gate.passes < 10  # 200 documents would have been at least 50
    assert messages[0]["status"] == 499
    assert sample(app, "zelo_refusals_total", reason="gone") == 1


@pytest.mark.asyncio
async def test_client_that_goes_away_while_sending(tiny_model):
    """A body that breaks off is the client's going, and leaves nothing behind."""
    app = application(tiny_model)

    async def receive():
        return {"type": "http.disconnect"}

    async with asking(app):
        scope = {
            "type": "http",
            "method": "POST",
            "path": ZELO,
            "raw_path": ZELO.encode(),
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }
        messages = []

        async def send(message):
            messages.append(message)

        await app(scope, receive, send)
        assert messages[0]["status"] == 499
        assert app.state.service.under_way == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["header", "option"])
@pytest.mark.parametrize("place", BODIES)
async def test_deadline(tiny_model, way, place):
    """What is not scored in time is 504, is dropped, and leaves the server usable."""
    limits, headers = {}, {}
    if way == "header":
        headers = {"x-zelo-timeout": "0.05"}
    else:
        limits = {"timeout_s": 0.05}
    app = application(tiny_model, **limits)
    async with asking(app) as client:
        with held(app):
            response = await client.post(path(place), json=body(place), headers=headers)
            assert response.status_code == 504
            assert "0.05 s" in error_message(place, response.json())
            assert app.state.service.admission.in_use == 0
        await until(lambda: not app.state.service.under_way)


@pytest.mark.asyncio
async def test_header_cannot_lengthen_the_deadline(tiny_model):
    """A client may ask for less time than the server gives, not for more."""
    app = application(tiny_model, timeout_s=0.05)
    async with asking(app) as client:
        with held(app):
            headers = {"x-zelo-timeout": "3600"}
            response = await client.post(ZELO, json=body(ZELO), headers=headers)
    assert response.status_code == 504
    assert "0.05 s" in response.text


@pytest.mark.asyncio
async def test_body_that_does_not_arrive(tiny_model):
    """A body that is not sent in time is 408."""
    app = application(tiny_model, timeout_s=0.05)

    async def never():
        yield b'{"query'
        await asyncio.Event().wait()

    async with asking(app) as client:
        headers = {"content-type": "application/json"}
        response = await client.post(ZELO, content=never(), headers=headers)
        assert response.status_code == 408
        assert app.state.service.admission.in_use == 0


@pytest.mark.asyncio
async def test_concurrent_requests_share_passes(tiny_model):
    """Requests that wait together are computed together: fewer passes than requests."""
    app = application(tiny_model)
    async with asking(app) as client:
        with held(app) as gate:
            sent = [asyncio.create_task(client.post(ZELO, json=body(ZELO))) for _ in range(12)]
            await until(lambda: app.state.service.under_way == 12)
            await until(gate.arrived.is_set)
            gate.go.set()
            assert {one.status_code for one in await asyncio.gather(*sent)} == {200}
            assert gate.passes < 12


@given(st.text(max_size=50), st.lists(st.text(max_size=200), max_size=5))
def test_estimate(query, documents):
    """The estimate is a quarter of the bytes, rounded up, plus a frame for each document."""
    expected = -(-len(query.encode()) // 4)
    expected += sum(13 + -(-len(text.encode()) // 4) for text in documents)
    assert estimated_tokens(query, documents) == expected


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_pause_follows_the_speed():
    """Retry-After is what the excess takes at the speed so far, between 1 and 60 seconds."""
    clock = Clock()
    admission = Admission(1_000, clock)
    with admission.ticket() as ticket:
        ticket.hold_tokens(1_000)
        clock.now += 10  # 100 tokens a second
    clock.now += 1_000  # idle time is not work
    with admission.ticket() as ticket:
        ticket.hold_tokens(900)
        for wanted, pause in ((101, "1"), (600, "5"), (1_000, "9")):
            with pytest.raises(Refusal) as raised, admission.ticket() as other:
                other.hold_tokens(wanted)
            assert raised.value.headers["Retry-After"] == pause
    assert admission.in_use == 0


@pytest.mark.parametrize(("seconds", "pause"), [(0, "1"), (10_000, "60")])
def test_pause_is_bounded(seconds, pause):
    """A server without a speed asks for a second, and a slow one for no more than a minute."""
    clock = Clock()
    admission = Admission(100, clock)
    with admission.ticket() as ticket:
        ticket.hold_tokens(100)
        clock.now += seconds
    with admission.ticket() as ticket:
        ticket.hold_tokens(100)
        with pytest.raises(Refusal) as raised, admission.ticket() as other:
            other.hold_tokens(50)
    assert raised.value.headers["Retry-After"] == pause


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 150)), max_size=40))
def test_capacity_is_never_exceeded(moves):
    """Whatever is claimed and given back, in-use tokens stay within the capacity and end at 0."""
    admission = Admission(100)
    open_tickets = {}
    for who, tokens in moves:
        if tokens > 120 and who in open_tickets:
            open_tickets.pop(who).__exit__(None, None, None)
            continue
        ticket = open_tickets.setdefault(who, admission.ticket())
        with contextlib.suppress(Refusal):
            ticket.hold_tokens(tokens)
        assert 0 <= admission.in_use <= 100
    for ticket in open_tickets.values():
        ticket.__exit__(None, None, None)
    assert admission.in_use == 0


@pytest.mark.parametrize("name", ["max_bytes", "max_documents", "max_queued_tokens", "timeout_s"])
@pytest.mark.parametrize("value", [0, -1])
def test_senseless_limits(name, value):
    """A limit that is not above zero is an error that names it."""
    with pytest.raises(InputError, match=name):
        Limits(**{name: value})
