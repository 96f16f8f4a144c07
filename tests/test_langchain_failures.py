"""LangChain's compressor when reranking fails: raised, or the order kept and said so everywhere."""

import asyncio
import logging

import pytest
from framework_kit import documents
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from langchain_zelo import RerankRetriever, ZeloRerank
from zelo import ClosedError, Reranker

QUERY = "how is the water of the river"
TEXTS = ["a stone bridge", "cold water", "the river is cold", "read a file"]
FETCH = RunnableLambda(lambda query: documents(TEXTS))


@pytest.fixture
def failing(tiny_model):
    """Makes adapters over a reranker that was closed, so that scoring fails."""
    reranker = Reranker(tiny_model, dtype="float32", device="cpu")
    reranker.close()
    return lambda **options: ZeloRerank(reranker=reranker, **options)


@pytest.fixture(params=["waiting", "awaiting"])
def compress(request):
    """Calls the blocking or the awaiting method."""

    def call(adapter, given, callbacks=None):
        if request.param == "waiting":
            return adapter.compress_documents(given, QUERY, callbacks)
        return asyncio.run(adapter.acompress_documents(given, QUERY, callbacks))

    return call


class Heard(BaseCallbackHandler):
    """Keeps the custom events."""

    def __init__(self):
        self.events = []

    def on_custom_event(self, name, data, **_):
        self.events.append((name, data))


def test_a_failure_is_raised_by_default(failing, compress):
    """Unless told otherwise, a failure reaches the caller as the error it is."""
    with pytest.raises(ClosedError):
        compress(failing(), documents(TEXTS))


def test_a_raised_failure_is_seen_in_the_trace(failing, compress):
    """The run of a reranking that was raised ends with the error."""
    collector = RunCollectorCallbackHandler()
    with pytest.raises(ClosedError):
        compress(failing(), documents(TEXTS), [collector])
    (run,) = collector.traced_runs
    assert run.name == "ZeloRerank"
    assert "ClosedError" in run.error


@pytest.mark.parametrize(("top_n", "kept"), [(2, TEXTS[:2]), (None, TEXTS), (9, TEXTS)])
def test_the_order_is_kept(failing, compress, top_n, kept):
    """With keep_order, the first top_n documents come back in the order they came in."""
    found = compress(failing(on_error="keep_order", top_n=top_n), documents(TEXTS))
    assert [document.page_content for document in found] == kept


def test_kept_documents_are_marked_and_have_no_score(failing, compress):
    """A kept document names the error in its metadata, next to its own, and has no score."""
    given = documents(TEXTS, [{"source": text} for text in TEXTS])
    found = compress(failing(on_error="keep_order", top_n=None), given)
    assert [document.metadata for document in found] == [
        {"source": text, "rerank_error": "ClosedError"} for text in TEXTS
    ]
    assert [document.id for document in found] == [document.id for document in given]


def test_kept_documents_are_copies(failing, compress):
    """What was handed over has no mark afterwards."""
    given = documents(TEXTS)
    compress(failing(on_error="keep_order"), given)
    assert [document.metadata for document in given] == [{}] * len(TEXTS)


def test_min_score_drops_nothing_that_has_no_score(failing, compress):
    """A failure does not turn into an empty answer where there is a cutoff."""
    found = compress(failing(on_error="keep_order", min_score=0.9), documents(TEXTS))
    assert len(found) == 3


def test_a_success_has_no_mark(tiny_model, compress):
    """Without a failure, keep_order changes nothing."""
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        heard = Heard()
        adapter = ZeloRerank(reranker=reranker, on_error="keep_order")
        found = compress(adapter, documents(TEXTS), [heard])
    assert [set(document.metadata) for document in found] == [{"relevance_score"}] * 3
    assert heard.events == []


def test_a_later_success_removes_the_mark(failing, tiny_model, compress):
    """Documents that one reranker failed on are no longer marked once another has ranked them."""
    marked = compress(failing(on_error="keep_order"), documents(TEXTS))
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        found = compress(ZeloRerank(reranker=reranker), marked)
    assert [set(document.metadata) for document in found] == [{"relevance_score"}] * 3


def test_a_warning_is_logged(failing, compress, caplog):
    """The logger of zelo warns once per failure, by the error's name and message."""
    with caplog.at_level(logging.WARNING, logger="zelo"):
        compress(failing(on_error="keep_order"), documents(TEXTS))
    (record,) = [r for r in caplog.records if r.name == "zelo"]
    assert record.levelno == logging.WARNING
    assert "ClosedError" in record.getMessage()
    assert "first stage's order is kept" in record.getMessage()


def test_callbacks_hear_of_the_failure(failing, compress):
    """A callback handler gets one custom event that names the error."""
    heard = Heard()
    compress(failing(on_error="keep_order"), documents(TEXTS), [heard])
    assert heard.events == [("rerank_failed", {"rerank_error": "ClosedError"})]


@pytest.mark.parametrize("kind", [ContextualCompressionRetriever, RerankRetriever])
def test_event_streams_tell_of_the_failure(failing, kind):
    """astream_events shows the failure as a custom event of the reranking's own run."""
    retriever = kind(base_compressor=failing(on_error="keep_order"), base_retriever=FETCH)

    async def stream():
        return [event async for event in retriever.astream_events(QUERY, version="v2")]

    events = asyncio.run(stream())
    (told,) = [event for event in events if event["event"] == "on_custom_event"]
    assert (told["name"], told["data"]) == ("rerank_failed", {"rerank_error": "ClosedError"})
    (run,) = {e["run_id"] for e in events if e["name"] == "ZeloRerank"}
    assert told["run_id"] == run


@pytest.mark.parametrize("kind", [ContextualCompressionRetriever, RerankRetriever])
def test_chains_go_on_after_a_failure(failing, kind):
    """A retriever whose reranking fails answers with what its base retriever found first."""
    retriever = kind(base_compressor=failing(on_error="keep_order"), base_retriever=FETCH)
    chain = retriever | (lambda found: [document.page_content for document in found])
    assert chain.invoke(QUERY) == asyncio.run(chain.ainvoke(QUERY)) == TEXTS[:3]
