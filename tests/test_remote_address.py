"""Where requests go, by whose word, and with which key."""

import asyncio

import pytest

from zelo import InputError, MissingExtraError, RemoteAuthError, Reranker
from zelo.transport.address import Address

KEY = "sk-zelo-5ecre7"
QUERY, DOCUMENTS = "how is the water", ["the water is cold", "stone bridges"]
GATEWAY = {"dialect": "gateway", "score_scale": "probability"}


@pytest.mark.parametrize(
    ("base_url", "told"),
    [
        ("http://user:pass-word@host.example", "a user, a query or a fragment"),
        ("https://pass-word@host.example/v1", "a user, a query or a fragment"),
        ("https://host.example/v1?key=pass-word", "a user, a query or a fragment"),
        ("https://host.example/#pass-word", "a user, a query or a fragment"),
        ("https://api.zeroentropy.dev/v1/pass-word", "ended in September 2026"),
        ("https://eu-api.zeroentropy.dev/pass-word", "ended in September 2026"),
        ("https://API.ZeroEntropy.dev/pass-word", "ended in September 2026"),
        ("https://zeroentropy.dev./pass-word", "ended in September 2026"),
        ("gpu-pass-word:8000", "names no server"),
        ("host.example/pass-word", "names no server"),
        ("ftp://host.example/pass-word", "names no server"),
        ("http:///pass-word", "names no server"),
        ("http://host\n.example/pass-word", "is no URL"),
        ("http://host.example:port-pass-word", "is no URL"),
        ("", "names no server"),
        (b"http://pass-word.example", "must be the server's URL"),
        (3, "must be the server's URL"),
        ([], "must be the server's URL"),
        (["http://127.0.0.1:9", "pass-word"], "names no server"),
        (["http://127.0.0.1:9", 3], "is no URL"),
    ],
)
def test_an_impossible_url_is_refused(base_url, told):
    """What is no address of a server, or holds a secret, is refused without being repeated."""
    with pytest.raises(InputError, match="base_url") as caught:
        Reranker("zerank-2", base_url=base_url, **GATEWAY)
    assert told in str(caught.value)
    assert "pass-word" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        ("http://gpu-box:8000", "http://gpu-box:8000"),
        ("http://gpu-box:8000/", "http://gpu-box:8000"),
        ("http://gpu-box:8000/v1", "http://gpu-box:8000"),
        ("http://gpu-box:8000/v2/", "http://gpu-box:8000"),
        ("https://host.example/llm/v1/", "https://host.example/llm"),
        ("https://host.example/dev1", "https://host.example/dev1"),
        ("http://v1", "http://v1"),
        ("http://v2/v1", "http://v2"),
        ("http://[::1]:8000/v1", "http://[::1]:8000"),
        ("https://host.example/a%20b", "https://host.example/a%20b"),
        ("https://host/environments/production/sync", "https://host/environments/production/sync"),
    ],
)
def test_a_closing_version_makes_no_difference(base_url, root):
    """The version that SDKs want at the end of a base URL is taken off; nothing else is."""
    assert Address.of(base_url, has_key=False, allow_http=False).root == root


@pytest.mark.parametrize("base_url", ["http://gpu-box:8000", "http://10.0.0.7", "http://127.1.e"])
def test_a_key_over_plain_http_is_refused(base_url):
    """A key for another host must not travel in clear text."""
    with pytest.raises(InputError, match="the key would travel in clear text") as caught:
        Reranker("zerank-2", base_url=base_url, api_key=KEY, **GATEWAY)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "options"),
    [
        ("http://gpu-box:8000", {"allow_http": True, "api_key": KEY}),
        ("http://gpu-box:8000", {}),
        ("https://gpu-box:8000", {"api_key": KEY}),
        ("http://localhost:8000", {"api_key": KEY}),
        ("http://127.0.0.1:8000", {"api_key": KEY}),
        ("http://127.9.9.9", {"api_key": KEY}),
        ("http://[::1]:8000", {"api_key": KEY}),
    ],
)
def test_a_key_that_cannot_be_overheard_is_taken(base_url, options):
    """https, this machine, and a network that the caller vouches for may have the key."""
    Reranker("zerank-2", base_url=base_url, **options, **GATEWAY).close()


def test_a_key_of_the_environment_is_guarded_too(monkeypatch):
    """Where the key comes from makes no difference."""
    monkeypatch.setenv("ZELO_API_KEY", KEY)
    with pytest.raises(InputError, match="the key would travel in clear text"):
        Reranker("zerank-2", base_url="http://gpu-box:8000", **GATEWAY)


@pytest.mark.parametrize("key", ["a\nb", " key", "key ", "schlüssel", "a\x00b", 3, b"key"])
def test_a_key_that_no_header_can_carry_is_refused(key):
    """A key with line breaks or other characters is refused before anything is sent."""
    with pytest.raises(InputError, match="api_key") as caught:
        Reranker("zerank-2", base_url="https://host.example", api_key=key, **GATEWAY)
    assert repr(key) not in str(caught.value)


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@pytest.mark.parametrize(("kind", "scheme"), [("gateway", "Bearer"), ("baseten", "Api-Key")])
def test_the_key_goes_into_one_header(running, kind, scheme, way):
    """Each dialect has the key in its own scheme, in the Authorization header and nowhere else."""
    server = running.play(kind, "logit", KEY)
    options = {"dialect": kind, "score_scale": "logit", "api_key": KEY}
    with Reranker("zerank-2", base_url=server.url, **options) as remote:
        if way == "waiting":
            remote.score(QUERY, DOCUMENTS)
        else:
            asyncio.run(remote.ascore(QUERY, DOCUMENTS))
    (asked,) = server.asked
    assert [name for name, value in asked.headers.items() if KEY in value] == ["authorization"]
    assert asked.headers["authorization"] == f"{scheme} {KEY}"
    assert KEY not in asked.path + repr(asked.body)


def test_without_a_key_there_is_no_header(running):
    """A server without keys is sent no Authorization header."""
    server = running.play("gateway")
    with Reranker("zerank-2", base_url=server.url, **GATEWAY) as remote:
        remote.score(QUERY, DOCUMENTS)
    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize("dialect", ["auto", "gateway"])
@pytest.mark.parametrize("key", [None, "sk-wrong"])
def test_a_wrong_key_is_an_error_of_its_own(running, key, dialect):
    """A refused or missing key is told as such, asked for once, and not repeated."""
    server = running.play("gateway", key=KEY)
    options = GATEWAY | {"dialect": dialect}
    with Reranker("zerank-2", base_url=server.url, api_key=key, **options) as remote:
        with pytest.raises(RemoteAuthError, match="give it as api_key=") as caught:
            remote.score(QUERY, DOCUMENTS)
    assert caught.value.status == 401
    assert "sk-wrong" not in str(caught.value)
    assert len(server.scoring) == 1


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({"ZELO_API_KEY": "sk-ours"}, "sk-ours"),
        ({"ZEROENTROPY_API_KEY": "sk-theirs"}, "sk-theirs"),
        ({"ZELO_API_KEY": "sk-ours", "ZEROENTROPY_API_KEY": "sk-theirs"}, "sk-ours"),
        ({"ZELO_API_KEY": "", "ZEROENTROPY_API_KEY": "sk-theirs"}, "sk-theirs"),
    ],
)
def test_the_environments_key(running, monkeypatch, variables, key):
    """Without api_key= the environment's is sent, ours before the vendor's."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    server = running.play("gateway")
    with Reranker("zerank-2", base_url=server.url, **GATEWAY) as remote:
        remote.score(QUERY, DOCUMENTS)
    assert server.asked[0].headers["authorization"] == f"Bearer {key}"


@pytest.mark.parametrize("names", [["ZELO"], ["ZEROENTROPY"], ["ZELO", "ZEROENTROPY"]])
def test_the_environments_server(running, monkeypatch, names):
    """Without base_url= the environment's server scores, ours before the vendor's."""
    server = running.play("gateway")
    for name in ("ZEROENTROPY", "ZELO"):
        if name in names:
            other = "http://127.0.0.1:9"
            monkeypatch.setenv(f"{name}_BASE_URL", server.url if name == names[0] else other)
    with Reranker("zerank-2", **GATEWAY) as remote:
        remote.score(QUERY, DOCUMENTS)
    assert len(server.asked) == 1


def test_what_is_said_wins_over_the_environment(running, monkeypatch):
    """base_url= and api_key= are taken before the environment's."""
    monkeypatch.setenv("ZELO_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ZELO_API_KEY", "sk-other")
    server = running.play("gateway", key=KEY)
    with Reranker("zerank-2", base_url=server.url, api_key=KEY, **GATEWAY) as remote:
        remote.score(QUERY, DOCUMENTS)


def test_models_that_are_here_stay_here(local, tiny_model, monkeypatch):
    """A folder or the packaged model is not sent to the environment's server."""
    monkeypatch.setenv("ZELO_BASE_URL", "http://127.0.0.1:9")
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        assert reranker.score(QUERY, DOCUMENTS) == local.score(QUERY, DOCUMENTS)
    assert "base_url" not in Reranker("zelo-nano").settings


def test_without_a_server_the_model_runs_here():
    """No default points at any server, the vendor's least of all."""
    assert "base_url" not in Reranker("zerank-2").settings


@pytest.mark.parametrize(
    "options",
    [
        *[{"device": "cpu"}, {"dtype": "float32"}, {"revision": "main"}, {"max_tokens": 9}],
        *[{"cache_dir": "x"}, {"local_files_only": True}, {"long_documents": "chunk"}],
        {"max_batch_tokens": 9},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_this_process_are_refused(options):
    """What only the server can decide is refused, by name."""
    with pytest.raises(InputError, match=f"{next(iter(options))}= is the server's to decide"):
        Reranker("zerank-2", base_url="http://127.0.0.1:9", **GATEWAY, **options)


@pytest.mark.parametrize(
    "options",
    [{"dialect": "tei"}, {"score_scale": "logit"}, {"allow_http": True}, {"http2": True}],
    ids=lambda options: next(iter(options)),
)
def test_options_of_a_server_need_one(options):
    """What means nothing without a server is refused without one."""
    with pytest.raises(InputError, match=f"{next(iter(options))}= belongs to base_url="):
        Reranker("zerank-2", **options)


def test_http2_without_its_package_is_refused(monkeypatch):
    """HTTP/2 needs a package that few have; the error says which, before anything is sent."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"zelo\[http2\]"):
        Reranker("zerank-2", base_url="http://127.0.0.1:9", http2=True, **GATEWAY)


@pytest.mark.parametrize(("option", "value"), [("dialect", "tie"), ("score_scale", "percent")])
def test_unknown_words_are_refused(option, value):
    """A dialect or scale that there is not is refused with those that there are."""
    options = GATEWAY | {option: value}
    with pytest.raises(InputError, match=f"{option}='{value}'; choose one of") as told:
        Reranker("zerank-2", base_url="http://127.0.0.1:9", **options)
    assert {"dialect": "vllm", "score_scale": "logit/5"}[option] in str(told.value)
