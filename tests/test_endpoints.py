"""Servers of OpenAI's API: which one, which key goes there, what is asked again, what is shown."""

import asyncio
import json
import logging
import pickle
import traceback
from contextlib import closing

import pytest
from fake_openai import completion
from fakes_serving import http_answer, wire
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import JSONResponse

from zelo import (
    ClosedError,
    InputError,
    RemoteAnswerError,
    RemoteAuthError,
    RemoteError,
    ScoringTimeoutError,
    ZeloError,
)
from zelo.llm import Chat, Embeddings, Endpoint
from zelo.llm.refusals import refusal
from zelo.llm.server import server_and_key
from zelo.scoring import retrying as pausing
from zelo.transport.messages import HttpRequest, HttpResponse

WAYS = ["waiting", "awaiting"]
every_way = pytest.mark.parametrize("way", WAYS)
KEY, OTHER_KEY = "sk-5ecre7-one", "sk-5ecre7-two"
CANARY = "canary-text-7f3a"
MESSAGES = [{"role": "user", "content": f"is this water cold? {CANARY}"}]
OPENAI = "https://api.openai.com/v1"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """No key or server of the user's, and no pauses between attempts."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setattr(pausing, "FIRST_PAUSE_S", 0.0)


def ask(way, chat):
    """HttpRequest a chat model, blocking or awaiting."""
    if way == "waiting":
        return chat.complete(MESSAGES)
    return asyncio.run(chat.acomplete(MESSAGES))


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("https://host/api/v1", "https://host/api/v1"),
        ("https://host/v2", "https://host/v2"),
        ("https://host/v1/v1", "https://host/v1/v1"),
        ("https://host/v1beta/openai/", "https://host/v1beta/openai"),
        ("https://host/with%20space/v1", "https://host/with%20space/v1"),
    ],
)
def test_a_base_url_is_taken_as_sdks_take_it(given, used):
    """A bare host gets /v1; a path is kept as it is, but for its closing slash."""
    with closing(Endpoint(given, api_key=KEY, allow_http=True)) as endpoint:
        assert endpoint.url == used


@every_way
def test_the_path_follows_the_base_url(openai, way):
    """The server is asked at the path that the API has, with and without /v1 in the base URL."""
    for base_url in (openai.url, f"{openai.url}/v1"):
        with closing(Chat("any", base_url)) as chat:
            assert ask(way, chat).text == "yes"
    assert [one.path for one in openai.asked] == ["/v1/chat/completions"] * 2


@pytest.mark.parametrize(
    ("variable", "base_url", "api_key", "server", "key"),
    [
        (None, None, None, OPENAI, KEY),
        (None, "https://api.openai.com", None, "https://api.openai.com", KEY),
        (None, "https://API.openai.com:443/v1", None, "https://API.openai.com:443/v1", KEY),
        (None, "http://api.openai.com/v1", None, "http://api.openai.com/v1", None),
        (None, "https://api.openai.com:444", None, "https://api.openai.com:444", None),
        (None, "https://api.openai.com.evil.org", None, "https://api.openai.com.evil.org", None),
        (None, "https://host/v1", None, "https://host/v1", None),
        (None, "https://host/v1", OTHER_KEY, "https://host/v1", OTHER_KEY),
        (None, None, OTHER_KEY, OPENAI, OTHER_KEY),
        (None, None, "", OPENAI, None),
        ("", None, None, OPENAI, KEY),
        ("https://proxy/v1", None, None, "https://proxy/v1", KEY),
        ("https://proxy/v1", "https://proxy/other", None, "https://proxy/other", KEY),
    ],
)
def test_the_environments_key_goes_to_its_own_server(
    monkeypatch, variable, base_url, api_key, server, key
):
    """OPENAI_API_KEY goes to OPENAI_BASE_URL's server, or else OpenAI's, and to no other."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    if variable is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", variable)
    used, secret = server_and_key(base_url, api_key)
    assert used == server
    assert (secret and secret.reveal()) == key


@pytest.mark.parametrize(
    ("variable", "base_url", "key"),
    [(None, None, None), (None, OPENAI, ""), ("https://proxy/v1", OPENAI, KEY)],
)
def test_openai_is_not_asked_without_a_key(monkeypatch, variable, base_url, key):
    """It is refused at once, also where the environment's key is meant for another server."""
    for name, value in (("OPENAI_BASE_URL", variable), ("OPENAI_API_KEY", key)):
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="without a key: set OPENAI_API_KEY"):
        Endpoint(base_url)


@every_way
def test_the_key_is_sent_as_a_bearer_token(openai, way):
    """The given key is the one that the server gets; without one, there is no such header."""
    openai.key = KEY
    with closing(Chat("any", openai.url, api_key=KEY)) as chat:
        assert ask(way, chat).text == "yes"
    with closing(Chat("any", openai.url)) as chat:
        with pytest.raises(RemoteAuthError, match=r"answered 401.*--key NAME=VARIABLE"):
            ask(way, chat)
    assert "authorization" not in openai.asked[1].headers


@pytest.mark.parametrize(
    "base_url", ["http://example.org/v1", f"https://u:{KEY}@host", "ftp://host", "", 7]
)
def test_a_url_that_would_leak_or_lead_nowhere_is_refused(base_url):
    """A key in clear text, a user in the URL and what is no URL are refused without repeating."""
    with pytest.raises(InputError, match="base_url") as caught:
        Chat("any", base_url, api_key=KEY)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"max_retries": -1}, {"api_key": "two\nlines"}, {"api_key": 7}]
)
def test_options_without_sense_are_refused(options):
    """A wrong option is named, and a wrong key not repeated."""
    with pytest.raises(InputError, match=next(iter(options))) as caught:
        Endpoint("https://host", **options)
    assert "two" not in str(caught.value)


@every_way
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_asked_again(openai, way, status):
    """A server that fails twice in a way that passes answers the third attempt."""
    openai.fail(status, times=2, **{"retry-after": "0"})
    with closing(Chat("any", openai.url)) as chat:
        assert ask(way, chat).text == "yes"
    assert len(openai.asked) == 3


@every_way
@pytest.mark.parametrize("status", [201, 204, 400, 404, 405, 413, 418, 422, 501])
def test_a_status_that_stays_is_told_at_once(openai, way, status):
    """A refusal that would come again is raised with its status, and not asked again."""
    openai.fail(status)
    with closing(Chat("any", openai.url)) as chat:
        with pytest.raises(RemoteError, match=f"answered {status}: ") as caught:
            ask(way, chat)
    assert caught.value.status == status
    assert "dialect" not in str(caught.value)
    assert len(openai.asked) == 1


@every_way
def test_a_wish_beyond_the_deadline_is_told_at_once(openai, way):
    """A server that wants more time than there is left ends the call, and the error says so."""
    openai.fail(429, **{"retry-after": "3600"})
    with closing(Chat("any", openai.url)) as chat:
        with pytest.raises(RemoteError, match="answered 429") as caught:
            ask(way, chat)
    assert caught.value.retry_after == 3600.0
    assert len(openai.asked) == 1


@every_way
def test_no_more_attempts_than_allowed(openai, way):
    """`max_retries` bounds the attempts, and the last failure is raised."""
    openai.fail(500, times=9)
    with closing(Chat("any", openai.url, max_retries=2)) as chat:
        with pytest.raises(RemoteError, match="answered 500"):
            ask(way, chat)
    assert len(openai.asked) == 3


@every_way
def test_a_failing_server_is_not_flooded(openai, way):
    """When every request fails, retries add a tenth to the load, after a reserve of ten."""
    openai.fail(503, times=99)
    with closing(Chat("any", openai.url, max_retries=1)) as chat:
        for _ in range(30):
            with pytest.raises(RemoteError, match="answered 503"):
                ask(way, chat)
    assert len(openai.asked) <= 30 + 10 + 3


@every_way
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("insufficient_quota", "no credit"),
        ("context_length_exceeded", "longer than the model reads"),
        ("model_not_found", "no such model"),
    ],
)
def test_known_codes_are_told_and_not_asked_again(openai, way, code, words):
    """What the API calls by a known name is told in our words, even where its status may pass."""
    openai.fail(429, body={"error": {"message": CANARY, "code": code}})
    with closing(Chat("any", openai.url)) as chat:
        with pytest.raises(RemoteError, match=words):
            ask(way, chat)
    assert len(openai.asked) == 1


@every_way
@pytest.mark.parametrize("answer", ["", "{", "[]", "null", '{"choices": []}', '{"error": {}}'])
def test_an_answer_of_another_form_is_no_answer(openai, way, answer):
    """Broken JSON, and JSON that is no completion, raise RemoteAnswerError."""
    openai.answer(answer)
    with closing(Chat("any", openai.url)) as chat:
        with pytest.raises(RemoteAnswerError, match="/v1/chat/completions: the answer"):
            ask(way, chat)


@every_way
def test_an_answer_that_was_cut_off_is_asked_for_again(way):
    """A connection that breaks within an answer is a failure that may pass."""
    whole = http_answer(json.dumps(completion("late, but whole")).encode())

    def handle(connection, request):
        connection.sendall(whole if len(server.requests) > 1 else whole[:-9])

    with wire(handle) as server, closing(Chat("any", server.url)) as chat:
        assert ask(way, chat).text == "late, but whole"
    assert len(server.requests) == 2


@every_way
def test_silence_ends_with_the_deadline(way):
    """A server that never answers costs the timeout and no more, attempts included."""
    with wire(lambda connection, request: server.stopping.wait()) as server:
        with closing(Chat("any", server.url, timeout=0.1)) as chat:
            with pytest.raises(ScoringTimeoutError):
                ask(way, chat)


@every_way
def test_a_trickle_ends_with_the_deadline(way):
    """An answer that comes byte by byte, each in time, is still bound by the whole timeout."""

    def trickle(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not server.stopping.wait(0.01):
            connection.sendall(b" ")

    with wire(trickle) as server, closing(Chat("any", server.url, timeout=0.2)) as chat:
        with pytest.raises(ScoringTimeoutError):
            ask(way, chat)


@every_way
def test_no_server_is_an_error_of_ours(way):
    """Where nothing listens, RemoteError names host and port."""
    with wire(lambda connection, request: None) as server:
        url = server.url
    with closing(Chat("any", url, max_retries=0)) as chat:
        with pytest.raises(RemoteError, match=r"127\.0\.0\.1:\d+/v1/chat/completions: no conn"):
            ask(way, chat)


def test_a_callers_own_limit_is_not_taken_for_the_deadline():
    """A shorter time limit around the call comes out as it is, and drops the request."""

    async def hurried(chat):
        async with asyncio.timeout(0.05):
            await chat.acomplete(MESSAGES)

    with wire(lambda connection, request: server.stopping.wait()) as server:
        with closing(Chat("any", server.url, timeout=60)) as chat:
            with pytest.raises(TimeoutError) as caught:
                asyncio.run(hurried(chat))
    assert not isinstance(caught.value, ZeloError)


@every_way
def test_a_closed_endpoint_says_so(openai, way):
    """After `close`, which may be called twice, nothing is sent."""
    chat = Chat("any", openai.url)
    chat.close()
    chat.close()
    with pytest.raises(ClosedError, match=f"{openai.url}/v1 were closed"):
        ask(way, chat)
    assert openai.asked == []


@every_way
def test_a_lone_surrogate_is_refused_without_the_text(openai, way):
    """What is not valid Unicode is told before sending, and no part of the error holds it."""
    text = f"{CANARY} \ud800"
    with closing(Embeddings("any", openai.url)) as model:
        with pytest.raises(InputError, match="lone surrogate") as caught:
            model.embed([text]) if way == "waiting" else asyncio.run(model.aembed([text]))
    assert caught.value.__context__ is None
    assert openai.asked == []


def echoed(asked):
    """A careless server's error: the key and the texts."""
    return {"error": {"message": f"{asked.headers['authorization']} {asked.body}", "code": CANARY}}


OUTCOMES = {
    "an error that repeats": (500, None),
    "a refusal that repeats": (400, None),
    "a refusal of a parameter": (
        400,
        {"error": {"message": "", "param": f"{CANARY} {KEY}", "code": "unsupported_parameter"}},
    ),
    "an answer that repeats": (200, {"choices": [{"message": {"content": [CANARY, KEY]}}]}),
    "another key wanted": (401, None),
    "a redirect": (307, None),
}


@every_way
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_no_secret_is_shown(openai, caplog, way, outcome):
    """Neither key nor text is in any repr, error, pickle or log, whatever the server repeats."""
    status, body = OUTCOMES[outcome]
    caplog.set_level(logging.DEBUG)
    for _ in range(2):
        openai.script.append(
            lambda asked: answer_json(body if body is not None else echoed(asked), status)
        )
    with closing(Chat("any", openai.url, api_key=KEY, max_retries=1)) as chat:
        with pytest.raises(ZeloError) as caught:
            ask(way, chat)
        shown = [repr(chat), repr(vars(chat)), repr(vars(chat._endpoint)), repr(chat.identity)]
        with pytest.raises(TypeError):
            pickle.dumps(chat)
    shown += traceback.format_exception(caught.value)
    error = caught.value
    while error is not None:
        shown += [repr(error), repr(vars(error)), repr(pickle.dumps(error))]
        error = error.__cause__ or error.__context__
    logs = [one for one in caplog.records if not one.name.startswith(("asyncio", "uvicorn"))]
    assert {"httpx", "httpcore.connection"} <= {record.name for record in logs}
    shown += [repr(vars(record)) + record.getMessage() for record in logs]
    assert KEY not in "".join(shown)
    assert CANARY not in "".join(shown)


def answer_json(body, status):
    """An answer, a redirect with a target."""
    return JSONResponse(body, status, {"location": "http://elsewhere/"} if status == 307 else None)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "param", "message", "choices"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(JSON | st.binary(max_size=40), st.sampled_from([201, 400, 404, 422, 429, 500]))
@example({"error": {"code": ["unsupported_value"], "param": "temperature"}}, 400)
@example([{"error": {"message": 'Unknown name "seed": Cannot find field.'}}], 400)
def test_any_refusal_is_an_error_of_ours(body, status):
    """Whatever a refusal's body holds, it becomes a RemoteError with the status."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    got = HttpResponse(HttpRequest("POST", "/v1/embeddings"), status, {}, content)
    error = refusal("POST host/v1/embeddings", got, {"seed", "temperature"})
    assert isinstance(error, RemoteError)
    assert error.status == status
    assert getattr(error, "parameter", "seed") in ("seed", "temperature")
