"""An API key that an adapter holds appears in nothing that it writes, sends or hands out."""

import asyncio
import json
import logging
import pickle
import pprint

import pytest
from framework_kit import BAD_OF_ANY, FACES, Runs, documents, every_face, every_ranker
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from pydantic import SecretStr

from zelo import Reranker

KEY = "sk-zelo-5ecre7"
LLAMA_INDEX, LANGCHAIN, _ = FACES
QUERY = "how is the water of the river"
REMOTE = {"model": "zerank-2", "base_url": "https://host.example"}
TEXTS = [f"the water of bridge {i} is cold" for i in range(4)]


@pytest.fixture(scope="module")
def loaded(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        reranker.warmup()
        yield reranker


@pytest.fixture(params=["argument", "secret", "environment"])
def holding(request, monkeypatch):
    """Makes adapters that hold the key, wherever they have it from."""

    def make(face, **options):
        if request.param == "environment":
            monkeypatch.setenv("ZELO_API_KEY", KEY)
        else:
            options["api_key"] = KEY if request.param == "argument" else SecretStr(KEY)
        adapter = face.adapter(**options)
        assert adapter.api_key.get_secret_value() == KEY
        return adapter

    return make


SURFACES = {
    "repr": repr,
    "str": str,
    "format": "{}".format,
    "pprint": pprint.pformat,
    "iteration": lambda adapter: repr(dict(adapter)),
    "model_dump": lambda adapter: repr(adapter.model_dump()),
    "model_dump_json": lambda adapter: adapter.model_dump_json(),
    "schema": lambda adapter: json.dumps(type(adapter).model_json_schema()),
    "langchain dumps": dumps,
    "langchain dumpd": lambda adapter: repr(dumpd(adapter)),
}


@pytest.mark.parametrize("surface", SURFACES)
@every_face
def test_no_key_in_what_an_adapter_shows(holding, face, surface):
    """Whatever shows or serialises an adapter, it leaves out the key."""
    shown = SURFACES[surface](holding(face, **REMOTE))
    assert KEY not in shown
    assert shown


@pytest.mark.parametrize("surface", ["to_dict", "to_json"])
def test_no_key_in_what_llama_index_stores(holding, surface):
    """LlamaIndex's own ways to store a component leave out the key."""
    shown = repr(getattr(holding(LLAMA_INDEX, **REMOTE), surface)())
    assert KEY not in shown
    assert "ZeloRerank" in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@every_face
def test_no_key_in_pickles(holding, face, protocol):
    """A pickle of any protocol leaves out the key."""
    assert KEY.encode() not in pickle.dumps(holding(face, **REMOTE), protocol)


@every_face
def test_a_key_is_read_again_where_a_pickle_is_opened(monkeypatch, face):
    """What comes out of a pickle has the key of the environment there, or none."""
    carried = pickle.dumps(face.adapter(**REMOTE, api_key=KEY))
    assert pickle.loads(carried).api_key is None  # noqa: S301 - our own bytes
    monkeypatch.setenv("ZELO_API_KEY", "sk-other")
    assert pickle.loads(carried).api_key.get_secret_value() == "sk-other"  # noqa: S301


def said(error):
    """Return all that an error and those before it say."""
    parts = []
    while error is not None:
        parts += [str(error), repr(error)]
        parts += [error.json()] if hasattr(error, "json") else []
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


@pytest.mark.parametrize(
    ("face", "option", "value"), BAD_OF_ANY, ids=lambda given: getattr(given, "name", repr(given))
)
def test_no_key_in_a_refusal(tiny_model, monkeypatch, face, option, value):
    """An error about another option does not repeat the key beside it."""
    monkeypatch.setenv("ZELO_API_KEY", KEY)
    with pytest.raises((ValueError, TypeError)) as caught:
        face.adapter(**({"model": tiny_model, "api_key": KEY} | {option: value}))
    assert KEY not in said(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"cohere_api_key": KEY},
        {"voyage_api_key": KEY, "top_k": 3},
        {"auth_token": KEY},
        {"api_keey": KEY},
        {"api_key": [KEY]},
        {"api_key": KEY.encode() + b"\xff"},
        {"base_url": f"https://user:{KEY}@host.example/"},
        {"url": f"https://user:{KEY}@host.example/"},
    ],
    ids=lambda options: next(iter(options)),
)
@every_face
def test_no_key_in_a_refusal_of_itself(tiny_model, face, options):
    """A key under a name, or of a type, that is refused is not repeated in the error's message."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - pydantic's or ours, both are one
        face.adapter(model=tiny_model, **options)
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)


def assigned(adapter, option, value):
    """Assign to an adapter."""
    setattr(adapter, option, value)


def copied(adapter, option, value):
    """Make a copy with another option."""
    adapter.with_options(**{option: value})


@pytest.mark.parametrize("change", [assigned, copied])
@pytest.mark.parametrize("option", ["api_key", "base_url", "instruction", "cohere_api_key"])
@every_face
def test_no_key_in_a_refused_change(loaded, face, option, change):
    """An attempt to change the key, or to put it elsewhere, is refused without repeating it."""
    adapter = face.adapter(reranker=loaded)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - pydantic's or ours, both are one
        change(adapter, option, [KEY] if option == "instruction" else KEY)
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@pytest.mark.parametrize("timeout", [None, 1e-6])
@every_ranker
def test_no_key_in_the_log(tiny_model, holding, face, caplog, way, timeout):
    """Nothing that is logged while a model loads, ranks or fails holds the key."""
    adapter = holding(
        face,
        model=tiny_model,
        device="cpu",
        max_batch_tokens=60,
        on_error="keep_order",
        timeout=timeout,
    )
    with caplog.at_level(logging.DEBUG):
        face.run(way, adapter, QUERY, TEXTS)
    adapter.close()
    assert "zelo" in {record.name for record in caplog.records}
    assert KEY not in caplog.text
    assert KEY not in repr([vars(record) for record in caplog.records])


class Events(BaseEventHandler):
    """Keeps every event of LlamaIndex's instrumentation."""

    seen: list = []  # noqa: RUF012 - a pydantic field

    @classmethod
    def class_name(cls):
        return "Events"

    def handle(self, event, **kwargs):
        self.seen.append(event)


@pytest.fixture
def instrumented():
    """Handlers of LlamaIndex's events and spans, for as long as a test runs."""
    root = get_dispatcher()
    events, spans = Events(), SimpleSpanHandler()
    root.add_event_handler(events)
    root.add_span_handler(spans)
    yield events, spans
    root.event_handlers.remove(events)
    root.span_handlers.remove(spans)


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@pytest.mark.parametrize("timeout", [None, 1e-6])
def test_no_key_in_llama_index_events(tiny_model, holding, instrumented, way, timeout):
    """Neither events, spans nor callbacks of LlamaIndex hold the key."""
    events, spans = instrumented
    debug = LlamaDebugHandler(print_trace_on_end=False)
    adapter = holding(
        LLAMA_INDEX,
        model=tiny_model,
        device="cpu",
        callback_manager=CallbackManager([debug]),
        on_error="keep_order",
        timeout=timeout,
    )
    LLAMA_INDEX.run(way, adapter, QUERY, TEXTS)
    adapter.close()
    assert type(events.seen[0]).__name__ == "ReRankStartEvent"
    shown = [repr(event) + repr(event.model_dump()) for event in events.seen]
    shown += [repr(span) + repr(span.model_dump()) for span in spans.completed_spans]
    shown += [repr(event) for event in debug.get_events()]
    assert len(shown) > 4
    assert KEY not in "\n".join(shown)


class Calls(BaseCallbackHandler):
    """Keeps whatever LangChain hands to its callbacks."""

    def __init__(self):
        self.seen = []

    def on_chain_start(self, serialized, inputs, **kwargs):
        self.seen.append((serialized, inputs, kwargs))

    def on_chain_end(self, outputs, **kwargs):
        self.seen.append((outputs, kwargs))

    def on_custom_event(self, name, data, **kwargs):
        self.seen.append((name, data, kwargs))


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@pytest.mark.parametrize("timeout", [None, 1e-6])
def test_no_key_in_langchain_traces(tiny_model, holding, way, timeout):
    """Neither runs nor callbacks of LangChain hold the key."""
    runs, calls = Runs(), Calls()
    adapter = holding(
        LANGCHAIN, model=tiny_model, device="cpu", on_error="keep_order", timeout=timeout
    )
    if way == "waiting":
        adapter.compress_documents(documents(TEXTS), QUERY, callbacks=[runs, calls])
    else:
        asyncio.run(adapter.acompress_documents(documents(TEXTS), QUERY, callbacks=[runs, calls]))
    adapter.close()
    assert [run.name for run in runs.seen] == ["ZeloRerank"]
    shown = [repr(vars(run)) for run in runs.seen]
    assert len(calls.seen) >= 2
    assert KEY not in "\n".join(shown) + repr(calls.seen)
