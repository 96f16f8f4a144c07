"""The law of `test_arguments` for what stands around a reranker.

Whatever is passed to bulk scoring, evaluation, first stages, collections, endpoints and the doctor,
there is an answer or an error of ours.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_arguments import RERANKER, STRANGE

from zelo import InputError, ZeloError, bulk, evaluation, retrieval
from zelo import corpora as collections
from zelo.corpora import Collection
from zelo.doctor import Examination, examine
from zelo.evaluation import measures
from zelo.llm import Chat, Embeddings

HERE = "http://127.0.0.1:9"
COLLECTION = Collection("c", {"a": "river water", "b": "stone"}, {"q": "river"}, {"q": {"a": 1}})


class Nowhere:
    """A first stage and an encoder that finds nothing."""

    name = "nowhere"

    def retrieve(self, collection: Any, query_ids: Any, depth: int, progress: Any = None) -> Any:
        return {query_id: [] for query_id in query_ids}

    def embed_queries(self, texts: Any) -> Any:
        raise NotImplementedError

    embed_documents = embed = embed_queries


SYSTEM = evaluation.System("nowhere", Nowhere())
EVALUATION = evaluation.evaluate([COLLECTION], [SYSTEM])
SEARCH = {"collection": COLLECTION, "query_ids": ["q"], "depth": 3}
TOOLS: dict[Callable[..., Any], dict[str, Any]] = {
    evaluation.evaluate: {"collections": [COLLECTION], "systems": [SYSTEM]},
    evaluation.summarise: {"evaluation": EVALUATION},
    evaluation.System: {"name": "s", "first_stage": Nowhere()},
    evaluation.Pointwise: {"reranker": RERANKER},
    measures.evaluate: {"run": {"q": {"a": 1.0}}, "qrels": {"q": {"a": 1}}},
    measures.parse_measure: {"name": "nDCG@10"},
    retrieval.BM25: {"documents": ["river water", "stone"]},
    retrieval.BM25(["river water", "stone"]).search: {"query": "river"},
    retrieval.BM25Stage: {},
    retrieval.Cache: {},
    retrieval.DenseStage: {"encoder": Nowhere()},
    retrieval.EndpointEncoder: {"embeddings": Nowhere()},
    retrieval.FunctionStage: {"name": "f", "retrieve": list},
    retrieval.FunctionStage("f", lambda query: ["a"]).retrieve: SEARCH,
    retrieval.HybridStage: {"stages": [Nowhere(), Nowhere()]},
    retrieval.RunStage: {"path": "run"},
    collections.read_collection: {"path": "no-such-folder"},
    collections.read_files: {"name": "c", "corpus": "none.jsonl", "queries": "n", "qrels": None},
    collections.read_run: {"path": "no-such-run"},
    COLLECTION.sample: {"count": 1},
    Chat: {"model": "m", "base_url": HERE},
    Embeddings: {"model": "m", "base_url": HERE},
}
ARGUMENTS = [(tool, name) for tool in TOOLS for name in inspect.signature(tool).parameters]


def answered(call: Callable[..., Any], arguments: dict[str, Any], name: str, value: Any) -> None:
    """Call with an argument of any kind; functions of the caller's own may raise what they like."""
    if callable(value):
        return
    try:
        call(**arguments | {name: value})
    except ZeloError as error:
        assert str(error)  # noqa: PT017 - an answer is as good


@settings(max_examples=1_000)
@given(argument=st.sampled_from(ARGUMENTS), value=STRANGE)
def test_arguments_of_tools(argument: tuple[Callable[..., Any], str], value: Any) -> None:
    """Evaluation, first stages, collections and endpoints refuse in errors of ours."""
    tool, name = argument
    answered(tool, TOOLS[tool], name, value)


@settings(max_examples=25)
@given(name=st.sampled_from(list(inspect.signature(Examination).parameters)), value=STRANGE)
def test_arguments_of_the_doctor(name: str, value: Any) -> None:
    """An examination is refused, or ends with a report that the endpoint cannot be asked."""
    wanted = {"model": "zelo-nano", "base_url": HERE, "dialect": "gateway", "timeout": 0.001}
    answered(lambda **said: examine(Examination(**said)), wanted, name, value)


@settings(max_examples=200)
@given(
    name=st.sampled_from(sorted(inspect.signature(bulk.score).parameters.keys() - {"output"})),
    value=STRANGE,
)
def test_arguments_of_bulk_scoring(tmp_path_factory: Any, name: str, value: Any) -> None:
    """What bulk scoring is given wrongly is refused before anything is written."""
    if name == "ray" and value is True:
        return  # which starts a cluster
    out = tmp_path_factory.getbasetemp() / "none"
    arguments = {"inputs": "no-such.jsonl", "output": out, "model": "zelo-nano"}
    answered(bulk.score, arguments, name, value)
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dtype": "int8"}, "dtype='int8'"),
        ({"top_k": 5}, "reranker='top_k': a Reranker has no such option"),
    ],
)
def test_options_of_bulk_scoring_are_checked_first(
    options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    """An option of the reranker that means nothing is told before the folder is begun."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"query": "q", "document": "the river"}\n')
    with pytest.raises(InputError, match=told):
        bulk.score(rows, tmp_path / "out", "zelo-nano", reranker=options)
    assert not (tmp_path / "out").exists()


def test_options_of_bulk_scoring_may_be_numpys_and_torchs(tmp_path: Path) -> None:
    """What a reranker takes, bulk scoring takes, and knows it again at the second call."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"query": "q", "document": "the river"}\n')
    said = {"dtype": torch.float32, "max_tokens": np.int64(500), "device": torch.device("cpu")}
    first = bulk.score(rows, tmp_path / "out", "zelo-nano", reranker=said)
    named = {"dtype": "float32", "max_tokens": 500, "device": "cpu"}
    again = bulk.score(rows, tmp_path / "out", "zelo-nano", reranker=named)
    assert (first.pairs_now, again.pairs_now) == (1, 0)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"a": 2.0, "b": 1.0}, r"is a dict, which lists its keys; .*items\(\)"),
        ({"a", "b"}, "is a set, which has no order"),
        ("ab", "is a single text"),
        (None, "is of type NoneType"),
    ],
)
def test_rankings_without_an_order_are_refused(found: Any, told: str, tmp_path: Path) -> None:
    """A retriever's mapping would lose its scores and a set its order; so would a run's."""
    with pytest.raises(InputError, match=told):
        retrieval.FunctionStage("f", lambda query: found).retrieve(COLLECTION, ["q"], 3)
    with pytest.raises(InputError, match=rf"run\['q'\] {told}"):
        collections.write_run(tmp_path / "run", {"q": found}, "tag")


def test_numbers_that_are_none_are_refused() -> None:
    """NaN orders nothing: a run's score or a judgement's grade that is NaN is no number."""
    nan = float("nan")
    for run, qrels, told in (
        ({"q": {"a": nan}}, {"q": {"a": 1}}, r"run\['q'\]"),
        ({"q": {"a": 1.0}}, {"q": {"a": nan}}, r"qrels\['q'\]"),
    ):
        with pytest.raises(InputError, match=told):
            measures.evaluate(run, qrels)
