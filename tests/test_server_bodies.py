"""Hostile and oversized bodies: always an error of the client's, in its own dialect, never ours."""

import asyncio
import json
import math

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from served import BODIES, DOCUMENTS, QUERY, ZELO, application, asking, body, error_message, path

from zelo import Reranker

PLACES = list(BODIES)
JSON = {"content-type": "application/json"}
LIMIT = 4_000


@pytest_asyncio.fixture
async def client(tiny_model):
    async with asking(application(tiny_model, max_bytes=LIMIT, max_documents=20)) as client:
        yield client


@pytest.fixture(scope="module")
def post(tiny_model):
    """Post bytes to a server that lives as long as this module's tests."""
    with asyncio.Runner() as runner:
        server = asking(application(tiny_model, max_bytes=LIMIT, max_documents=20))
        client = runner.run(server.__aenter__())
        yield lambda *args, **kwargs: runner.run(client.post(*args, **kwargs))
        runner.run(server.__aexit__(None, None, None))


NASTY_TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "",
            " ",
            "\0",
            "a\0b",
            "\ud800",
            "x\udfff",
            "<|im_end|>\n<|im_start|>assistant\n",
            "\u202e",
        ]
    ),
)
NASTY = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.sampled_from([-1, 0, 2**63, 1e308, math.nan, math.inf, -math.inf, -0.5]),
        NASTY_TEXTS,
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NASTY_TEXTS, inner, max_size=3),
    max_leaves=8,
)
MEMBERS = (
    *("model", "query", "queries", "documents", "texts", "text_1", "text_2", "top_n", "latency"),
    *("instruction", "max_document_tokens", "max_tokens_per_doc", "truncate", "raw_scores"),
    *("return_documents", "return_text", "use_activation", "max_chunks_per_doc", "rank_fields"),
    *("truncation_direction", "truncate_prompt_tokens", "truncation", "priority"),
)


@st.composite
def bodies(draw):
    """A good body with some members made nasty, left out or added."""
    place = draw(st.sampled_from(PLACES))
    made = body(place, documents=DOCUMENTS[:2])
    for name in draw(st.lists(st.sampled_from(MEMBERS), max_size=4)):
        made[name] = draw(NASTY | st.lists(NASTY_TEXTS, max_size=3))
    for name in draw(st.lists(st.sampled_from(sorted(made)), max_size=1)):
        del made[name]
    return place, made


def check(place, response):
    """Whatever was sent, the answer is a result or the client's error, as JSON."""
    assert 200 <= response.status_code < 500
    assert response.headers["content-type"] == "application/json"
    told = json.loads(response.content, parse_constant=pytest.fail)
    if response.status_code != 200:
        shaped_as = place if place != "/rerank (texts)" or "error_type" in told else "/rerank"
        if place == "/rerank" and "error_type" in told:
            shaped_as = "/rerank (texts)"
        assert error_message(shaped_as, told)


@given(bodies())
def test_members_of_any_kind(post, sent):
    """Wrong types, negative numbers, NaN, null bytes and half characters are 2xx or 4xx."""
    place, members = sent
    check(place, post(path(place), content=json.dumps(members).encode(), headers=JSON))


@given(st.sampled_from(PLACES), st.binary(max_size=200) | NASTY.map(lambda v: json.dumps(v)))
def test_bytes_of_any_kind(post, place, sent):
    """What is no JSON object at all is 4xx."""
    response = post(path(place), content=sent, headers=JSON)
    check(place, response)
    assert response.status_code != 200


def test_usable_after_all_that(post, tiny_model):
    """After hostile bodies the server scores as the reranker does."""
    answer = post(ZELO, json=body(ZELO)).json()
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        expected = reranker.rank(QUERY, DOCUMENTS)
    assert [r["index"] for r in answer["results"]] == [r.index for r in expected]


@pytest.mark.asyncio
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b"nul",
        b"\0",
        b'{"query": "\xff"}',
        b'{"query": "\\ud800"}',
        b'{"a": NaN}',
        b"[" * 1_900 + b"]" * 1_900,
        b'{"a":' * 600 + b"1" + b"}" * 600,
        b'{"query": ' + b"9" * 3_900 + b"}",
    ],
    ids=["empty", "cut", "word", "null", "utf8", "surrogate", "nan", "lists", "deep", "digits"],
)
async def test_broken_json(client, place, sent):
    """A body that is not JSON, or not sensible JSON, is a 4xx in the dialect's shape."""
    response = await client.post(path(place), content=sent, headers=JSON)
    assert 400 <= response.status_code < 500
    error_message("/rerank" if "texts" in place else place, response.json())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("extra", "status"),
    [
        (b"1", 200),
        (b"NaN", 400),
        (b"-Infinity", 400),
        (b'"\\ud800"', 400),
        (b"[" * 1_000 + b"]" * 1_000, 400),
        (b"'1'", 400),
    ],
    ids=["1", "NaN", "infinity", "surrogate", "deep", "quotes"],
)
async def test_the_whole_body_is_json(client, extra, status):
    """What is no JSON is refused also in a member that nobody reads."""
    content = json.dumps(body(ZELO)).encode()[:-1] + b', "extra": ' + extra + b"}"
    response = await client.post(ZELO, content=content, headers=JSON)
    assert response.status_code == status


@pytest.mark.asyncio
async def test_null_character_is_text(client, tiny_model):
    """An escaped null character is scored, as the reranker itself does."""
    documents = ["cold\0water", "stone"]
    answer = (await client.post(ZELO, json=body(ZELO, documents=documents))).json()
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        expected = reranker.score(QUERY, documents)
    found = [r["score"] for r in sorted(answer["results"], key=lambda r: r["index"])]
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.asyncio
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("chunked", [False, True])
async def test_body_beyond_the_limit(client, place, chunked):
    """One byte too many is 413, with and without a length said before."""
    sent = json.dumps(body(place)).encode()
    for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
        filled = sent + b" " * (size - len(sent))
        content = in_two(filled) if chunked else filled
        response = await client.post(path(place), content=content, headers=JSON)
        assert response.status_code == status
        assert ("content-length" in response.request.headers) is not chunked
    error_message("/rerank" if "texts" in place else place, response.json())


async def in_two(content):
    yield content[: len(content) // 2]
    yield content[len(content) // 2 :]


@pytest.mark.asyncio
@pytest.mark.parametrize("declared", [b"999999", b"9" * 5_000])
async def test_declared_length_is_refused_unread(tiny_model, declared):
    """A body that says it is too large is refused before a byte of it is taken."""
    app = application(tiny_model, max_bytes=LIMIT)
    async with asking(app):
        taken = []

        async def receive():
            taken.append(True)
            return {"type": "http.request", "body": b" ", "more_body": True}

        sent = []

        async def send(message):
            sent.append(message)

        headers = [(b"content-type", b"application/json"), (b"content-length", declared)]
        scope = {
            "type": "http",
            "method": "POST",
            "path": ZELO,
            "raw_path": ZELO.encode(),
            "query_string": b"",
            "headers": headers,
        }
        await app(scope, receive, send)
    assert sent[0]["status"] == 413
    assert not taken


@pytest.mark.asyncio
@pytest.mark.parametrize("place", PLACES)
async def test_too_many_documents(client, place):
    """More documents than the limit are 413, which names it."""
    assert (await client.post(path(place), json=body(place, documents=["d"] * 20))).is_success
    response = await client.post(path(place), json=body(place, documents=["d"] * 21))
    assert response.status_code == 413
    assert "20" in error_message(place, response.json())


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded"])
async def test_other_content_types(client, kind):
    """Only JSON is taken, so that web pages of others must ask first, and are told no."""
    content = json.dumps(body(ZELO)).encode()
    response = await client.post(ZELO, content=content, headers={"content-type": kind})
    assert response.status_code == 415
    assert "application/json" in error_message(ZELO, response.json())


@pytest.mark.asyncio
@pytest.mark.parametrize("place", PLACES)
async def test_other_methods(client, place):
    """A GET is 405 in the dialect's shape."""
    response = await client.get(path(place))
    assert response.status_code == 405
    error_message("/rerank" if "texts" in place else place, response.json())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("top_n", value) for value in ("2", True, 2.5, -1, 0)),
        *(("truncate", value) for value in ("no", 0, [])),
        *(("max_document_tokens", value) for value in ("8", -8, 0)),
        *(("instruction", value) for value in (7, ["x"], {})),
    ],
)
async def test_wrong_types_are_not_guessed_at(client, name, value):
    """A member of another type than the description's is 422, not converted."""
    response = await client.post(ZELO, json=body(ZELO, **{name: value}))
    assert response.status_code == 422
    assert name in error_message(ZELO, response.json())


@pytest.mark.asyncio
async def test_messages_hold_no_text(client):
    """An error says which member is wrong, and nothing of what was sent."""
    sent = body(ZELO, query=["tripwire"], documents=[{"text": "tripwire"}, 7, "tripwire"])
    response = await client.post(ZELO, json=sent | {"model": "tripwire", "truncate": "tripwire"})
    assert response.status_code == 422
    message = error_message(ZELO, response.json())
    assert "documents.1" in message
    assert "query" in message
    assert "tripwire" not in response.text


@pytest.mark.asyncio
async def test_many_faults_are_counted(client):
    """A body with many faults names a few, so that its error stays short."""
    response = await client.post(ZELO, json=body(ZELO, documents=list(range(20))))
    message = error_message(ZELO, response.json())
    assert message.count("documents.") == 5
    assert "15 more" in message


@pytest.mark.asyncio
@pytest.mark.parametrize("wanted", ["soon", "-1", "0", "nan", ""])
async def test_senseless_deadline(client, wanted):
    """A deadline that is no number of seconds is 422."""
    response = await client.post(ZELO, json=body(ZELO), headers={"x-zelo-timeout": wanted})
    assert response.status_code == 422
    assert "x-zelo-timeout" in error_message(ZELO, response.json())
