"""What the server answers, dialect by dialect: every required member, and the in-process scores."""

import math
import re

import pytest
import pytest_asyncio
from served import BODIES, DOCUMENTS, QUERY, ZELO, application, asking, body, error_message, path

from zelo import Reranker
from zelo.local.loading.checkpoint import inspect_checkpoint
from zelo.local.prompt import PromptEncoder

pytestmark = pytest.mark.asyncio
PLACES = list(BODIES)
USAGE = {"prompt_tokens", "total_tokens"}

# the members that each dialect's published schema requires: of an answer, and of each result
REQUIRED = {
    ZELO: ({"object", "id", "model", "results", "usage"}, {"index", "score", "logit", "truncated"}),
    "/v1/models/rerank": (
        {
            "results",
            "total_bytes",
            "total_tokens",
            "actual_latency_mode",
            "e2e_latency",
            "inference_latency",
        },
        {"index", "relevance_score"},
    ),
    "/v1/rerank": ({"id", "model", "results", "meta", "usage"}, {"index", "relevance_score"}),
    "/v2/rerank": ({"id", "results", "meta"}, {"index", "relevance_score"}),
    "/rerank": ({"id", "model", "usage", "results"}, {"index", "relevance_score", "document"}),
    "/rerank (texts)": (set(), {"index", "score"}),
    "/score": ({"id", "object", "created", "model", "data", "usage"}, {"index", "object", "score"}),
    "/v1/score": (
        {"id", "object", "created", "model", "data", "usage"},
        {"index", "object", "score"},
    ),
}


def results_of(answer):
    """Return the list of results, wherever a dialect has it."""
    if isinstance(answer, list):
        return answer
    return answer["results"] if "results" in answer else answer["data"]


def score_of(result):
    return result["relevance_score"] if "relevance_score" in result else result["score"]


@pytest_asyncio.fixture
async def client(tiny_model):
    async with asking(application(tiny_model)) as client:
        yield client


@pytest.fixture
def ranking(tiny_model):
    """What the reranker itself says of the query and documents."""
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        return reranker.rank(QUERY, DOCUMENTS)


@pytest.mark.parametrize("place", PLACES)
async def test_answer_has_every_member(client, place):
    """An answer and each of its results have all that the dialect's clients require."""
    answer = (await client.post(path(place), json=body(place))).json()
    of_answer, of_result = REQUIRED[place]
    assert not of_answer - set(answer if isinstance(answer, dict) else ())
    results = results_of(answer)
    assert len(results) == len(DOCUMENTS)
    assert all(of_result <= set(result) for result in results)


@pytest.mark.parametrize("place", PLACES)
async def test_scores_are_the_rerankers(client, place, ranking):
    """Every dialect gives the in-process scores, best first, or in input order for /score."""
    response = await client.post(path(place), json=body(place))
    assert response.status_code == 200
    results = results_of(response.json())
    expected = sorted(ranking, key=lambda r: r.index) if "score" in place else ranking
    assert [result["index"] for result in results] == [r.index for r in expected]
    scores = [score_of(result) for result in results]
    assert scores == pytest.approx([r.score for r in expected], abs=1e-6)


@pytest.mark.parametrize("place", [p for p in PLACES if "score" not in p and "texts" not in p])
async def test_top_n_keeps_the_best(client, place, ranking):
    """`top_n` cuts the ranking after its best."""
    answer = (await client.post(path(place), json=body(place, top_n=2))).json()
    assert [result["index"] for result in results_of(answer)] == [r.index for r in ranking[:2]]


@pytest.mark.parametrize("place", PLACES)
async def test_no_documents_give_an_empty_result(client, place):
    """An empty list is answered with an empty result."""
    response = await client.post(path(place), json=body(place, documents=[]))
    assert response.status_code == 200
    assert results_of(response.json()) == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"query": 7, "queries": 7, "text_1": 7}, 422),
        ({"documents": "one", "texts": "one", "text_2": 3} | {"documents": {"a": 1}}, 422),
        ({"query": "  ", "queries": "  ", "text_1": "  "}, 422),
    ],
    ids=["query no text", "documents no list", "query blank"],
)
async def test_errors_have_the_dialects_shape(client, place, change, status):
    """What is wrong is told where the dialect's clients look for it."""
    sent = {key: change.get(key, value) for key, value in body(place).items()}
    response = await client.post(path(place), json=sent)
    assert response.status_code == status
    assert error_message(place, response.json())


@pytest.mark.parametrize("place", [p for p in PLACES if "texts" not in p])
async def test_unknown_model_lists_those_served(client, place):
    """A model that is not served is 404, with the names that are."""
    response = await client.post(path(place), json=body(place, model="gpt-7"))
    assert response.status_code == 404
    message = error_message(place, response.json())
    assert "tiny, rerank-v3.5" in message
    assert "gpt-7" not in message


@pytest.mark.parametrize("name", ["tiny", "rerank-v3.5", None])
async def test_every_served_name_is_taken(client, name):
    """A request may say any served name, or none, and is answered under the name it said."""
    answer = (await client.post("/v1/rerank", json=body("/v1/rerank", model=name))).json()
    assert answer["model"] == (name or "tiny")


async def test_vendor_counts(client, tiny_model):
    """Tokens are summed over whole prompts, bytes as 150 + query + document for each document."""
    answer = (await client.post("/v1/models/rerank", json=body("/v1/models/rerank"))).json()
    size = 150 + len(QUERY.encode())
    assert answer["total_bytes"] == sum(size + len(text.encode()) for text in DOCUMENTS)
    checkpoint = inspect_checkpoint(tiny_model)
    encoder = PromptEncoder(checkpoint.files.tokenizer_json, checkpoint.family)
    lengths = [len(encoder.prompt_ids(QUERY, text)) for text in DOCUMENTS if text]
    assert answer["total_tokens"] == sum(lengths)
    assert 0 < answer["inference_latency"] <= answer["e2e_latency"]


@pytest.mark.parametrize("latency", ["fast", "slow", None])
async def test_vendor_latency_is_accepted(client, latency):
    """The vendor's `latency` changes nothing, and is no error."""
    sent = body("/v1/models/rerank", latency=latency)
    response = await client.post("/v1/models/rerank", json=sent)
    assert response.status_code == 200
    assert response.json()["actual_latency_mode"] == "fast"


@pytest.mark.parametrize("place", ["/rerank (texts)", "/rerank", "/score"])
async def test_raw_scores_are_logits(client, place, ranking):
    """Where a dialect can ask for raw scores, it gets logits, finite also for a blank document."""
    more = {"raw_scores": True} if "texts" in place else {"use_activation": False}
    results = results_of((await client.post(path(place), json=body(place, **more))).json())
    found = {result["index"]: score_of(result) for result in results}
    for one in ranking:
        if one.empty:
            assert found[one.index] < -1e38
        else:
            assert found[one.index] == pytest.approx(one.logit, abs=1e-5)


async def test_blank_document_has_no_logit(client):
    """zelo's own dialect says null for the logit of what no model has seen."""
    results = results_of((await client.post(ZELO, json=body(ZELO))).json())
    assert [(r["index"], r["logit"]) for r in results if r["score"] == 0] == [(2, None)]
    assert all(math.isfinite(r["logit"]) for r in results if r["index"] != 2)


@pytest.mark.parametrize(
    ("place", "asked", "text"),
    [
        ("/v1/rerank", {"return_documents": True}, lambda r: r["document"]["text"]),
        ("/rerank", {}, lambda r: r["document"]["text"]),
        ("/rerank (texts)", {"return_text": True}, lambda r: r["text"]),
    ],
)
async def test_documents_are_returned_where_asked(client, place, asked, text):
    """Each result carries its own document's text."""
    results = results_of((await client.post(path(place), json=body(place, **asked))).json())
    assert [text(result) for result in results] == [DOCUMENTS[r["index"]] for r in results]


LONG = "cold water " * 60


@pytest.mark.parametrize("place", ["/v1/rerank", "/v2/rerank", "/rerank (texts)"])
async def test_what_was_not_asked_for_is_left_out(client, place):
    """An answer without texts has no member for them: some clients fail at a null."""
    answer = (await client.post(path(place), json=body(place))).json()
    results = answer if isinstance(answer, list) else answer["results"]
    assert all({"document", "text"}.isdisjoint(result) for result in results)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (ZELO, "max_document_tokens"),
        ("/v2/rerank", "max_tokens_per_doc"),
        ("/rerank", "max_tokens_per_doc"),
    ],
)
async def test_length_per_document(client, tiny_model, place, name):
    """A request's own limit gives the scores of a reranker with that limit."""
    sent = body(place, documents=[LONG, "stone"], **{name: 8})
    results = results_of((await client.post(path(place), json=sent)).json())
    options = {"dtype": "float32", "device": "cpu", "max_document_tokens": 8}
    with Reranker(tiny_model, **options) as short:
        expected = short.score(QUERY, [LONG, "stone"])
    scores = [score_of(r) for r in sorted(results, key=lambda r: r["index"])]
    assert scores == pytest.approx(expected, abs=1e-6)


async def test_truncation_is_told(client):
    """zelo's own dialect marks the document whose end was not read."""
    sent = body(ZELO, documents=[LONG, "stone"], max_document_tokens=8)
    results = results_of((await client.post(ZELO, json=sent)).json())
    assert {r["index"]: r["truncated"] for r in results} == {0: True, 1: False}


@pytest.mark.parametrize("limit", [8, None])
async def test_truncate_false_refuses_long_documents(client, limit):
    """With truncate=false a document that is too long is 422, and one that fits is scored."""
    sent = body(ZELO, documents=[LONG], truncate=False, max_document_tokens=limit)
    response = await client.post(ZELO, json=sent)
    assert response.status_code == (422 if limit else 200)
    if limit:
        assert "truncate" in error_message(ZELO, response.json())


async def test_lengths_share_the_weights(tiny_model):
    """Requests with limits of their own load no second copy of the model."""
    app = application(tiny_model)
    async with asking(app) as client:
        for limit in (3, 5, 7):
            sent = body(ZELO, documents=[LONG], max_document_tokens=limit)
            assert (await client.post(ZELO, json=sent)).status_code == 200
        (served,) = app.state.service.models
        instances = {served._reader(n)._scorer._instance for n in (None, 3, 5, 7)}
        assert len(instances) == 1


async def test_instruction_changes_the_scores(client, tiny_model):
    """zelo's and vLLM's dialects pass an instruction on to the model."""
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        expected = reranker.score(QUERY, DOCUMENTS, instruction="prefer bridges")
        assert expected != reranker.score(QUERY, DOCUMENTS)
    for place in (ZELO, "/rerank"):
        sent = body(place, instruction="prefer bridges")
        results = results_of((await client.post(path(place), json=sent)).json())
        scores = [score_of(r) for r in sorted(results, key=lambda r: r["index"])]
        assert scores == pytest.approx(expected, abs=1e-6)


async def test_description_is_published(client):
    """The OpenAPI description names every dialect's path, with its requests and answers."""
    described = (await client.get("/openapi.json")).json()
    parts = described["components"]["schemas"]
    for place in PLACES:
        operation = described["paths"][path(place)]["post"]
        for content in (operation["requestBody"], operation["responses"]["200"]):
            schema = content["content"]["application/json"]["schema"]
            for one in schema.get("anyOf", [schema]):
                named = one.get("$ref", one.get("items", {}).get("$ref"))
                assert named.rpartition("/")[2] in parts
    asked = described["paths"]["/rerank"]["post"]["requestBody"]["content"]["application/json"]
    names = [one["$ref"].rpartition("/")[2] for one in asked["schema"]["anyOf"]]
    assert ["documents" in parts[name]["properties"] for name in names] == [True, False]
    assert ["texts" in parts[name]["properties"] for name in names] == [False, True]


async def test_every_reference_resolves(client):
    """No part of the description points at something that is not there."""
    text = (await client.get("/openapi.json")).text
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert named
    assert not named - set((await client.get("/openapi.json")).json()["components"]["schemas"])
