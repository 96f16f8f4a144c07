"""What goes wrong between here and a server: each a typed error in time, and nothing followed."""

import asyncio
import json
import logging
import re
import resource
import socket
import ssl
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
from fakes import FAKES
from fakes_serving import FakeServer, http_answer, wire
from starlette.responses import Response

from zelo import ClosedError, RemoteError, Reranker, ScoringTimeoutError
from zelo.remote.scorer import CONCURRENCY
from zelo.transport.failures import unreachable

KEY = "sk-zelo-5ecre7"
QUERY, DOCUMENTS = "how is the water", ["the water is cold", "stone bridges"]
GOOD = json.dumps({"results": [{"index": i, "relevance_score": 0.5} for i in range(2)]}).encode()
WAYS = ["waiting", "awaiting"]
TOO_MANY = "too many files and sockets are open here"

every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def running():
    with FakeServer(FAKES["gateway"], model=None).running() as server:
        yield server


def client(url, **options):
    """Return a client that is told what the server speaks, and asks once."""
    options = {"dialect": "gateway", "score_scale": "probability", "max_retries": 0} | options
    return Reranker("zerank-2", base_url=url, **options)


def score(way, reranker):
    """Score, blocking or awaiting."""
    if way == "waiting":
        return reranker.score(QUERY, DOCUMENTS)
    return asyncio.run(reranker.ascore(QUERY, DOCUMENTS))


@every_way
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(running, way, status):
    """A redirect is an error that names where it leads; nothing, least of all the key, goes there.

    The path and query of the target are not repeated.
    """
    with wire(lambda connection, request: connection.sendall(http_answer(GOOD))) as other:
        server = running.play("gateway")
        target = f"{other.url}/token/{KEY}?key={KEY}"
        server.script.append(
            lambda asked: Response(status_code=status, headers={"location": target})
        )
        with client(server.url, api_key=KEY) as remote:
            with pytest.raises(RemoteError, match=f"answered {status}, a redirect to") as caught:
                score(way, remote)
        assert other.requests == []
    assert f"{other.url}." in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize("location", ["", "/login", "http://[", "\x80", "//u:sk-zelo-5ecre7@host/"])
def test_a_redirect_without_sense_is_an_error_too(running, location):
    """Wherever a redirect leads, the error is typed, and repeats no secret."""
    server = running.play("gateway")
    headers = {"location": location.encode("latin-1").decode("latin-1")}
    server.script.append(lambda asked: Response(status_code=302, headers=headers))
    with client(server.url) as remote:
        with pytest.raises(RemoteError, match="Redirects are not followed") as caught:
            score("waiting", remote)
    assert KEY not in str(caught.value)


def test_a_clients_own_wish_to_follow_is_overruled(running):
    """A client that follows redirects by default does not when it is ours to use."""
    server = running.play("gateway")
    headers = {"location": f"{server.url}/v1/rerank"}
    server.script.append(lambda asked: Response(status_code=307, headers=headers))
    with httpx.Client(follow_redirects=True) as own, client(server.url, http_client=own) as remote:
        with pytest.raises(RemoteError, match="a redirect to"):
            remote.score(QUERY, DOCUMENTS)
    assert len(server.asked) == 1


@every_way
@pytest.mark.parametrize("dialect", ["auto", "gateway"])
def test_a_dead_server_is_an_error(way, dialect):
    """Where nobody listens, the error says so, and asks whether base_url is right."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with client(f"http://127.0.0.1:{port}", dialect=dialect) as remote:
        with pytest.raises(RemoteError, match=r"no connection \(ConnectError\)") as caught:
            score(way, remote)
    assert caught.value.transient
    assert caught.value.status is None


@every_way
def test_a_name_that_nobody_has_is_an_error(way):
    """A host that cannot be resolved is told as a missing connection."""
    with client("http://no-such-host.invalid:9") as remote:
        with pytest.raises(RemoteError, match="no connection"):
            score(way, remote)


@every_way
@pytest.mark.parametrize(
    ("base_url", "proxy", "told"),
    [
        ("https://{host}", "", r"no connection \(\w*VERSION\w*\)\. Does it speak https://"),
        ("http://no-such-host.invalid:9", "", r"no connection \((?!ConnectError)"),
        ("https://server.invalid", "http://{host}", r"the proxy lets nothing through \(\d+\);"),
    ],
)
def test_what_stands_between_is_told(way, base_url, proxy, told, running, monkeypatch):
    """A server without TLS, an unknown name and a proxy that refuses are told from a dead one."""
    host = running.url.removeprefix("http://")
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.format(host=host))
    with client(base_url.format(host=host)) as remote:
        with pytest.raises(RemoteError, match=told):
            score(way, remote)


def test_a_certificate_that_is_not_trusted_is_not_asked_for_again():
    """A certificate of an unknown authority stays one, so the cure is told at once."""
    cause = ssl.SSLCertVerificationError(1, "unable to get local issuer certificate")
    cause.reason = "CERTIFICATE_VERIFY_FAILED"
    error = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]")
    error.__cause__ = cause
    told = unreachable("POST host/v1/rerank", error)
    assert re.search(r"\(CERTIFICATE_VERIFY_FAILED\)\. .*SSL_CERT_FILE.*http_client=", str(told))
    assert not told.transient


@contextmanager
def no_descriptors():
    """Let this process open no file and no socket more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@every_way
def test_too_many_open_files_are_told(way):
    """Where this process may open nothing more, the error says that, and blames no server."""

    async def awaiting():
        with pytest.raises(RemoteError, match="Is the server running"):
            await remote.ascore(QUERY, DOCUMENTS)
        with no_descriptors(), pytest.raises(RemoteError, match=TOO_MANY):
            await remote.ascore(QUERY, DOCUMENTS)

    with client("http://127.0.0.1:9") as remote:
        if way == "awaiting":
            asyncio.run(awaiting())
        else:
            with no_descriptors(), pytest.raises(RemoteError, match=TOO_MANY):
                remote.score(QUERY, DOCUMENTS)


def reset(connection):
    """Break a connection off, as a killed process does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


BROKEN = {
    "killed before the answer": lambda connection, request: reset(connection),
    "closed before the answer": lambda connection, request: None,
    "killed in the headers": lambda connection, request: connection.sendall(http_answer(GOOD)[:30]),
    "killed in the body": lambda connection, request: connection.sendall(http_answer(GOOD)[:-9]),
    "half-closed": lambda connection, request: (
        connection.sendall(http_answer(GOOD)[:-9]),
        connection.shutdown(socket.SHUT_WR),
        connection.recv(1),
    ),
    "no HTTP": lambda connection, request: connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "TLS": lambda connection, request: connection.sendall(b"\x15\x03\x01\x00\x02\x02\x50"),
    "two lengths": lambda connection, request: connection.sendall(
        http_answer(GOOD, headers="content-length: 3\r\n")
    ),
    "headers without end": lambda connection, request: connection.sendall(
        b"HTTP/1.1 200 OK\r\n" + b"x-filler: aaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 20_000
    ),
}


@every_way
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_an_error(way, name):
    """Whatever breaks off between the request and the answer's end gives a typed error."""
    with wire(BROKEN[name]) as server, client(server.url) as remote:
        with pytest.raises(RemoteError, match="the connection broke") as caught:
            score(way, remote)
    assert caught.value.transient
    assert "water" not in str(caught.value)


@every_way
def test_a_broken_answer_is_asked_for_again(monkeypatch, way):
    """A server that was killed in the middle, and is back, gives its scores."""
    monkeypatch.setattr("zelo.scoring.retrying.random.uniform", lambda low, high: low)
    parts = iter([GOOD[:-9], GOOD])

    def handle(connection, request):
        connection.sendall(http_answer(GOOD)[: -len(GOOD)] + next(parts))

    with wire(handle) as server, client(server.url, max_retries=1) as remote:
        assert score(way, remote) == [0.5, 0.5]
        assert len(server.requests) == 2


def trickled(content, at_once):
    """Return a handler that sends some bytes at once, and the rest one by one, slowly."""

    def handle(connection, request):
        connection.sendall(content[:at_once])
        for byte in content[at_once:]:
            time.sleep(0.05)
            connection.sendall(bytes([byte]))

    return handle


def silent(connection, request):
    """Never answer."""
    connection.recv(1)


SLOW = {
    "silent": silent,
    "trickling headers": trickled(b"HTTP/1.1 200 OK\r\n" + b"x-filler: a\r\n" * 1_000, 20),
    "trickling body": trickled(http_answer(b" " * 9_000 + GOOD), 200),
}


@every_way
@pytest.mark.parametrize("dialect", ["auto", "gateway"])
@pytest.mark.parametrize("name", SLOW)
def test_a_slow_server_holds_nobody_beyond_the_timeout(way, name, dialect):
    """A server that sends a byte now and then does not outlast the call's timeout."""
    with wire(SLOW[name]) as server:
        with client(server.url, timeout=0.3, dialect=dialect, max_retries=2) as remote:
            with pytest.raises(ScoringTimeoutError):
                score(way, remote)
        assert len(server.requests) <= 1  # and no second attempt


def test_a_trickling_answer_does_not_keep_its_thread():
    """After the timeout the threads that were reading are free for the next call."""
    trickling = threading.Event()
    trickling.set()

    def handle(connection, request):
        if trickling.is_set():
            SLOW["trickling body"](connection, request)
        connection.sendall(http_answer(GOOD))

    def call():
        with pytest.raises(ScoringTimeoutError):
            remote.score(QUERY, DOCUMENTS)

    with wire(handle) as server, client(server.url, timeout=2.0) as remote:
        threads = [threading.Thread(target=call) for _ in range(CONCURRENCY)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        trickling.clear()
        assert remote.score(QUERY, DOCUMENTS) == [0.5, 0.5]


@every_way
def test_a_server_that_accepts_and_does_no_more_is_an_error(way):
    """A full backlog, where no connection is ever accepted, ends at the timeout too."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with client(url, timeout=0.3) as remote:
            with pytest.raises((RemoteError, ScoringTimeoutError)):
                score(way, remote)


def test_ones_own_client_is_used_and_left_open(running):
    """A caller's client carries its headers, and is open after the reranker is closed."""
    server = running.play("gateway")
    server.script.extend([lambda asked: Response(GOOD)] * 2)
    with httpx.Client(headers={"x-team": "search"}) as own:
        with client(server.url, http_client=own) as remote:
            assert remote.score(QUERY, DOCUMENTS) == [0.5, 0.5]
        assert server.asked[0].headers["x-team"] == "search"
        assert not own.is_closed
        assert own.post(f"{server.url}/v1/rerank").status_code == 200


def test_ones_own_asynchronous_client_is_used_and_left_open(running):
    """So is one for event loops."""
    server = running.play("gateway")
    server.script.append(lambda asked: Response(GOOD))

    async def main():
        async with httpx.AsyncClient(headers={"x-team": "search"}) as own:
            with client(server.url, async_http_client=own) as remote:
                assert await remote.ascore(QUERY, DOCUMENTS) == [0.5, 0.5]
            return own.is_closed

    assert asyncio.run(main()) is False
    assert server.asked[0].headers["x-team"] == "search"


def test_ones_own_clients_patience_does_not_count(running):
    """The reranker's timeout applies to a caller's client as well."""
    with wire(silent) as server, httpx.Client(timeout=999) as own:
        with client(server.url, http_client=own, timeout=0.2) as remote:
            with pytest.raises(ScoringTimeoutError):
                remote.score(QUERY, DOCUMENTS)


def test_a_closed_client_of_ones_own_is_told():
    """A caller's client that is closed gives a typed error that says so."""
    own, later = httpx.Client(), httpx.AsyncClient()
    own.close()
    asyncio.run(later.aclose())
    with client("http://127.0.0.1:9", http_client=own, async_http_client=later) as remote:
        for way in WAYS:
            with pytest.raises(ClosedError, match="the HTTP client that was given is closed"):
                score(way, remote)


@every_way
def test_connections_are_kept(running, caplog, way):
    """Calls one after the other go over one connection."""
    server = running.play("gateway")
    server.script.extend([lambda asked: Response(GOOD)] * 3)

    async def several(remote):
        for _ in range(3):
            await remote.ascore(QUERY, DOCUMENTS)

    with client(server.url) as remote, caplog.at_level(logging.DEBUG, "httpcore"):
        if way == "waiting":
            for _ in range(3):
                remote.score(QUERY, DOCUMENTS)
        else:
            asyncio.run(several(remote))
    assert caplog.text.count("connect_tcp.started") == 1
