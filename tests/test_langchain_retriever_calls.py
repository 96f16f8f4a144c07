"""One call of the reranking retriever: its config goes down whole, its options are the reranker's.

And any compressor may stand in the reranker's place.
"""

import asyncio
from typing import Any, TypedDict
from uuid import uuid4

import pytest
from framework_kit import documents
from langchain_classic.retrievers import MultiQueryRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListLLM
from langchain_core.runnables import ConfigurableField, RunnableConfig, RunnableLambda
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import CharacterTextSplitter
from langgraph.graph import END, START, StateGraph
from pydantic import ValidationError

from langchain_zelo import RerankRetriever, ZeloRerank
from zelo import InputError, Reranker

QUERY = "how is the water of the river"
TEXTS = ["a stone bridge", "cold water", "the river is cold", "read a file", "12 open files !"]
OWNERS = ["ann", "bob", "ann", "bob", "bob"]


class State(TypedDict):
    """What a graph's nodes hand on."""

    question: str
    found: list[Document]


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture(scope="module")
def per_user(reranker):
    """A retriever over a store that is filtered by configuration, as LangChain's guides have it."""
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents(documents(TEXTS, [{"owner": owner} for owner in OWNERS]))
    base = store.as_retriever(search_kwargs={"k": 5}).configurable_fields(
        search_kwargs=ConfigurableField("search_kwargs")
    )
    return RerankRetriever(
        base_compressor=ZeloRerank(reranker=reranker, top_n=None), base_retriever=base
    )


def of_ann():
    """A config that lets a call see the documents of one user."""
    only = {"k": 5, "filter": lambda document: document.metadata["owner"] == "ann"}
    return {"configurable": {"search_kwargs": only}}


def in_a_node(asks):
    """A graph of one node, which is to call a retriever without a config."""
    graph = StateGraph(State)
    graph.add_node("retrieve", asks)
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", END)
    return graph.compile()


def invoked_in_a_node(retriever):
    graph = in_a_node(lambda state: {"found": retriever.invoke(state["question"])})
    return graph.invoke({"question": QUERY}, of_ann())["found"]


def awaited_in_a_node(retriever):
    async def ask(state):
        return {"found": await retriever.ainvoke(state["question"])}

    graph = in_a_node(ask)
    return asyncio.run(graph.ainvoke({"question": QUERY}, of_ann()))["found"]


WAYS = {
    "invoke": lambda retriever: retriever.invoke(QUERY, of_ann()),
    "ainvoke": lambda retriever: asyncio.run(retriever.ainvoke(QUERY, of_ann())),
    "batch": lambda retriever: retriever.batch([QUERY], of_ann())[0],
    "abatch": lambda retriever: asyncio.run(retriever.abatch([QUERY], of_ann()))[0],
    "with_config": lambda retriever: retriever.with_config(of_ann()).invoke(QUERY),
    "node": invoked_in_a_node,
    "awaiting node": awaited_in_a_node,
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_configured_for_a_call_reaches_the_base_retriever(per_user, way):
    """A filter by user holds through the reranking, however the retriever is called."""
    found = WAYS[way](per_user)
    assert sorted(document.id for document in found) == ["0", "2"]
    assert all("relevance_score" in document.metadata for document in found)


def test_what_can_be_configured_is_the_base_retrievers(per_user):
    """The retriever tells the configurable fields of the one that it wraps."""
    assert per_user.config_specs == per_user.base_retriever.config_specs
    assert [spec.id for spec in per_user.config_specs] == ["search_kwargs"]


class Watching(BaseDocumentCompressor):
    """A compressor that runs a chain of its own, which notes its config."""

    seen: list[Any]

    def compress_documents(self, documents, query, callbacks=None):
        note = RunnableLambda(lambda _, config: self.seen.append(config), name="compress")
        note.invoke(query, {"callbacks": callbacks})
        return documents


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
def test_the_whole_config_goes_down(way):
    """Base retriever and compressor have the caller's config, as runs below its own run."""
    seen = []

    def fetch(query, config: RunnableConfig):
        seen.append(config)
        return documents(TEXTS)

    retriever = RerankRetriever(
        base_compressor=Watching(seen=seen), base_retriever=RunnableLambda(fetch)
    )
    collector = RunCollectorCallbackHandler()
    down = {"tags": ["mine"], "metadata": {"of": "me"}, "max_concurrency": 3}
    down |= {"recursion_limit": 7, "configurable": {"user": "ann"}}
    config = down | {"callbacks": [collector], "run_name": "outer", "run_id": uuid4()}
    if way == "waiting":
        retriever.invoke(QUERY, config)
    else:
        asyncio.run(retriever.ainvoke(QUERY, config))
    for one in seen:
        assert {name: one[name] for name in down} == down
    (run,) = collector.traced_runs
    assert (run.name, [child.name for child in run.child_runs]) == ("outer", ["fetch", "compress"])
    assert [child.tags for child in run.child_runs] == [["mine"], ["mine"]]
    assert len({run.id, *(child.id for child in run.child_runs)}) == 3


@pytest.fixture
def asked(reranker):
    """A retriever, and the arguments that its base retriever was given."""
    given = []

    def fetch(query, **arguments):
        given.append(arguments)
        return documents(TEXTS, [{"title": text} for text in reversed(TEXTS)])

    compressor = ZeloRerank(reranker=reranker)
    return RerankRetriever(base_compressor=compressor, base_retriever=RunnableLambda(fetch)), given


def test_options_of_a_call_are_the_rerankers(reranker, asked):
    """What can be assigned to the reranker can be said per call, and the rest is the retriever's.

    `top_n` is another word for `k`, for which None is all, as it is everywhere for `top_n`.
    """
    retriever, given = asked
    best = [ranked.document for ranked in reranker.rank(QUERY, TEXTS)]
    assert [found.page_content for found in retriever.invoke(QUERY, top_n=1)] == best[:1]
    assert len(retriever.invoke(QUERY, top_n=None)) == len(TEXTS)
    (plain,), (titled,) = (
        retriever.invoke(QUERY, k=1, rank_fields=fields) for fields in (None, ["title"])
    )
    assert titled.metadata["relevance_score"] != plain.metadata["relevance_score"]
    assert given == [{}] * 4
    retriever.invoke(QUERY, k=1, namespace="notes")
    assert given[-1] == {"namespace": "notes"}


def test_on_error_of_a_call(tiny_model):
    """A call may keep the first stage's order where the reranker would raise."""
    with Reranker(tiny_model) as closed:
        retriever = RerankRetriever(
            base_compressor=ZeloRerank(reranker=closed),
            base_retriever=RunnableLambda(lambda query: documents(TEXTS)),
        )
    found = retriever.invoke(QUERY, on_error="keep_order", k=2)
    assert [document.metadata for document in found] == [{"rerank_error": "ClosedError"}] * 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"top_k": 1}, "top_k: here, `top_n`"),
        ({"score_threshold": 0.5}, "score_threshold: here, `min_score`"),
        ({"model": "zelo-nano"}, "model is chosen with the model"),
        ({"k": 1, "top_n": 1}, "k and top_n say the same"),
        ({"on_error": "ignore"}, "on_error"),
    ],
)
def test_what_a_call_cannot_say_is_refused_by_name(asked, arguments, told):
    """An option that the reranker names differently, or has fixed, is no business of the base."""
    retriever, given = asked
    with pytest.raises(ValueError, match=told):
        retriever.invoke(QUERY, **arguments)
    assert given == []


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("top_n", "top_n: here, `k`"),
        ("top_k", "top_k: here, `k`"),
        ("min_score", r"base_compressor=ZeloRerank\(min_score="),
        ("api_key", r"base_compressor=ZeloRerank\(api_key="),
    ],
)
def test_options_of_the_reranker_are_told_where_to_go(option, told):
    """What the retriever does not take itself is refused with the place for it; values are not."""
    with pytest.raises(ValidationError, match=told) as caught:
        RerankRetriever(base_retriever=RunnableLambda(lambda query: []), **{option: "s3cret"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
def test_any_compressor_will_do(reranker, way):
    """A pipeline compresses what was found; k cuts its answer, and its own options stay its own."""

    def ask(**arguments):
        if way == "waiting":
            return retriever.invoke(QUERY, **arguments)
        return asyncio.run(retriever.ainvoke(QUERY, **arguments))

    splitter = CharacterTextSplitter(separator=" ", chunk_size=12, chunk_overlap=0)
    parts = splitter.split_documents(documents(TEXTS))
    best = [r.document for r in reranker.rank(QUERY, [part.page_content for part in parts])][:4]
    pipeline = DocumentCompressorPipeline(
        transformers=[splitter, ZeloRerank(reranker=reranker, top_n=4)]
    )
    base = RunnableLambda(lambda query: documents(TEXTS))
    retriever = RerankRetriever(base_compressor=pipeline, base_retriever=base)
    assert [document.page_content for document in ask()] == best
    assert [document.page_content for document in ask(k=2)] == best[:2]
    with pytest.raises(InputError, match="min_score: base_compressor is a DocumentCompressorP"):
        ask(min_score=0.5)
    with pytest.raises(InputError, match="k=0; it must be"):
        ask(k=0)


def test_multi_query_results_are_reranked_for_the_question(reranker):
    """What several queries found is ordered for the one that was asked."""
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents(documents(TEXTS))
    several = MultiQueryRetriever.from_llm(
        store.as_retriever(search_kwargs={"k": 3}),
        FakeListLLM(responses=["a bridge\na file\ncold water"]),
    )
    found = {document.page_content for document in several.invoke(QUERY)}
    assert len(found) > 3
    compressor = ZeloRerank(reranker=reranker, top_n=None)
    retriever = RerankRetriever(base_compressor=compressor, base_retriever=several)
    ranked = [document.page_content for document in retriever.invoke(QUERY)]
    assert set(ranked) == found
    assert ranked == [r.document for r in reranker.rank(QUERY, TEXTS) if r.document in found]
