"""What LlamaIndex's observers see: spans and events of a reranking, and of one that failed."""

import asyncio
import logging

import pytest
from framework_kit import nodes
from llama_index.core import VectorStoreIndex, get_response_synthesizer
from llama_index.core.callbacks import (
    CallbackManager,
    CBEventType,
    EventPayload,
    LlamaDebugHandler,
)
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, TextNode
from llama_index.postprocessor.zelo import ZeloRerank

from zelo import ClosedError, InputError, Reranker
from zelo.adapters import RERANK_ERROR

QUERY = "how is the water of the river"
TEXTS = [
    "the oldest bridge was built of stone",
    "in spring the water of the river is cold and grey",
    "open a file with open() and call its method read()",
    "there are three bridges in the old town",
]
OF_RERANKING = (ReRankStartEvent, ReRankEndEvent, ExceptionEvent)


class Events(BaseEventHandler):
    """Keeps the instrumentation's events about rerankings."""

    seen: list = []  # noqa: RUF012 - a pydantic field, copied for each handler

    def handle(self, event, **_):
        if isinstance(event, OF_RERANKING):
            self.seen.append(event)


class OutOfOrder:
    """A scorer with a fault that zelo knows nothing of."""

    def score(self, requests, progress=None):
        raise RuntimeError("out of order")

    async def ascore(self, requests, progress=None):
        return self.score(requests)


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture
def failing(tiny_model):
    """A reranker that fails with ClosedError, as one does that others have closed."""
    reranker = Reranker(tiny_model, dtype="float32", device="cpu")
    reranker.close()
    return reranker


@pytest.fixture
def observed(monkeypatch):
    """The events and the spans that reach the framework's root dispatcher in this test."""
    events, spans = Events(seen=[]), SimpleSpanHandler()
    root = get_dispatcher()
    monkeypatch.setattr(root, "event_handlers", [*root.event_handlers, events])
    monkeypatch.setattr(root, "span_handlers", [*root.span_handlers, spans])
    return events.seen, spans


@pytest.fixture
def debug():
    """The framework's handler that keeps the events of legacy callbacks."""
    return LlamaDebugHandler(print_trace_on_end=False)


@pytest.fixture(params=["waiting", "awaiting"])
def postprocess(request):
    """Both hooks of a postprocessor, called as the framework does."""
    if request.param == "waiting":
        return lambda rerank, *args, **named: rerank.postprocess_nodes(*args, **named)
    return lambda rerank, *args, **named: asyncio.run(rerank.apostprocess_nodes(*args, **named))


@pytest.fixture(params=["waiting", "awaiting"])
def ask(request):
    """Both ways to ask a query engine."""
    if request.param == "waiting":
        return lambda engine: engine.query(QUERY)
    return lambda engine: asyncio.run(engine.aquery(QUERY))


def keeping(reranker, **options):
    return ZeloRerank(reranker=reranker, on_error="keep_order", **options)


def query_engine(rerank, handler=None):
    """A query engine over all texts, with equal similarities in the first stage."""
    index = VectorStoreIndex(
        [item.node for item in nodes(TEXTS)], embed_model=MockEmbedding(embed_dim=8)
    )
    manager = CallbackManager([handler] if handler else [])
    return RetrieverQueryEngine(
        index.as_retriever(similarity_top_k=len(TEXTS)),
        get_response_synthesizer(llm=MockLLM(), callback_manager=manager),
        node_postprocessors=[rerank],
        callback_manager=manager,
    )


def test_reranking_is_a_start_and_an_end_event(reranker, postprocess, observed):
    """Both events are sent: what is asked for at the start, what comes back at the end."""
    given = nodes(TEXTS)
    found = postprocess(ZeloRerank(reranker=reranker, top_n=2), given, query_str=QUERY)
    start, end = observed[0]
    assert isinstance(start, ReRankStartEvent)
    assert isinstance(end, ReRankEndEvent)
    assert start.query.query_str == QUERY
    assert start.nodes == given
    assert start.top_n == 2
    assert start.model_name == reranker.settings["model"]
    assert end.nodes == found


def test_start_event_keeps_the_retrieval_scores(reranker, postprocess, observed):
    """The start event still shows the first stage's scores after the reranking."""
    postprocess(ZeloRerank(reranker=reranker), nodes(TEXTS), query_str=QUERY)
    assert [item.score for item in observed[0][0].nodes] == [item.score for item in nodes(TEXTS)]


def test_events_lie_in_one_span_of_the_hook(reranker, postprocess, observed):
    """Each hook is exactly one span, which both its events name."""
    events, spans = observed
    postprocess(ZeloRerank(reranker=reranker), nodes(TEXTS), query_str=QUERY)
    (span,) = spans.completed_spans
    assert "postprocess_nodes" in span.id_
    assert [event.span_id for event in events] == [span.id_] * 2
    assert not spans.dropped_spans


def test_span_lies_in_the_engines_span(reranker, ask, observed):
    """A query engine's trace shows the reranking below the query."""
    events, spans = observed
    ask(query_engine(ZeloRerank(reranker=reranker)))
    parents = {span.id_: span.parent_id for span in spans.completed_spans}
    (hook,) = {event.span_id for event in events}
    above = [hook]
    while parents[above[-1]] is not None:
        above.append(parents[above[-1]])
    assert "query" in above[-1]
    assert [span for span in parents if "ZeloRerank" in span] == [hook]


def test_event_without_top_n_counts_all_nodes(reranker, postprocess, observed):
    """Where all nodes are asked for, the start event holds their number."""
    postprocess(ZeloRerank(reranker=reranker, top_n=None), nodes(TEXTS), query_str=QUERY)
    assert observed[0][0].top_n == len(TEXTS)


@pytest.mark.parametrize(
    ("given", "query"),
    [([], QUERY), (nodes(TEXTS), None), ([TextNode(text="river")], QUERY)],
    ids=["no nodes", "no query", "no NodeWithScore"],
)
def test_nothing_to_rerank_is_no_event(reranker, postprocess, observed, debug, given, query):
    """Where no reranking begins, no observer hears of one."""
    rerank = ZeloRerank(reranker=reranker, callback_manager=CallbackManager([debug]))
    if query is None or given:
        with pytest.raises(InputError):
            postprocess(rerank, given, query_str=query)
    else:
        postprocess(rerank, given, query_str=query)
    assert not observed[0]
    assert not debug.get_events()


def test_legacy_callback_hears_of_a_reranking(reranker, postprocess, debug):
    """The callback manager gets one RERANKING event, with what was given and what came back."""
    given = nodes(TEXTS)
    rerank = ZeloRerank(reranker=reranker, top_n=2, callback_manager=CallbackManager([debug]))
    found = postprocess(rerank, given, query_str=QUERY)
    start, end = debug.get_events()
    assert (start.event_type, end.event_type) == (CBEventType.RERANKING, CBEventType.RERANKING)
    assert start.id_ == end.id_
    assert start.payload == {
        EventPayload.NODES: given,
        EventPayload.MODEL_NAME: reranker.settings["model"],
        EventPayload.QUERY_STR: QUERY,
        EventPayload.TOP_K: 2,
    }
    assert end.payload == {EventPayload.NODES: found}


def test_engines_callback_manager_takes_over(reranker, ask, debug):
    """An engine puts its own callback manager in place, and that one hears of the reranking."""
    own = LlamaDebugHandler(print_trace_on_end=False)
    rerank = ZeloRerank(reranker=reranker, callback_manager=CallbackManager([own]))
    found = ask(query_engine(rerank, debug)).source_nodes
    assert not own.get_events()
    _, end = debug.get_events(CBEventType.RERANKING)
    assert end.payload == {EventPayload.NODES: found}


def test_failure_is_raised_by_default(failing, postprocess, observed, debug):
    """Without keep_order the error reaches the caller; the span is dropped, the callback told."""
    rerank = ZeloRerank(reranker=failing, callback_manager=CallbackManager([debug]))
    with pytest.raises(ClosedError) as raised:
        postprocess(rerank, nodes(TEXTS), query_str=QUERY)
    events, spans = observed
    assert [type(event) for event in events] == [ReRankStartEvent]
    assert [span.id_ for span in spans.dropped_spans] == [events[0].span_id]
    _, end = debug.get_events(CBEventType.RERANKING)
    assert end.payload == {EventPayload.EXCEPTION: raised.value}


def test_failure_can_keep_the_order(failing, postprocess):
    """keep_order answers a failure with the nodes in the order given, and their own scores."""
    given = [NodeWithScore(node=ImageNode(image_url="http://images.invalid/1.png"), score=9.0)]
    given += nodes(TEXTS)
    given[2].score = None
    found = postprocess(keeping(failing, top_n=4, min_score=0.9), given, query_str=QUERY)
    assert [item.node.node_id for item in found] == [item.node.node_id for item in given[:4]]
    assert [item.score for item in found] == [item.score for item in given[:4]]


def test_unforeseen_failure_can_keep_the_order(postprocess, caplog):
    """keep_order is for every failure; one that zelo does not know is logged with its traceback."""
    with caplog.at_level(logging.WARNING, "zelo"):
        rerank = keeping(Reranker.from_scorer(OutOfOrder()), top_n=None)
        found = postprocess(rerank, nodes(TEXTS), query_str=QUERY)
    assert [item.node.node_id for item in found] == [str(i) for i in range(len(TEXTS))]
    (record,) = caplog.records
    assert "RuntimeError: out of order" in record.getMessage()
    assert record.exc_info is not None


def test_success_is_not_marked(reranker, postprocess, caplog):
    """keep_order without a failure ranks as ever: no warning, no marker."""
    found = postprocess(keeping(reranker), nodes(TEXTS), query_str=QUERY)
    expected = [str(ranked.index) for ranked in reranker.rank(QUERY, TEXTS, top_n=3)]
    assert [item.node.node_id for item in found] == expected
    assert not any(RERANK_ERROR in item.node.metadata for item in found)
    assert not caplog.records


def test_kept_order_is_warned_of(failing, postprocess, caplog):
    """A kept order is one warning on the logger zelo, which says why and repeats no text."""
    with caplog.at_level(logging.WARNING, "zelo"):
        postprocess(keeping(failing), nodes(TEXTS), query_str=QUERY)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("zelo", logging.WARNING)
    assert "ClosedError: this reranker was closed" in record.getMessage()
    assert not record.exc_info  # the error says all there is to say
    assert not any(text in caplog.text for text in [QUERY, *TEXTS])


def test_kept_order_is_marked_and_read_by_nobody(failing, postprocess):
    """Each node's metadata names the error, and no text for the LLM or the embedding does."""
    given = nodes(TEXTS, [{"title": "river"}] * len(TEXTS))
    rerank = keeping(failing, top_n=None, keep_retrieval_score=True)
    found = postprocess(rerank, given, query_str=QUERY)
    for before, after in zip(given, found, strict=True):
        notes = {RERANK_ERROR: "ClosedError", "retrieval_score": before.score}
        assert after.node.metadata == {"title": "river"} | notes
        assert before.node.metadata == {"title": "river"}
        for mode in (MetadataMode.LLM, MetadataMode.EMBED):
            texts = [item.node.get_content(metadata_mode=mode) for item in (before, after)]
            assert texts[0] == texts[1]


def test_kept_order_is_an_exception_event(failing, postprocess, observed):
    """The instrumentation gets the error between start and end, in the span of the hook."""
    events, spans = observed
    found = postprocess(keeping(failing), nodes(TEXTS), query_str=QUERY)
    assert [type(event) for event in events] == [ReRankStartEvent, ExceptionEvent, ReRankEndEvent]
    assert isinstance(events[1].exception, ClosedError)
    assert events[2].nodes == found
    assert [event.span_id for event in events] == [spans.completed_spans[0].id_] * 3


def test_kept_order_is_a_legacy_exception(failing, postprocess, debug):
    """The callback manager gets the error as an EXCEPTION event within the RERANKING event."""
    manager = CallbackManager([debug])
    rerank = keeping(failing, callback_manager=manager)
    found = postprocess(rerank, nodes(TEXTS), query_str=QUERY)
    start, end = debug.get_events(CBEventType.RERANKING)
    exception = debug.get_events(CBEventType.EXCEPTION)[0]
    assert isinstance(exception.payload[EventPayload.EXCEPTION], ClosedError)
    assert manager.trace_map[start.id_] == [exception.id_]
    assert end.payload == {EventPayload.NODES: found}


def test_kept_order_leaves_the_trace_whole(failing, ask, debug):
    """After a failure the engine's next step is a child of the query, not of the reranking."""
    engine = query_engine(keeping(failing), debug)
    ask(engine)
    query = debug.get_events(CBEventType.QUERY)[0]
    steps = (CBEventType.RERANKING, CBEventType.SYNTHESIZE)
    below = [debug.get_events(step)[0].id_ for step in steps]
    assert engine.callback_manager.trace_map[query.id_] == below


def test_kept_order_answers_the_query(failing, ask):
    """A query engine answers from the first stage's nodes, and its prompt tells no failure."""
    response = ask(query_engine(keeping(failing, top_n=3)))
    assert [item.node.metadata for item in response.source_nodes] == [
        {RERANK_ERROR: "ClosedError"}
    ] * 3
    assert response.source_nodes[0].node.get_content() in str(response)
    assert RERANK_ERROR not in str(response)
    assert "ClosedError" not in str(response)
