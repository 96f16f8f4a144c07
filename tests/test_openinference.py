"""What Phoenix and other readers of OpenInference see of a reranking, by its own instrumentors."""

import asyncio
import json

import pytest
from framework_kit import documents, nodes
from langchain_core.runnables import RunnableLambda
from llama_index.postprocessor.zelo import ZeloRerank as NodeRerank
from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_zelo import RerankRetriever, ZeloRerank

KEY = "sk-zelo-5ecre7"
QUERY = "how is the water of the river"
TEXTS = ["a stone bridge", "cold water " * 20, "the river is cold"]
OPTIONS = {"device": "cpu", "dtype": "float32", "max_document_tokens": 12, "top_n": 2}

every_way = pytest.mark.parametrize("way", ["waiting", "awaiting"])


@pytest.fixture
def spans():
    """What the instrumentors of both frameworks export in this test."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentors = [LlamaIndexInstrumentor(), LangChainInstrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=provider)
    yield exporter.get_finished_spans
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def listed(attributes, prefix):
    """Return the documents below a prefix, each with its own attributes."""
    found = {}
    for name, value in attributes.items():
        if name.startswith(prefix + "."):
            place, _, field = name.removeprefix(prefix + ".").partition(".document.")
            found.setdefault(int(place), {})[field] = value
    return [found[place] for place in sorted(found)]


@every_way
def test_llama_index_shows_a_whole_reranker_span(tiny_model, spans, way):
    """Query, model, top_k and the documents before and after are in one RERANKER span."""
    rerank = NodeRerank(model=tiny_model, **OPTIONS)
    if way == "waiting":
        found = rerank.postprocess_nodes(nodes(TEXTS), query_str=QUERY)
    else:
        found = asyncio.run(rerank.apostprocess_nodes(nodes(TEXTS), query_str=QUERY))
    rerank.close()
    (span,) = spans()
    told = dict(span.attributes)
    assert told["openinference.span.kind"] == "RERANKER"
    assert told["reranker.query"] == QUERY
    assert told["reranker.model_name"] == str(tiny_model)
    assert told["reranker.top_k"] == 2
    given = listed(told, "reranker.input_documents")
    assert [(one["content"], one["score"]) for one in given] == [
        (item.get_content(), item.score) for item in nodes(TEXTS)
    ]
    kept = listed(told, "reranker.output_documents")
    assert [(one["id"], one["score"]) for one in kept] == [
        (item.node_id, item.score) for item in found
    ]
    cut = [json.loads(one["metadata"]) for one in kept if one["id"] == "1"]
    assert cut == [{"rerank_truncated": True}]


@every_way
def test_langchain_shows_how_it_ranked(tiny_model, spans, way):
    """The run has the documents before and after, and its options as metadata, but no key."""
    rerank = ZeloRerank(
        model=tiny_model, api_key=KEY, min_score=0.0, instruction="prefer bridges", **OPTIONS
    )
    first_stage = RunnableLambda(lambda query: documents(TEXTS))
    retriever = RerankRetriever(base_compressor=rerank, base_retriever=first_stage)
    if way == "waiting":
        found = retriever.invoke(QUERY)
    else:
        found = asyncio.run(retriever.ainvoke(QUERY))
    rerank.close()
    (told,) = [dict(span.attributes) for span in spans() if span.name == "ZeloRerank"]
    assert told["openinference.span.kind"] == "CHAIN"
    given = json.loads(told["input.value"])
    assert given["query"] == QUERY
    assert [one["page_content"] for one in given["documents"]] == TEXTS
    kept = json.loads(told["output.value"])
    assert [one["metadata"] for one in kept] == [one.metadata for one in found]
    assert (
        json.loads(told["metadata"]).items()
        >= {
            "model": str(tiny_model),
            "top_n": 2,
            "min_score": 0.0,
            "instruction": "prefer bridges",
        }.items()
    )
    assert KEY not in repr([span.to_json() for span in spans()])
