"""The key and the texts that are sent appear in nothing that is logged, shown, raised or kept."""

import asyncio
import logging
import pickle
import pprint
import traceback

import pytest
from framework_kit import FACES, Runs, documents
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from starlette.responses import Response

from zelo import Reranker, ZeloError

KEY = "sk-zelo-5ecre7"
CANARY = "canary-text-7f3a"
QUERY = "how is the water of the river"
TEXTS = [f"the water is cold {CANARY}", f"stone bridges {CANARY}", "read a file in Python"]
LLAMA_INDEX, LANGCHAIN, _ = FACES
WAYS = ["waiting", "awaiting"]


def echoed(asked):
    """What a careless server does: it repeats key and texts in its error."""
    return Response(f"{asked.headers['authorization']} {asked.body}", 500)


def repeated(asked):
    """What a careless server does with success."""
    return Response(f'{{"results": [{{"index": 0, "relevance_score": "{CANARY} {KEY}"}}]}}')


def moved(asked):
    """A redirect with secrets in its target."""
    return Response(status_code=307, headers={"location": f"http://u:{KEY}@host/?{CANARY}"})


def refused(asked):
    """A refusal whose request id is somebody else's idea."""
    return Response("", 400, {"x-request-id": f"{KEY} {CANARY}"})


OUTCOMES = {
    "success": None,
    "an error that repeats": echoed,
    "an answer that repeats": repeated,
    "a redirect": moved,
    "a refusal": refused,
}
every_outcome = pytest.mark.parametrize("outcome", OUTCOMES)
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def server(running):
    return running.play("gateway", key=KEY)


def play(server, outcome):
    """Let the server do something to every request."""
    if OUTCOMES[outcome] is not None:
        server.script.extend([OUTCOMES[outcome]] * 9)


def client(server, **options):
    options = {"score_scale": "probability", "max_retries": 1, "api_key": KEY} | options
    return Reranker("zerank-2", base_url=server.url, **options)


def score(way, reranker):
    """Score, blocking or awaiting; return the error, if there is one."""
    try:
        if way == "waiting":
            reranker.score(QUERY, TEXTS)
        else:
            asyncio.run(reranker.ascore(QUERY, TEXTS))
    except ZeloError as error:
        return error
    return None


@every_way
@every_outcome
@pytest.mark.parametrize("dialect", ["auto", "gateway"])
def test_nothing_in_any_log(server, caplog, dialect, outcome, way):
    """No logger, of ours or of the HTTP library, writes the key or a text, whatever happens.

    Headers that a server sends are the HTTP library's to log, at DEBUG, so the outcomes whose
    secrets are in the server's own headers are left to the test of our loggers.
    """
    play(server, outcome)
    with caplog.at_level(logging.DEBUG), client(server, dialect=dialect) as remote:
        score(way, remote)
    assert {"httpx", "httpcore.connection"} <= {record.name for record in caplog.records}
    in_headers = outcome in ("a redirect", "a refusal")
    records = [
        record
        for record in caplog.records
        if not (in_headers and record.name.startswith("httpcore"))
        and not record.name.startswith(("asyncio", "uvicorn"))
    ]
    text = "\n".join(repr(vars(record)) + record.getMessage() for record in records)
    assert KEY not in text
    assert CANARY not in text


@every_way
@pytest.mark.parametrize("outcome", sorted(OUTCOMES.keys() - {"success"}))
@pytest.mark.parametrize("dialect", ["auto", "gateway"])
def test_nothing_in_any_error(server, dialect, outcome, way):
    """Neither message, repr, traceback nor pickle of an error has the key or a text."""
    play(server, outcome)
    with client(server, dialect=dialect) as remote:
        error = score(way, remote)
    assert error is not None
    shown = [str(error), repr(error), repr(vars(error)), repr(pickle.dumps(error))]
    shown += traceback.format_exception(error)
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    assert KEY not in "".join(shown)
    assert CANARY not in "".join(shown)


@every_outcome
def test_nothing_in_what_a_reranker_shows(server, outcome):
    """Neither repr, settings nor pickle of a used reranker has the key or a text."""
    play(server, outcome)
    with client(server) as remote:
        score("waiting", remote)
        shown = [repr(remote), str(remote), pprint.pformat(vars(remote)), repr(remote.settings)]
        shown += [repr(vars(remote._scorer)), repr(pickle.dumps(remote)), repr(remote.stats())]
    assert KEY not in "".join(shown)
    assert CANARY not in "".join(shown)


class Events(BaseEventHandler):
    """Keeps every event of LlamaIndex's instrumentation."""

    seen: list = []  # noqa: RUF012 - a pydantic field

    @classmethod
    def class_name(cls):
        return "Events"

    def handle(self, event, **kwargs):
        self.seen.append(event)


@every_way
@every_outcome
def test_no_key_in_llama_index_events(server, outcome, way):
    """Neither events nor spans of LlamaIndex hold the key, whatever the server does."""
    root, events, spans = get_dispatcher(), Events(seen=[]), SimpleSpanHandler()
    root.add_event_handler(events)
    root.add_span_handler(spans)
    play(server, outcome)
    options = {"base_url": server.url, "api_key": KEY, "score_scale": "probability"}
    adapter = LLAMA_INDEX.adapter(model="zerank-2", on_error="keep_order", max_retries=0, **options)
    try:
        LLAMA_INDEX.run(way, adapter, QUERY, TEXTS)
    finally:
        root.event_handlers.remove(events)
        root.span_handlers.remove(spans)
        adapter.close()
    shown = [repr(event) + repr(event.model_dump()) for event in events.seen]
    shown += [repr(span) + repr(span.model_dump()) for span in spans.completed_spans]
    assert len(shown) >= 3
    assert KEY not in "".join(shown)


@every_way
@every_outcome
def test_no_key_in_langchain_traces(server, outcome, way):
    """No run of LangChain's traces holds the key, whatever the server does."""
    runs = Runs()
    play(server, outcome)
    options = {"base_url": server.url, "api_key": KEY, "score_scale": "probability"}
    adapter = LANGCHAIN.adapter(model="zerank-2", on_error="keep_order", max_retries=0, **options)
    items = documents(TEXTS)
    if way == "waiting":
        adapter.compress_documents(items, QUERY, callbacks=[runs])
    else:
        asyncio.run(adapter.acompress_documents(items, QUERY, callbacks=[runs]))
    adapter.close()
    assert [run.name for run in runs.seen] == ["ZeloRerank"]
    assert KEY not in repr([vars(run) for run in runs.seen])


@every_way
@pytest.mark.parametrize("outcome", ["an error that repeats", "an answer that repeats"])
def test_no_text_in_what_marks_a_failure(server, outcome, way):
    """The mark of a failure in nodes and documents is the error's name, without what it says."""
    for face in (LLAMA_INDEX, LANGCHAIN):
        server.play("gateway", key=KEY)
        play(server, outcome)
        options = {"base_url": server.url, "api_key": KEY, "score_scale": "probability"}
        adapter = face.adapter(model="zerank-2", on_error="keep_order", max_retries=0, **options)
        found = face.run(way, adapter, QUERY, TEXTS)
        adapter.close()
        assert {one.metadata["rerank_error"] for one in found} <= {
            "RemoteError",
            "DialectError",
            "RemoteAnswerError",
        }
