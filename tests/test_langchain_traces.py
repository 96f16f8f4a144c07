"""What LangChain's traces show of reranking: a run by its name, in its place, with its values."""

import asyncio

import pytest
from framework_kit import documents
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import create_retriever_tool
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from langchain_zelo import RerankRetriever, ZeloRerank
from zelo import Reranker

QUERY = "how is the water of the river"
TEXTS = ["a stone bridge", "cold water", "the river is cold", "read a file", "12 open files !"]
FETCH = RunnableLambda(lambda query: documents(TEXTS), name="fetch")

every_retriever = pytest.mark.parametrize("kind", [ContextualCompressionRetriever, RerankRetriever])
every_way = pytest.mark.parametrize("way", ["waiting", "awaiting"])


@pytest.fixture(scope="module")
def adapter(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield ZeloRerank(reranker=reranker)


def traced(way, runnable, given=QUERY):
    """Return what a runnable answers, and the outermost run of its trace."""
    collector = RunCollectorCallbackHandler()
    config = {"callbacks": [collector]}
    if way == "waiting":
        answer = runnable.invoke(given, config)
    else:
        answer = asyncio.run(runnable.ainvoke(given, config))
    (run,) = collector.traced_runs
    return answer, run


def below(run, name):
    """Return the runs of a name anywhere below a run, each with the run right above it."""
    found = [(run, child) for child in run.child_runs if child.name == name]
    return found + [pair for child in run.child_runs for pair in below(child, name)]


@every_retriever
@every_way
def test_reranking_is_a_run_below_the_retrievers(adapter, kind, way):
    """Below a retriever's run stand the base retriever's and then one named ZeloRerank."""
    retriever = kind(base_compressor=adapter, base_retriever=FETCH)
    answer, run = traced(way, retriever)
    assert (run.name, run.run_type) == (kind.__name__, "retriever")
    assert [child.name for child in run.child_runs] == ["fetch", "ZeloRerank"]
    reranking = run.child_runs[1]
    assert reranking.inputs == {"query": QUERY, "documents": documents(TEXTS)}
    assert reranking.outputs == {"output": answer}
    assert reranking.error is None


@every_way
def test_a_run_says_how_it_ranked(adapter, way):
    """A run's metadata holds the options of this very call, and leaves out what is not chosen."""
    mine = adapter.with_options()
    chain = {"documents": FETCH, "query": RunnablePassthrough()} | mine.as_runnable()
    mine.top_n, mine.min_score, mine.instruction = 1, 0.25, "prefer bridges"
    _, run = traced(way, chain.with_config(metadata={"team": "search"}))
    ((_, reranking),) = below(run, "ZeloRerank")
    told = {name: reranking.metadata.get(name) for name in ("model", "top_n", "min_score")}
    assert told == {"model": mine.model, "top_n": 1, "min_score": 0.25}
    assert reranking.metadata["instruction"] == "prefer bridges"
    assert reranking.metadata["team"] == "search"
    assert "commit" not in reranking.metadata  # a folder has none
    assert "model" not in run.metadata


@every_retriever
@every_way
def test_without_documents_there_is_no_run(adapter, kind, way):
    """Where the base retriever finds nothing, the trace shows no reranking."""
    nothing = RunnableLambda(lambda query: [], name="fetch")
    answer, run = traced(way, kind(base_compressor=adapter, base_retriever=nothing))
    assert answer == []
    assert [child.name for child in run.child_runs] == ["fetch"]


@every_retriever
def test_event_streams_show_the_run(adapter, kind):
    """astream_events tells when reranking starts, with what, and when it ends, with what."""
    retriever = kind(base_compressor=adapter, base_retriever=FETCH)

    async def stream():
        return [event async for event in retriever.astream_events(QUERY, version="v2")]

    events = asyncio.run(stream())
    outer = events[0]["run_id"]
    mine = [event for event in events if event["name"] == "ZeloRerank"]
    assert mine[0]["event"] == "on_chain_start"
    assert mine[-1]["event"] == "on_chain_end"
    assert all(event["parent_ids"] == [outer] for event in mine)
    assert mine[0]["data"]["input"] == {"query": QUERY, "documents": documents(TEXTS)}
    assert mine[-1]["data"]["output"] == events[-1]["data"]["output"]


@every_way
def test_called_directly_it_is_the_outermost_run(adapter, way):
    """Without a retriever around it, the reranking is a trace of its own."""
    collector = RunCollectorCallbackHandler()
    if way == "waiting":
        adapter.compress_documents(documents(TEXTS), QUERY, [collector])
    else:
        asyncio.run(adapter.acompress_documents(documents(TEXTS), QUERY, callbacks=[collector]))
    assert [run.name for run in collector.traced_runs] == ["ZeloRerank"]


@every_way
def test_compressor_pipelines_pass_the_trace_on(adapter, way):
    """In a compressor pipeline, each reranker has its run below the retriever's."""
    pipeline = DocumentCompressorPipeline(transformers=[adapter, adapter.with_options(top_n=1)])
    retriever = ContextualCompressionRetriever(base_compressor=pipeline, base_retriever=FETCH)
    _, run = traced(way, retriever)
    assert [child.name for child in run.child_runs] == ["fetch", "ZeloRerank", "ZeloRerank"]
    assert [len(child.outputs["output"]) for child in run.child_runs[1:]] == [3, 1]


@every_way
def test_a_step_of_a_chain_is_a_run(adapter, way):
    """As a step of a chain, the reranking is a run below the chain's."""
    chain = {"documents": FETCH, "query": RunnablePassthrough()} | adapter.as_runnable()
    _, run = traced(way, chain)
    assert [parent for parent, _ in below(run, "ZeloRerank")] == [run]


@every_way
def test_a_call_in_a_function_is_a_run(adapter, way):
    """Called in a function of a chain without callbacks, the run is found below the function's."""

    async def awaited(found):
        return await adapter.acompress_documents(found, QUERY)

    def call(found):
        return adapter.compress_documents(found, QUERY)

    _, run = traced(way, FETCH | RunnableLambda(call, afunc=awaited, name="mine"))
    assert [parent.name for parent, _ in below(run, "ZeloRerank")] == ["mine"]


@every_retriever
@every_way
def test_a_tools_trace_holds_the_run(adapter, kind, way):
    """Below a retriever tool's run, the reranking stands under the retriever's."""
    retriever = kind(base_compressor=adapter, base_retriever=FETCH)
    _, run = traced(way, create_retriever_tool(retriever, "search", "Searches."), {"query": QUERY})
    assert run.name == "search"
    assert [parent.name for parent, _ in below(run, "ZeloRerank")] == [kind.__name__]


def test_a_subclass_is_shown_by_its_name(adapter):
    """A class made from the adapter has runs of its own name."""

    class HouseRerank(ZeloRerank):
        """A reranker with defaults of its own."""

    mine = HouseRerank(reranker=adapter.reranker)
    _, run = traced("waiting", RerankRetriever(base_compressor=mine, base_retriever=FETCH))
    assert [child.name for child in run.child_runs] == ["fetch", "HouseRerank"]
