"""Who may use the server: keys on every path, web pages of other origins, the page's own policy."""

import base64
import pickle
import re
from hashlib import sha256

import pytest
import pytest_asyncio
from fastapi.routing import APIRoute
from served import BODIES, ZELO, application, asking, body, error_message, path
from starlette.routing import Route

from zelo import InputError
from zelo.server import ApiKeys

pytestmark = pytest.mark.asyncio
KEYS = ("first-key", "second-key")
PLACES = list(BODIES)


@pytest.fixture
def app(tiny_model):
    return application(tiny_model, keys=KEYS)


@pytest_asyncio.fixture
async def client(app):
    async with asking(app) as client:
        yield client


def every_route(app):
    """Return (method, path) of all routes, also of those that frameworks add of themselves."""
    flat, found = list(app.routes), set()
    for route in flat:
        inner = getattr(route, "original_router", None)
        flat += inner.routes if inner is not None else []
        if isinstance(route, Route | APIRoute):
            found |= {(method, route.path) for method in route.methods or {"GET"}}
    return found


async def test_every_route_wants_a_key(app, client):
    """Without a key all routes but /health and /ready are 401, and with one none is."""
    routes = every_route(app)
    assert {path(place) for place in PLACES} <= {route for _, route in routes}
    assert {"/", "/info", "/v1/models", "/metrics", "/openapi.json", "/health", "/ready"} <= {
        route for _, route in routes
    }
    for method, route in routes:
        without = await client.request(method, route)
        headers = {"authorization": "Bearer second-key"}
        given = await client.request(method, route, headers=headers)
        assert (without.status_code == 401) is (route not in ("/health", "/ready")), route
        assert given.status_code != 401, route


@pytest.mark.parametrize("route", ["/docs", "/redoc", "/nowhere", "/v1/rerank/", "/health/"])
async def test_paths_without_a_route_want_a_key_too(client, route):
    """Nobody without a key learns which paths exist; with one, none leads elsewhere."""
    assert (await client.get(route)).status_code == 401
    found = await client.get(route, headers={"authorization": "Bearer first-key"})
    assert found.status_code == 404


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer first-ke",
        "Bearer first-key2",
        "Bearer FIRST-KEY",
        "Basic first-key",
        "first-key",
        "Bearer first-key second-key",
        b"Bearer \xff\xfe",
    ],
)
async def test_wrong_keys(client, header):
    """Whatever is not a key in the bearer scheme is refused, with the scheme that is wanted."""
    headers = {} if header is None else {"authorization": header}
    response = await client.post(ZELO, json=body(ZELO), headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "first-key" not in response.text


@pytest.mark.parametrize("header", ["Bearer first-key", "bearer second-key", "BEARER first-key"])
async def test_right_keys(client, header):
    """Each key is taken, and the scheme's case does not matter."""
    response = await client.post(ZELO, json=body(ZELO), headers={"authorization": header})
    assert response.status_code == 200


@pytest.mark.parametrize("place", [p for p in PLACES if "texts" not in p])
async def test_refusal_has_the_dialects_shape(client, place):
    """A client reads the refusal where it looks for errors."""
    response = await client.post(path(place), json=body(place))
    assert "API key" in error_message(place, response.json())


async def test_refused_before_the_body_is_read(app, client):
    """Who has no key cannot make the server read anything."""

    async def never():
        raise AssertionError("the body was read")
        yield b""

    response = await client.post(ZELO, content=never())
    assert response.status_code == 401


def fields_of(value):
    """Return everything that an object keeps, as one text."""
    return repr(vars(value)) + repr(value)


async def test_keys_are_not_kept():
    """What holds the keys has nothing to give away: not by repr, attributes or pickle."""
    keys = ApiKeys(["sk-tripwire"])
    assert keys.admit("Bearer sk-tripwire")
    assert "tripwire" not in fields_of(keys)
    assert b"tripwire" not in pickle.dumps(keys)


@pytest.mark.parametrize("key", ["", "sk-7 8", "sk-\u00e9", "sk-7\t8", "sk-7\n"])
async def test_keys_that_no_header_can_carry(key):
    """Such a key is an error that does not show it."""
    with pytest.raises(InputError) as raised:
        ApiKeys([key])
    assert not key or key not in str(raised.value)


async def test_keys_from_everywhere(tmp_path, monkeypatch):
    """Keys given, in a file and in the environment all count."""
    file = tmp_path / "keys"
    file.write_text("in-file\n\n  second-in-file  \n")
    monkeypatch.setenv("ZELO_API_KEYS", "in-env,second-in-env")
    keys = ApiKeys.gathered(["given"], file)
    for key in ("given", "in-file", "second-in-file", "in-env", "second-in-env"):
        assert keys.admit(f"Bearer {key}")
    assert not keys.admit("Bearer in-env,second-in-env")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff", None])
async def test_useless_key_files(tmp_path, content):
    """A file without a key would leave the server open, so it is an error."""
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match="keys"):
        ApiKeys.gathered((), file)


async def test_open_without_keys(tiny_model):
    """Without keys everybody who reaches the server may use it."""
    async with asking(application(tiny_model)) as client:
        assert (await client.post(ZELO, json=body(ZELO))).status_code == 200


PREFLIGHT = {
    "origin": "https://example.org",
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,authorization",
}


async def test_other_origins_are_not_let_in(client):
    """Unless told otherwise, no answer allows another origin anything."""
    response = await client.options(ZELO, headers=PREFLIGHT)
    assert response.status_code in (401, 405)
    headers = {"authorization": "Bearer first-key", "origin": "https://example.org"}
    answer = await client.post(ZELO, json=body(ZELO), headers=headers)
    for one in (response, answer):
        assert not [name for name in one.headers if name.startswith("access-control")]


async def test_named_origins_are_let_in(tiny_model):
    """An origin that was named may send requests, with its key and never with cookies."""
    app = application(tiny_model, keys=KEYS, cors=("https://example.org",))
    async with asking(app) as client:
        allowed = await client.options(ZELO, headers=PREFLIGHT)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://example.org"
        assert "access-control-allow-credentials" not in allowed.headers
        other = await client.options(ZELO, headers=PREFLIGHT | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_page_runs_nothing_but_itself(client):
    """The page's policy allows its own script and style by digest, and its own server."""
    response = await client.get("/", headers={"authorization": "Bearer first-key"})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    policy = dict(
        part.partition(" ")[::2] for part in response.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", response.text, re.DOTALL)
        digest = base64.b64encode(sha256(content.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"


async def test_page_brings_all_it_needs(client):
    """The page names no other host, and nothing its policy would not run."""
    text = (await client.get("/", headers={"authorization": "Bearer first-key"})).text
    assert not re.findall(r"(?:https?:)?//[\w-]+\.", text)
    assert not re.findall(r"\son\w+=|\sstyle=|javascript:|innerHTML", text)


async def test_browser_without_a_key_is_asked_for_one(client):
    """A browser gets the page, which asks for a key, as the body of its 401."""
    response = await client.get("/", headers={"accept": "text/html,*/*"})
    assert response.status_code == 401
    assert 'id="key"' in response.text
    assert "tiny" not in response.text
    assert "content-security-policy" in response.headers
