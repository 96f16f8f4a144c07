"""An adapter in use: warming up, progress, failures, retries, closing."""

import gc
import logging
import weakref

import pytest
from framework_kit import every_face, every_ranker

from zelo import ClosedError, ModelFailedError, Reranker, ScoringTimeoutError
from zelo.adapters import RERANK_ERROR
from zelo.local import instances
from zelo.local.model import ScoringModel
from zelo.scoring import retrying as patience

QUERY = "how is the water of the river"
TEXTS = [f"the water of bridge {i} is cold " * (1 + i % 5) for i in range(8)]
WAYS = ["waiting", "awaiting"]


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture
def failing(monkeypatch):
    """Let the model's next forward passes fail, so many of them, without pauses in between."""
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.0)
    start = ScoringModel.start

    def fail(times):
        calls = []

        def fail_at_first(self, pack):
            calls.append(pack)
            if len(calls) <= times:
                raise RuntimeError("out of memory")
            return start(self, pack)

        monkeypatch.setattr(ScoringModel, "start", fail_at_first)
        return calls

    return fail


def loaded(adapter):
    """The loaded model behind an adapter."""
    return adapter.reranker._scorer._instance


@every_face
def test_nothing_is_loaded_before_it_is_used(tiny_model, face):
    """Making an adapter loads no model; warming it up does, and counts as work."""
    before = len(instances._registry.instances)
    adapter = face.make(tiny_model, max_batch_tokens=81)
    assert len(instances._registry.instances) == before
    assert adapter.stats().packs == 0
    adapter.warmup()
    assert len(instances._registry.instances) == before + 1
    assert adapter.stats().packs == 1
    face.rank(adapter, QUERY, TEXTS)
    assert adapter.stats().calls == 2
    adapter.close()


@every_face
def test_closing_unloads_the_model(tiny_model, face):
    """After close() the weights are gone, and scoring is an error."""
    adapter = face.make(tiny_model, max_batch_tokens=82)
    face.rank(adapter, QUERY, TEXTS)
    assert loaded(adapter) in instances._registry.instances.values()
    key = loaded(adapter)._key
    weights = weakref.ref(loaded(adapter).engine._workers[0].model.backbone)
    adapter.close()
    gc.collect()
    assert weights() is None
    assert key not in instances._registry.instances
    for way in WAYS:
        with pytest.raises(ClosedError, match="make a new Reranker"):
            face.run(way, adapter, QUERY, TEXTS)


@every_face
def test_a_forgotten_adapter_frees_its_model(tiny_model, face):
    """An adapter that goes out of scope gives its model back, as does its copy for some calls."""
    adapter = face.make(tiny_model, max_batch_tokens=83)
    other = adapter.with_options(instruction="Only stone bridges count.")
    face.rank(other, QUERY, TEXTS)
    weights = weakref.ref(loaded(adapter).engine._workers[0].model.backbone)
    del adapter
    gc.collect()
    assert weights() is not None
    del other
    gc.collect()
    assert weights() is None


@pytest.mark.parametrize("way", WAYS)
@every_face
def test_progress_is_reported_to_the_end(tiny_model, face, way):
    """The progress callback hears of every document, and last that all are done."""
    heard = []
    adapter = face.make(
        tiny_model, max_batch_tokens=84, progress=lambda *counts: heard.append(counts)
    )
    face.run(way, adapter, QUERY, TEXTS)
    assert len(heard) > 1
    assert heard == sorted(heard)
    assert {total for _, total in heard} == {len(TEXTS)}
    assert heard[-1] == (len(TEXTS), len(TEXTS))
    adapter.close()


@pytest.mark.parametrize("way", WAYS)
@every_face
def test_a_passing_failure_is_survived(tiny_model, face, failing, way):
    """A forward pass that fails no more often than max_retries costs nothing but time."""
    adapter = face.make(tiny_model, max_retries=2)
    expected = face.run(way, adapter, QUERY, TEXTS[:1])
    calls = failing(2)
    assert face.run(way, adapter, QUERY, TEXTS[:1]) == expected
    assert len(calls) == 3
    adapter.close()


@pytest.mark.parametrize("way", WAYS)
@every_face
def test_a_failure_that_stays_is_raised(tiny_model, face, failing, way):
    """After max_retries further attempts the caller gets the model's error."""
    adapter = face.make(tiny_model, max_retries=1)
    calls = failing(99)
    with pytest.raises(ModelFailedError, match="out of memory"):
        face.run(way, adapter, QUERY, TEXTS[:1])
    assert len(calls) == 2
    adapter.close()


@pytest.mark.parametrize("way", WAYS)
@every_face
def test_a_call_that_takes_too_long_fails(tiny_model, face, stuck, way):
    """A call beyond its timeout raises an error that says so."""
    adapter = face.make(tiny_model, timeout=0.05)
    with pytest.raises(ScoringTimeoutError, match=r"within 0\.05 s"):
        face.run(way, adapter, QUERY, TEXTS)
    stuck.set()
    adapter.close()


def check_kept(face, way, adapter, caplog, broken):
    """Check that a failure left the first stage's order, said so, and made up no score."""
    with caplog.at_level(logging.WARNING, "zelo"):
        kept = face.run(way, adapter, QUERY, TEXTS)
    assert [found.index for found in kept] == [0, 1, 2, 3, 4]
    assert [found.metadata[RERANK_ERROR] for found in kept] == [broken] * 5
    assert all("relevance_score" not in found.metadata for found in kept)
    assert f"the first stage's order is kept: {broken}" in caplog.text


KEEP = {"on_error": "keep_order", "top_n": 5, "min_score": 0.99}


@pytest.mark.parametrize("way", WAYS)
@every_ranker
def test_a_failed_model_can_keep_the_order(tiny_model, face, failing, caplog, way):
    """With on_error="keep_order" the first stage's order stays, marked in every item and logged."""
    adapter = face.make(tiny_model, max_retries=0, **KEEP)
    failing(99)
    check_kept(face, way, adapter, caplog, "ModelFailedError")
    adapter.close()


@pytest.mark.parametrize("way", WAYS)
@every_ranker
def test_a_timeout_can_keep_the_order(tiny_model, face, stuck, caplog, way):
    """With on_error="keep_order" a call that takes too long gives the first stage's order."""
    adapter = face.make(tiny_model, timeout=0.05, **KEEP)
    check_kept(face, way, adapter, caplog, "ScoringTimeoutError")
    stuck.set()
    adapter.close()


@every_ranker
def test_a_success_leaves_no_marker(reranker, face):
    """With on_error="keep_order" a ranking that worked is an ordinary one."""
    adapter = face.adapter(reranker=reranker, on_error="keep_order", top_n=None)
    ranked = face.rank(adapter, QUERY, TEXTS)
    assert ranked == face.rank(face.adapter(reranker=reranker, top_n=None), QUERY, TEXTS)
    assert not any(RERANK_ERROR in found.metadata for found in ranked)


@pytest.mark.parametrize("way", WAYS)
@every_ranker
def test_failures_are_raised_by_default(tiny_model, face, failing, way):
    """Unless the caller asks for the order to be kept, a failed reranking is an error."""
    adapter = face.make(tiny_model, max_retries=0)
    failing(99)
    with pytest.raises(ModelFailedError):
        face.run(way, adapter, QUERY, TEXTS)
    adapter.close()
