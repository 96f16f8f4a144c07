"""Copies of adapters: pickles, other processes, copy and deepcopy."""

import copy
import multiprocessing
import pickle
import sys
import threading
from typing import Any

import pytest
from children import DOCUMENTS, QUERY, rank
from framework_kit import FACES, every_face, every_ranker
from langchain_core.documents import Document
from llama_index.core.callbacks import CallbackManager
from pydantic import PrivateAttr

from zelo import Reranker

LLAMA_INDEX, LANGCHAIN, _ = FACES
OWN = {
    "llama-index": {"top_n": 2, "min_score": 0.1, "on_error": "keep_order"}
    | {"metadata_mode": "none", "keep_retrieval_score": True},
    "langchain": {"top_n": None, "on_error": "keep_order", "rank_fields": ("title", "year")},
    "cross-encoder": {},
}


class WithLock:
    """A callback that cannot be pickled."""

    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self, done, total):
        pass


def pickled(adapter):
    """Return an adapter after a round trip through pickle."""
    return pickle.loads(pickle.dumps(adapter))  # noqa: S301 - our own bytes


WAYS = pytest.mark.parametrize("way", [pickled, copy.copy, copy.deepcopy])


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@WAYS
@every_face
def test_a_copy_has_the_same_options(tiny_model, face, way):
    """A copy ranks by the same options, its own and the model's."""
    adapter = face.make(
        tiny_model,
        instruction="Only stone bridges count.",
        max_document_tokens=64,
        long_documents="chunk",
        timeout=60.0,
        max_retries=5,
        strip=True,
        quantization="int8-weights",
        compile=False,
        **OWN[face.name],
    )
    copied = way(adapter)
    assert type(copied) is type(adapter)
    assert copied.model_dump() == adapter.model_dump()
    assert copied.reranker.settings == adapter.reranker.settings


@WAYS
@every_face
def test_a_copy_shares_the_weights(reranker, face, way):
    """A copy scores on the model that is loaded, and gives the same scores."""
    adapter = face.adapter(reranker=reranker)
    expected = face.scores(adapter, QUERY, DOCUMENTS)
    copied = way(adapter)
    assert face.scores(copied, QUERY, DOCUMENTS) == expected
    assert copied.reranker._scorer._instance is reranker._scorer._instance


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
@every_ranker
def test_a_copy_has_options_of_its_own(reranker, face, way):
    """Assigning to a copy changes the copy alone."""
    adapter = face.adapter(reranker=reranker, top_n=4)
    copied = way(adapter)
    copied.top_n = 1
    assert adapter.top_n == 4


@every_face
def test_pickles_are_small(tiny_model, face):
    """A pickle holds options and no weights, whether or not the model is loaded."""
    adapter = face.make(tiny_model, max_batch_tokens=70)
    before = pickle.dumps(adapter)
    adapter.warmup()
    after = pickle.dumps(adapter)
    adapter.close()
    assert before == after
    assert len(after) < 5_000


@every_face
def test_another_process_gives_the_same_scores(reranker, face):
    """An adapter that travels to a spawned process ranks there as it does here."""
    adapter = face.adapter(reranker=reranker)
    expected = [(found.index, found.score) for found in face.rank(adapter, QUERY, DOCUMENTS)]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=rank, args=(face.name, adapter, results))
    process.start()
    found = results.get(timeout=120)
    process.join(60)
    assert process.exitcode == 0
    assert [index for index, _ in found] == [index for index, _ in expected]
    assert [score for _, score in found] == pytest.approx([s for _, s in expected], abs=1e-5)


@pytest.fixture
def with_locks(reranker):
    """Makes adapters with callbacks that cannot be pickled, and returns those as well."""

    def make(face):
        callbacks = {"progress": WithLock()}
        if face is LLAMA_INDEX:
            callbacks["callback_manager"] = CallbackManager([])
            callbacks["callback_manager"].lock = threading.Lock()
        return face.adapter(reranker=reranker, **callbacks), callbacks

    return make


@every_face
def test_pickling_leaves_the_live_adapter_whole(with_locks, face):
    """What cannot be pickled stays out of a pickle, and stays with the adapter."""
    adapter, callbacks = with_locks(face)
    copied = pickled(adapter)
    assert copied.progress is None
    for name, callback in callbacks.items():
        assert getattr(adapter, name) is callback
    assert face.rank(copied, QUERY, DOCUMENTS) == face.rank(adapter, QUERY, DOCUMENTS)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
@every_face
def test_copies_report_to_the_same_callbacks(with_locks, face, way):
    """A copy in this process keeps the callbacks, even those that cannot be copied."""
    adapter, callbacks = with_locks(face)
    copied = way(adapter)
    for name, callback in callbacks.items():
        assert getattr(copied, name) is callback


@pytest.fixture(params=FACES[:2], ids=lambda face: face.name)
def subclass(request, monkeypatch):
    """A class made from an adapter, with its own `__init__` and private attributes."""

    class House(request.param.adapter):
        """Reranks the documents of one house."""

        shelf: str = "any"
        _house: str = PrivateAttr()
        _lock: Any = PrivateAttr(default_factory=threading.Lock)

        def __init__(self, house, *, reranker):
            super().__init__(reranker=reranker, top_n=2, shelf="top")
            self._house = house

    monkeypatch.setattr(sys.modules[__name__], "House", House, raising=False)
    House.__qualname__ = "House"
    return House


@WAYS
def test_a_subclass_is_copied_with_all_it_has(reranker, subclass, way, caplog):
    """A copy of a subclass has its fields and private attributes; its `__init__` asks nobody."""
    adapter = subclass("north", reranker=reranker)
    copied = way(adapter)
    assert type(copied) is subclass
    assert (copied._house, copied.shelf, copied.top_n) == ("north", "top", 2)
    with copied._lock:  # what cannot be pickled begins anew, and is told
        assert ("_lock is left out" in caplog.text) is (way is pickled)


def test_an_adapter_within_another_object_is_copied_too(reranker):
    """deepcopy of what holds an adapter, as frameworks do with pipelines, shares the model."""
    held = {"reranker": LANGCHAIN.adapter(reranker=reranker), "seen": [Document("x")]}
    copied = copy.deepcopy(held)
    assert copied["reranker"] is not held["reranker"]
    assert copied["reranker"].reranker is reranker
