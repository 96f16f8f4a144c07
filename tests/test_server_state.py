"""What the server tells of itself: alive, ready, models, metrics, logs; and what it never tells."""

import asyncio
import io
import json
import logging
import math
import re

import pytest
import pytest_asyncio
import torch
from served import (
    BODIES,
    DOCUMENTS,
    NAMES,
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

import zelo
from zelo import InputError, Reranker
from zelo.scoring.families import FAMILIES
from zelo.server import ServedModel, create_app, service
from zelo.server.logs import JsonLines

WORDS = "tripwire-text"
TRIPWIRE = "tripwire-key"


@pytest.fixture
def app(tiny_model):
    return application(tiny_model)


@pytest_asyncio.fixture
async def client(app):
    async with asking(app) as client:
        yield client


@pytest.fixture
def impatient(monkeypatch):
    """Let /ready look each time, and not wait long."""
    monkeypatch.setattr(service, "CHECK_S", 0.0)
    monkeypatch.setattr(service, "CHECK_TIMEOUT_S", 0.05)


async def status_of(client, where="/ready"):
    response = await client.get(where)
    return response.status_code, response.json()["status"]


@pytest.mark.asyncio
async def test_alive_but_not_ready_while_loading(tiny_model, monkeypatch):
    """While the model loads the server is alive, not ready, and asks clients to come again."""
    go = asyncio.Event()
    loop = asyncio.get_running_loop()
    load = ServedModel.load

    def slow(self):
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
        load(self)

    monkeypatch.setattr(ServedModel, "load", slow)
    async with asking(application(tiny_model), ready=False) as client:
        assert await status_of(client, "/health") == (200, "alive")
        assert await status_of(client) == (503, "loading")
        for place in BODIES:
            response = await client.post(path(place), json=body(place))
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            shape = "/rerank" if "texts" in place else place
            assert "loaded" in error_message(shape, response.json())
        go.set()
        await until(lambda: client._transport.app.state.service.state == "serving")
        assert await status_of(client) == (200, "ready")


@pytest.mark.asyncio
async def test_failed_load_is_told(tmp_path, caplog):
    """A model that cannot be loaded leaves the server alive, not ready, and logs why."""
    app = create_app([ServedModel(Reranker(tmp_path))])
    async with asking(app) as client:
        assert await status_of(client, "/health") == (200, "alive")
        assert await status_of(client) == (503, "failed")
        assert (await client.post(ZELO, json=body(ZELO, model=None))).status_code == 503
    assert "config.json" in caplog.text


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["error", "other score", "nan", "no answer"])
async def test_not_ready_when_the_known_pair_fails(app, client, impatient, fault):
    """Ready means the known pair gets the score it had at first; when it does again, so again."""
    assert await status_of(client) == (200, "ready")
    with held(app, closed=fault == "no answer") as gate:
        if fault == "error":
            gate.error = RuntimeError("the card fell off the bus")
        elif fault != "no answer":
            gate.answer = {"other score": 17.0, "nan": math.nan}[fault]
        assert await status_of(client) == (503, "failed")
        assert await status_of(client, "/health") == (200, "alive")
        assert sample(app, "zelo_ready") == 0
    assert await status_of(client) == (200, "ready")
    assert sample(app, "zelo_ready") == 1


def calls(app):
    return app.state.service.models[0].stats().calls


@pytest.mark.asyncio
async def test_ready_remembers(app, client, monkeypatch):
    """However often it is asked in a while, the known pair is scored once: it needs no key."""
    monkeypatch.setattr(service, "CHECK_S", 1_000)
    before = calls(app)
    for _ in range(5):
        assert await status_of(client) == (200, "ready")
    assert calls(app) - before == 1


@pytest.mark.asyncio
async def test_ready_looks_again(app, client, monkeypatch):
    """After that while, it is scored again."""
    monkeypatch.setattr(service, "CHECK_S", -1.0)
    before = calls(app)
    for _ in range(5):
        assert await status_of(client) == (200, "ready")
    assert calls(app) - before == 5


@pytest.mark.asyncio
async def test_ready_is_asked_by_many(app, client, monkeypatch):
    """Those who ask while the known pair is being scored wait for the same score."""
    monkeypatch.setattr(service, "CHECK_S", -1.0)
    before = calls(app)
    with held(app) as gate:
        asked = [asyncio.create_task(status_of(client)) for _ in range(20)]
        await until(gate.arrived.is_set)
        gate.go.set()
        assert set(await asyncio.gather(*asked)) == {(200, "ready")}
    assert calls(app) - before == 1


@pytest.mark.asyncio
async def test_draining(app, client):
    """A server that is to stop finishes what it accepted, accepts nothing more, and says so."""
    running = app.state.service
    with held(app) as gate:
        accepted = asyncio.create_task(client.post(ZELO, json=body(ZELO)))
        await until(gate.arrived.is_set)
        drained = asyncio.create_task(running.drained())
        await until(lambda: running.state == "draining")
        assert await status_of(client) == (503, "draining")
        assert await status_of(client, "/health") == (200, "alive")
        late = await client.post(ZELO, json=body(ZELO))
        assert late.status_code == 503
        assert late.headers["connection"] == "close"
        assert not drained.done()
        gate.go.set()
        assert (await accepted).status_code == 200
        await drained


@pytest.mark.asyncio
async def test_models_are_listed(client):
    """/v1/models lists every served name, in OpenAI's shape."""
    answer = (await client.get("/v1/models")).json()
    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]] == list(NAMES)
    assert {"id", "object", "created", "owned_by"} <= set(answer["data"][0])


@pytest.mark.asyncio
async def test_info_identifies_the_server(client):
    """/info tells that this is zelo, which models with which scale, and what fits in a request."""
    answer = (await client.get("/info")).json()
    assert (answer["server"], answer["version"]) == ("zelo", zelo.__version__)
    (model,) = answer["models"]
    assert (model["name"], model["names"]) == ("tiny", list(NAMES))
    assert (model["scale"], model["logit_scale"]) == ("probability", 5.0)
    assert model["family"] in FAMILIES
    assert answer["limits"]["max_documents"] == answer["max_client_batch_size"] == 1_000
    assert answer["dialects"]["/rerank"] == ["vllm", "tei"]


@pytest.mark.asyncio
async def test_two_models(tiny_forms):
    """Several models are served side by side, each under its own names."""
    options = {"dtype": "float32", "device": "cpu"}
    models = {
        name: Reranker(tiny_forms[name], **options) for name in ("zerank-2", "qwen3-reranker")
    }
    app = create_app([ServedModel(reranker) for reranker in models.values()])
    async with asking(app) as client:
        for name in models:
            answer = (await client.post(ZELO, json=body(ZELO, model=name))).json()
            with Reranker(tiny_forms[name], **options) as reranker:
                expected = reranker.rank(QUERY, DOCUMENTS)
            scores = [r["score"] for r in answer["results"]]
            assert scores == pytest.approx([r.score for r in expected], abs=1e-6)


@pytest.mark.parametrize("names", [["a", "a"], [" "], [""]])
def test_senseless_names(tiny_model, names):
    """A name said twice or a blank one is an error."""
    with pytest.raises(InputError, match="names"):
        ServedModel(Reranker(tiny_model), names)


@pytest.mark.parametrize("kind", ["remote", "from_scorer", "fallback"])
def test_only_models_of_this_process_are_served(tiny_model, kind):
    """A reranker that would ask a server, this one perhaps, is refused, with what to do."""
    here = Reranker(tiny_model)
    made = {
        "remote": lambda: Reranker("zerank-2", base_url="http://127.0.0.1:9"),
        "from_scorer": lambda: Reranker.from_scorer(here._scorer),
        "fallback": lambda: Reranker(tiny_model, fallback=here),
    }
    with pytest.raises(InputError, match="ZELO_BASE_URL"):
        ServedModel(made[kind]())


def test_name_of_two_models(tiny_model):
    """Two models cannot have one name."""
    with pytest.raises(InputError, match="served name"):
        create_app([ServedModel(Reranker(tiny_model), ["a"]), ServedModel(Reranker(), ["a"])])


def test_no_models():
    """A server without a model is an error."""
    with pytest.raises(InputError, match="at least one model"):
        create_app([])


@pytest.mark.parametrize(
    ("model", "name"), [("zerank-2", "zerank-2"), ("someone/their-reranker",) * 2, ("folder", None)]
)
def test_default_name(tiny_model, model, name):
    """A model is called by its alias or hub id, or by its folder's name without the path."""
    reranker = Reranker(tiny_model if model == "folder" else model)
    assert ServedModel(reranker).names == (name or tiny_model.name,)


@pytest.mark.asyncio
async def test_metrics_move(app, client):
    """Requests move each metric by what they were."""
    long = "cold water " * 60
    assert (await client.post(ZELO, json=body(ZELO))).status_code == 200
    sent = body(ZELO, documents=[long, "stone"], max_document_tokens=8)
    tokens = (await client.post(ZELO, json=sent)).json()["usage"]["tokens"]
    await client.post("/v1/rerank", json=body("/v1/rerank", model="other"))
    await client.post("/v2/rerank", content=b"{", headers={"content-type": "application/json"})
    assert sample(app, "zelo_requests_total", dialect="zelo", status="200") == 2
    assert sample(app, "zelo_requests_total", dialect="cohere-v1", status="404") == 1
    assert sample(app, "zelo_refusals_total", reason="unknown_model") == 1
    assert sample(app, "zelo_refusals_total", reason="invalid") == 1
    assert sample(app, "zelo_documents_total") == len(DOCUMENTS) + 2
    assert sample(app, "zelo_truncated_documents_total") == 1
    assert sample(app, "zelo_prompt_tokens_total") > tokens > 0
    assert sample(app, "zelo_request_seconds_count", dialect="zelo") == 2
    assert sample(app, "zelo_request_seconds_bucket", dialect="zelo", le=r"+Inf") == 2
    assert sample(app, "zelo_model_packs_total", model="tiny") >= 2
    assert 0 < sample(app, "zelo_pack_fill_ratio", model="tiny") <= 1
    text = (await client.get("/metrics")).text
    assert "# TYPE zelo_request_seconds histogram" in text


@pytest.mark.asyncio
async def test_memory_that_ran_out_is_counted(app, client):
    """Whoever runs the server sees that forward passes did not fit."""
    with held(app, closed=False) as gate:
        gate.error = torch.OutOfMemoryError("full")
        assert (await client.post(ZELO, json=body(ZELO))).status_code >= 500
    assert sample(app, "zelo_model_out_of_memory_total", model="tiny") > 0


@pytest.mark.asyncio
async def test_queue_is_told(app, client):
    """Queue metrics show what is under way, and return to zero."""
    with held(app) as gate:
        waiting = asyncio.create_task(client.post(ZELO, json=body(ZELO)))
        await until(gate.arrived.is_set)
        assert sample(app, "zelo_queue_tokens") > 0
        assert sample(app, "zelo_requests_under_way") == 1
        gate.go.set()
        await waiting
    assert sample(app, "zelo_queue_tokens") == 0
    assert sample(app, "zelo_requests_under_way") == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("place", BODIES)
async def test_nan_is_an_error(app, client, place):
    """A model that gives NaN gives no ranking: an error that names the documents, and a count."""
    with held(app, closed=False) as gate:
        gate.answer = math.nan
        response = await client.post(path(place), json=body(place))
    assert response.status_code == 500
    assert "index 0, 1, 3" in error_message(place, response.json())
    assert sample(app, "zelo_non_finite_total") == 1
    assert sample(app, "zelo_refusals_total", reason="non_finite") == 1
    assert (await client.post(path(place), json=body(place))).status_code == 200


@pytest.mark.asyncio
async def test_failed_scoring_is_logged(app, client, caplog):
    """That the model gave no scores is an error in the log, under the request's id."""
    with held(app, closed=False) as gate:
        gate.answer = math.nan
        response = await client.post(ZELO, json=body(ZELO), headers={"x-request-id": "abc-2"})
    assert response.status_code == 500
    (told,) = [r.zelo for r in caplog.records if getattr(r, "zelo", {}).get("event") == "failed"]
    assert (told["request_id"], told["error"]) == ("abc-2", "NonFiniteScoreError")


@pytest.mark.asyncio
async def test_unforeseen_error_tells_nothing(app, client, monkeypatch, caplog):
    """A fault of ours is 500 in the dialect's shape, logged by type and place, not by message."""

    async def broken(self, call):
        raise KeyError(WORDS)

    monkeypatch.setattr(ServedModel, "rank", broken)
    with caplog.at_level(logging.DEBUG):
        response = await client.post(ZELO, json=body(ZELO))
    assert response.status_code == 500
    assert error_message(ZELO, response.json())
    assert "KeyError" in caplog.text
    assert "test_server_state.py" in caplog.text
    assert WORDS not in caplog.text + response.text


@pytest.mark.asyncio
async def test_unforeseen_error_elsewhere(app, client, monkeypatch, caplog):
    """So is one outside the rerank paths, and it does not reach the server that runs the app."""
    monkeypatch.setattr(service.Metrics, "text", lambda self: {}[WORDS])
    response = await client.get("/metrics")
    assert response.status_code == 500
    assert WORDS not in caplog.text + response.text
    assert sample_of_requests(app) >= 1


def sample_of_requests(app):
    return sum(
        one.value
        for family in app.state.service.metrics.requests.collect()
        for one in family.samples
        if one.labels.get("status") == "500"
    )


LINE = {
    *("event", "method", "path", "dialect", "status", "documents", "tokens", "seconds"),
    "request_id",
}


@pytest.mark.asyncio
async def test_one_log_line_per_request(client, caplog):
    """Each request is one line that says what it was, how it ended and what it cost."""
    with caplog.at_level(logging.INFO, "zelo"):
        await client.post(ZELO, json=body(ZELO), headers={"x-request-id": "abc-1"})
        await client.post("/rerank", json=body("/rerank (texts)", documents=7))
        await client.get("/nowhere")
    lines = [record.zelo for record in caplog.records if hasattr(record, "zelo")]
    assert [line["status"] for line in lines] == [200, 422, 404]
    assert all(LINE <= set(line) for line in lines)
    assert [line["dialect"] for line in lines] == ["zelo", "tei", "none"]
    assert [line.get("reason") for line in lines] == [None, "invalid", "not_found"]
    assert lines[0]["documents"] == len(DOCUMENTS)
    assert lines[0]["tokens"] > 0
    assert lines[0]["request_id"] == "abc-1"


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [200, 404, 422, 400, 413, 401])
async def test_logs_hold_no_texts_and_no_keys(tiny_model, status, caplog):
    """Whatever becomes of a request, its texts and its key are in no log record."""
    keys = (TRIPWIRE,)
    sent = json.dumps(
        body(
            ZELO,
            query=f"{WORDS} {WORDS}",
            documents=[WORDS, WORDS + "s"] if status != 422 else [[WORDS]],
            model=WORDS if status == 404 else "tiny",
        )
    )
    app = application(tiny_model, keys=keys, max_bytes=100 if status == 413 else 10_000)
    headers = {"content-type": "application/json"}
    headers["authorization"] = f"Bearer {TRIPWIRE}{'x' if status == 401 else ''}"
    with caplog.at_level(logging.DEBUG):
        async with asking(app) as client:
            content = sent if status != 400 else sent + "}"
            response = await client.post(ZELO, content=content, headers=headers)
    assert response.status_code == status
    assert caplog.records
    told = caplog.text + repr([vars(record) for record in caplog.records]) + response.text
    assert WORDS not in told
    assert TRIPWIRE not in told


@pytest.mark.asyncio
async def test_request_id_is_echoed(client):
    """A sensible id comes back in the header and as the answer's id."""
    response = await client.post(ZELO, json=body(ZELO), headers={"x-request-id": "user:42/a"})
    assert response.headers["x-request-id"] == "user:42/a"
    assert response.json()["id"] == "user:42/a"


@pytest.mark.asyncio
@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 129, '"}{"', "\u00e9", "<script>"])
async def test_request_id_is_made(client, sent):
    """Without an id, or with one that could break a log line, a new one is made."""
    headers = {} if sent is None else {"x-request-id": sent.encode()}
    made = {(await client.get("/health", headers=headers)).headers["x-request-id"] for _ in "ab"}
    assert len(made) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made)


def test_log_lines_are_json_on_one_line():
    """Whatever a record holds, its line is one JSON object without a traceback's values."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.Logger("zelo")
    logger.addHandler(handler)
    logger.info('a "quoted"\nline')
    try:
        raise ValueError(WORDS)
    except ValueError:
        logger.exception("it failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["level"], first["message"]) == ("info", 'a "quoted"\nline')
    assert (second["level"], second["error"]) == ("error", "ValueError")
    assert WORDS not in stream.getvalue()
