"""How adapters take a framework's items and hand them out: listed once, refused by name, copied."""

import asyncio
import threading

import pytest
from framework_kit import documents, nodes, of_documents, of_nodes
from langchain_core.runnables import RunnableLambda
from llama_index.core.schema import QueryBundle
from llama_index.postprocessor.zelo import ZeloRerank as LlamaIndexRerank
from pandas import DataFrame

from langchain_zelo import RerankRetriever, ZeloCrossEncoder, ZeloRerank
from zelo import InputError, Reranker

QUERY = "how is the water of the river"
TEXTS = ["a stone bridge", "cold water", "the river is cold", "read a file", "12 open files !"]


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


def retrieved(adapter, given, way):
    """Rerank what a base retriever returns."""
    retriever = RerankRetriever(
        base_compressor=adapter, base_retriever=RunnableLambda(lambda query: given)
    )
    if way == "waiting":
        return retriever.invoke(QUERY)
    return asyncio.run(retriever.ainvoke(QUERY))


def compressed(adapter, given, way):
    if way == "waiting":
        return adapter.compress_documents(given, QUERY)
    return asyncio.run(adapter.acompress_documents(given, QUERY))


def stepped(adapter, given, way):
    step, taken = adapter.as_runnable(), {"query": QUERY, "documents": given}
    return step.invoke(taken) if way == "waiting" else asyncio.run(step.ainvoke(taken))


def postprocessed(adapter, given, way):
    if way == "waiting":
        return adapter.postprocess_nodes(given, query_str=QUERY)
    return asyncio.run(adapter.apostprocess_nodes(given, query_str=QUERY))


ENTRIES = {
    "compressor": (ZeloRerank, documents, compressed, of_documents),
    "step": (ZeloRerank, documents, stepped, of_documents),
    "retriever": (ZeloRerank, documents, retrieved, of_documents),
    "postprocessor": (LlamaIndexRerank, nodes, postprocessed, of_nodes),
}
every_entry = pytest.mark.parametrize("entry", ENTRIES)
every_way = pytest.mark.parametrize("way", ["waiting", "awaiting"])


@every_entry
@every_way
def test_whatever_yields_items_is_a_list_of_them(reranker, entry, way):
    """Iterators, which can be walked only once, and views are ranked as lists are, everywhere."""
    adapter, items, rank, read = ENTRIES[entry]
    rerank = adapter(reranker=reranker, top_n=None)
    expected = read(rank(rerank, items(TEXTS), way))
    assert len(expected) == len(TEXTS)
    assert read(rank(rerank, filter(None, items(TEXTS)), way)) == expected
    assert read(rank(rerank, dict(enumerate(items(TEXTS))).values(), way)) == expected


@every_entry
@every_way
def test_what_is_no_list_of_items_is_refused(reranker, entry, way):
    """None is not an empty list, one item or a table not several: the error names the type."""
    adapter, items, rank, _ = ENTRIES[entry]
    rerank = adapter(reranker=reranker, on_error="keep_order")
    for given in (None, 7, "cold water", items(TEXTS)[0], DataFrame({"text": TEXTS})):
        kind = "text" if isinstance(given, str) else type(given).__name__
        with pytest.raises(InputError, match=f" {kind}[;,].* give a list of "):
            rank(rerank, given, way)


@pytest.mark.parametrize("entry", ["compressor", "postprocessor"])
def test_nested_metadata_is_a_copy(reranker, entry):
    """Writing deep into a result's metadata reaches no input; what cannot be copied is shared."""
    adapter, items, rank, read = ENTRIES[entry]
    lock = threading.Lock()
    given = items(TEXTS[:1], [{"acl": {"users": ["ann"], "lock": lock}, "tags": [["cold"]]}])
    (found,) = read(rank(adapter(reranker=reranker), given, "waiting"))
    assert found.metadata["acl"]["lock"] is lock
    found.metadata["acl"]["users"].append("bob")
    found.metadata["tags"][0].append("grey")
    (kept,) = read(given)
    assert kept.metadata == {"acl": {"users": ["ann"], "lock": lock}, "tags": [["cold"]]}


def test_lists_of_excluded_keys_are_copies(reranker):
    """What a result excludes from prompts afterwards, the node that was given does not."""
    given = nodes(TEXTS[:1])
    (found,) = LlamaIndexRerank(reranker=reranker).postprocess_nodes(given, query_str=QUERY)
    found.node.excluded_llm_metadata_keys.append("title")
    assert given[0].node.excluded_llm_metadata_keys == []


def test_bare_scores_take_iterators_too(reranker):
    """rerank() and its rank_fields, and the pairs of a cross-encoder, are listed once."""
    adapter = ZeloRerank(reranker=reranker, top_n=None)
    given = [{"title": text, "page": 3} for text in TEXTS]
    expected = adapter.rerank(given, QUERY, rank_fields=["title"])
    assert len({item["relevance_score"] for item in expected}) > 1
    assert adapter.rerank(iter(given), QUERY, rank_fields=iter(["title"])) == expected
    awaited = adapter.arerank(iter(given), QUERY, rank_fields=iter(["title"]))
    assert asyncio.run(awaited) == expected
    pairs = [(QUERY, text) for text in TEXTS]
    encoder = ZeloCrossEncoder(reranker=reranker)
    assert encoder.score(iter(pairs)) == encoder.score(pairs)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"question": QUERY, "documents": []}, "a mapping without 'query'$"),
        ({}, "a mapping without 'query' and 'documents'$"),
        (None, "a NoneType$"),
        (documents(TEXTS)[0], "a Document$"),
    ],
)
@every_way
def test_a_step_says_what_it_takes(reranker, given, told, way):
    """A chain that hands a step something else is told what is due, and what came instead."""
    step = ZeloRerank(reranker=reranker).as_runnable()
    with pytest.raises(InputError, match=f"takes .*'query'.*'documents'.*; it was given {told}"):
        step.invoke(given) if way == "waiting" else asyncio.run(step.ainvoke(given))


@pytest.mark.parametrize("query", ["cold water", 7])
def test_a_query_that_is_no_bundle_is_told_where_to_go(reranker, query):
    """LlamaIndex's second argument is a bundle; a text there is an error that names query_str."""
    adapter = LlamaIndexRerank(reranker=reranker)
    with pytest.raises(InputError, match=r"query_bundle is of type .* query_str="):
        adapter.postprocess_nodes(nodes(TEXTS), query)
    assert adapter.postprocess_nodes(nodes(TEXTS), QueryBundle(QUERY))
