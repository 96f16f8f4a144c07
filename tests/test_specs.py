"""Systems as people write them: `[NAME=]FIRST_STAGE[+RERANKER]`."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from collection import COLLECTION
from fakes import FAKES
from fakes_serving import FakeServer
from starlette.responses import JSONResponse

from zelo import InputError
from zelo.evaluation.rerankers import Oracle, Pointwise, RandomOrder
from zelo.evaluation.specs import Making, make_systems, parse_spec
from zelo.evaluation.systems import Case

KEY = "sk-5ecre7"
SCORES = {"results": [{"index": place, "relevance_score": 0.5} for place in range(2)]}
CASE = Case("small", "q", "bees", ("a", "b"), ("bees dance", "bread rises"))


@pytest.mark.parametrize(
    ("text", "name", "first_stage", "reranker"),
    [
        ("bm25", "bm25", "bm25", None),
        ("hybrid+zelo-nano", "hybrid+zelo-nano", "hybrid", "zelo-nano"),
        ("bm25+./models/mine/", "bm25+mine", "bm25", "./models/mine/"),
        ("bm25+org/zerank-2", "bm25+zerank-2", "bm25", "org/zerank-2"),
        ("ours=bm25+./models/mine", "ours", "bm25", "./models/mine"),
        (
            "dense+zerank-2@http://gpu:8000/v1",
            "dense+zerank-2@gpu:8000",
            "dense",
            "zerank-2@http://gpu:8000/v1",
        ),
        (
            "bm25+listwise:org/large@https://llm.example/v1",
            "bm25+listwise:large@llm.example",
            "bm25",
            "listwise:org/large@https://llm.example/v1",
        ),
        ("run:runs/{collection}.splade.trec", "splade", "run:runs/{collection}.splade.trec", None),
        ("run:a=b.trec+oracle", "a=b+oracle", "run:a=b.trec", "oracle"),
        ("given+random", "given+random", "given", "random"),
    ],
)
def test_a_system_is_read(text: str, name: str, first_stage: str, reranker: str | None) -> None:
    """Its name is short enough for a table's head, unless it was given."""
    assert parse_spec(text) == (name, first_stage, reranker)


@pytest.mark.parametrize("text", ["", "zelo-nano", "bm25+", "+zelo-nano", "run:", "bm26", "ours="])
def test_what_is_no_system_is_refused_with_the_forms(text: str) -> None:
    """The message shows what was written, and what may be."""
    with pytest.raises(InputError, match=r"is no system; write .* bm25\+zerank-2") as refused:
        parse_spec(text)
    assert repr(text) in str(refused.value)


def test_equal_parts_are_made_once() -> None:
    """Two first stages behind one model load it once, and two rerankers share candidates."""
    words = ("bm25", "bm25+zelo-nano", "given+zelo-nano", "bm25+random")
    first, nano, other, shuffled = make_systems([parse_spec(word) for word in words], Making())
    assert first.first_stage is nano.first_stage is shuffled.first_stage
    assert nano.reranker is other.reranker
    assert isinstance(nano.reranker, Pointwise)
    assert isinstance(shuffled.reranker, RandomOrder)


def test_models_of_one_last_name_keep_their_whole_names(tmp_path: Path) -> None:
    """Tables could not tell them apart otherwise."""
    words = [f"{letter}=bm25+{tmp_path}/{letter}/model" for letter in "ab"]
    for letter in "ab":
        (tmp_path / letter / "model").mkdir(parents=True)
    found = make_systems([parse_spec(word) for word in words], Making())
    assert [system.reranker and system.reranker.name for system in found] == [
        f"{tmp_path}/a/model",
        f"{tmp_path}/b/model",
    ]


def test_options_go_where_they_have_a_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device is for models that run here, a dialect for servers, a length for both."""
    monkeypatch.setenv("ZELO_API_KEY", "secret")
    making = Making(
        here={"device": "cpu"},
        server={"dialect": "cohere-v2", "score_scale": "probability"},
        reranker={"max_document_tokens": 99},
        concurrency=7,
        instruction="Prefer tables.",
    )
    words = ("bm25+zelo-nano", "bm25+zerank-2@http://127.0.0.1:1", "bm25+oracle")
    here, there, oracle = make_systems([parse_spec(word) for word in words], making)
    assert isinstance(here.reranker, Pointwise)
    assert isinstance(there.reranker, Pointwise)
    assert isinstance(oracle.reranker, Oracle)
    assert here.reranker.reranker.settings["device"] == "cpu"
    assert here.reranker.concurrency == 1
    assert there.reranker.reranker.settings["base_url"] == "http://127.0.0.1:1"
    assert there.reranker.reranker.settings["dialect"] == "cohere-v2"
    assert there.reranker.concurrency == 7
    for pointwise in (here.reranker, there.reranker):
        assert pointwise.reranker.settings["max_document_tokens"] == 99
        assert pointwise.identity["instruction"] == "Prefer tables."
        assert "secret" not in str(pointwise.identity)
        pointwise.release()


def test_each_server_has_a_key_of_its_own(
    openai: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by a variable, for chat models, embedding models and rerankers, and kept nowhere."""
    monkeypatch.setenv("ZELO_CACHE", str(tmp_path))
    with FakeServer(FAKES["gateway"], model=None).running() as gateway:
        gateway.script.append(lambda asked: JSONResponse(SCORES))
        words = (f"dense+listwise:any@{openai.url}", f"hybrid+zerank-2@{gateway.url}")
        names = (f"listwise:any@{openai.url[7:]}", f"zerank-2@{gateway.url[7:]}", "dense")
        keys = {name: f"KEY_{place}" for place, name in enumerate(names)}
        for name, variable in keys.items():
            monkeypatch.setenv(variable, f"{KEY}-{name}")
        speaks = {"dialect": "gateway", "score_scale": "probability"}
        making = Making(embedding_model="any", embedding_url=openai.url, keys=keys, server=speaks)
        for system in make_systems([parse_spec(word) for word in words], making):
            system.first_stage.retrieve(COLLECTION, [*COLLECTION.queries][:1], 2)
            assert system.reranker is not None
            asyncio.run(system.reranker.reorder(CASE))
            assert KEY not in json.dumps(system.reranker.identity)
            system.reranker.release()
        sent = {(one.path, one.headers["authorization"]) for one in [*openai.asked, *gateway.asked]}
    paths = ("/v1/chat/completions", "/v1/rerank", "/v1/embeddings")
    assert sent == {(path, f"Bearer {KEY}-{name}") for path, name in zip(paths, names, strict=True)}


@pytest.mark.parametrize(
    ("name", "variable", "told"),
    [
        ("zerank-2@127.0.0.1:1", "UNSET", "is not set"),
        ("zerank-2@127.0.0.1:1", KEY, "in capitals"),
        ("zerank-2", "UNSET", "these are: zerank-2@127.0.0.1:1"),
        ("dense", "UNSET", "these are: zerank-2@127.0.0.1:1"),
        ("oracle", "UNSET", "these are: zerank-2@127.0.0.1:1"),
    ],
)
def test_a_key_without_sense_is_refused(name: str, variable: str, told: str) -> None:
    """With what can have one; what was written for it is not repeated."""
    words = ("bm25+zerank-2@http://127.0.0.1:1", "bm25+oracle", "bm25+zelo-nano")
    with pytest.raises(InputError, match=told) as caught:
        make_systems([parse_spec(word) for word in words], Making(keys={name: variable}))
    assert variable not in str(caught.value)


def test_an_embedding_model_here_has_no_key() -> None:
    """Only one on a server has."""
    making = Making(embedding_model="any", keys={"dense": "UNSET"})
    with pytest.raises(InputError, match="these are: none here"):
        make_systems([parse_spec("dense")], making)


def test_embeddings_need_a_model() -> None:
    """The message names the option."""
    for word in ("dense", "hybrid+oracle"):
        with pytest.raises(InputError, match="--embedding-model"):
            make_systems([parse_spec(word)], Making())
