"""Many callers of one model: threads, event loops, processes, closing."""

import asyncio
import gc
import multiprocessing
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from children import DOCUMENTS, QUERY, score

from zelo import ClosedError, ModelFileError, Reranker


@pytest.fixture
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


def instance(reranker):
    return reranker._scorer._instance


def test_one_copy_per_process(tiny_model, reranker):
    """Rerankers with equal settings share one loaded model, also when all ask at once."""
    others = [Reranker(tiny_model, dtype="float32", device="cpu") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Reranker.warmup, [reranker, *others]))
    assert {id(instance(r)) for r in others} == {id(instance(reranker))}
    different = Reranker(tiny_model, dtype="float32", device="cpu", max_batch_tokens=64)
    different.warmup()
    assert instance(different) is not instance(reranker)
    for other in (*others, different):
        other.close()


def test_spelling_of_a_path_does_not_matter(tiny_model, reranker, monkeypatch):
    """A folder named by a relative path is the same model as by its full path."""
    reranker.warmup()
    monkeypatch.chdir(tiny_model.parent)
    with Reranker(f"./{tiny_model.name}", dtype="float32", device="cpu") as other:
        other.warmup()
        assert instance(other) is instance(reranker)


def test_reading_options_need_no_second_copy(tiny_model, reranker):
    """How much of a text is read is the reranker's own, and the weights are still shared."""
    reranker.warmup()
    with Reranker(tiny_model, dtype="float32", device="cpu", max_document_tokens=8) as short:
        assert any(r.truncated for r in short.rank(QUERY, DOCUMENTS))
        assert instance(short) is instance(reranker)
    assert not any(r.truncated for r in reranker.rank(QUERY, DOCUMENTS))


def test_threads_get_their_own_scores(reranker):
    """Calls from many threads at once give each caller what it gets alone."""
    queries = [f"is bridge {i} cold" for i in range(24)]
    expected = [reranker.score(query, DOCUMENTS[: 1 + i % 12]) for i, query in enumerate(queries)]
    with ThreadPoolExecutor(12) as pool:
        found = list(
            pool.map(lambda i: reranker.score(queries[i], DOCUMENTS[: 1 + i % 12]), range(24))
        )
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_event_loops_are_merged(reranker):
    """Concurrent awaiting calls share forward passes: fewer packs than calls."""
    expected = [r.index for r in reranker.rank(QUERY, DOCUMENTS)]
    before = reranker.stats()

    async def many():
        return await asyncio.gather(*[reranker.arank(QUERY, DOCUMENTS) for _ in range(20)])

    rankings = asyncio.run(many())
    assert [[r.index for r in ranking] for ranking in rankings] == [expected] * 20
    after = reranker.stats()
    assert after.calls - before.calls == 20
    assert after.packs - before.packs < 20
    assert after.merged_callers > before.merged_callers


def test_several_event_loops_at_once(reranker):
    """One reranker serves event loops of several threads."""
    expected = reranker.score(QUERY, DOCUMENTS)
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(lambda: asyncio.run(reranker.ascore(QUERY, DOCUMENTS))) for _ in range(8)
        ]
    for job in jobs:
        assert job.result() == pytest.approx(expected, abs=1e-5)


def test_event_loop_is_not_blocked(tiny_model):
    """While a model loads and scores, the event loop goes on ticking."""

    async def ticking():
        with Reranker(tiny_model, device="cpu", max_batch_tokens=32) as reranker:
            done = asyncio.create_task(reranker.ascore(QUERY, DOCUMENTS * 30))
            longest, last = 0.0, time.monotonic()
            while not done.done():
                await asyncio.sleep(0.001)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            return longest, reranker.stats().packs, await done

    longest, packs, scores = asyncio.run(ticking())
    assert packs > 3
    assert len(scores) == len(DOCUMENTS) * 30
    assert longest < 5  # a blocked loop would tick once, after everything


def test_cancelled_await_stops_the_work(reranker):
    """A cancelled await drops what is not computed, and later calls work."""
    reranker.warmup()
    texts = [f"cold water {i} " * 40 for i in range(800)]

    async def impatient():
        task = asyncio.create_task(reranker.ascore(QUERY, texts))
        while reranker.stats().packs < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(impatient())
    assert len(reranker.score(QUERY, DOCUMENTS)) == len(DOCUMENTS)
    assert reranker.stats().documents < 800


def test_failed_progress_stops_the_work(reranker):
    """An exception in a progress callback reaches the caller and drops the rest."""

    def stop(done, total):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        reranker.score(QUERY, DOCUMENTS * 3, progress=stop)
    assert len(reranker.score(QUERY, DOCUMENTS)) == len(DOCUMENTS)


def test_close_frees_the_weights_with_the_last_user(tiny_model):
    """The memory goes when the last reranker that uses the model is closed."""
    options = {"device": "cpu", "max_batch_tokens": 99}
    before = set(threading.enumerate())
    first, second = Reranker(tiny_model, **options), Reranker(tiny_model, **options)
    first.warmup()
    second.warmup()
    weights = weakref.ref(instance(first).engine._workers[0].model.backbone)
    first.close()
    assert len(second.score(QUERY, DOCUMENTS)) == len(DOCUMENTS)
    with pytest.raises(ClosedError, match="make a new Reranker"):
        first.score(QUERY, DOCUMENTS)
    second.close()
    second.close()
    gc.collect()
    assert weights() is None
    started = [t for t in threading.enumerate() if t not in before and t.name.startswith("zelo")]
    for thread in started:
        thread.join(timeout=30)  # closing does not wait for a thread that is on its way out
        assert not thread.is_alive(), thread.name


def test_forgotten_reranker_frees_its_model(tiny_model):
    """A reranker that goes out of scope gives its model back."""
    reranker = Reranker(tiny_model, device="cpu", max_batch_tokens=98)
    reranker.warmup()
    weights = weakref.ref(instance(reranker).engine._workers[0].model.backbone)
    del reranker
    gc.collect()
    assert weights() is None


def test_close_during_a_call_is_an_error(tiny_model):
    """Who waits while another thread closes gets a clear error, not an endless wait."""
    reranker = Reranker(tiny_model, device="cpu", max_batch_tokens=97)
    reranker.warmup()
    with ThreadPoolExecutor(4) as pool:
        texts = [f"cold water {i} " * 30 for i in range(1_000)]
        jobs = [pool.submit(reranker.score, QUERY, texts) for _ in range(4)]
        while reranker.stats().packs < 3:
            time.sleep(0.001)
        reranker.close()
        for job in jobs:
            with pytest.raises(ClosedError):
                job.result(30)


def test_closed_before_use(tiny_model):
    """A closed reranker stays closed, whether or not it had loaded anything."""
    reranker = Reranker(tiny_model)
    reranker.close()
    for call in (reranker.warmup, lambda: asyncio.run(reranker.ascore("q", ["d"]))):
        with pytest.raises(ClosedError):
            call()


def test_failed_load_is_tried_again(tiny_model, tmp_path):
    """A load that failed is not remembered: once the folder is whole, the same call works."""
    folder = tmp_path / "model"
    folder.mkdir()
    reranker = Reranker(folder, device="cpu")
    with pytest.raises(ModelFileError, match=r"config\.json"):
        reranker.score("q", ["d"])
    for file in tiny_model.rglob("*"):
        if file.is_file():
            target = folder / file.relative_to(tiny_model)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    assert len(reranker.score("q", ["d"])) == 1
    reranker.close()


def test_spawned_child_loads_from_the_pickle(reranker):
    """A pickled reranker works in a spawned process, where it loads its own copy."""
    expected = reranker.score(QUERY, DOCUMENTS[:2])
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=score, args=(reranker, results))
    process.start()
    found = results.get(timeout=120)
    process.join(30)
    assert process.exitcode == 0
    assert found == pytest.approx(expected, abs=1e-5)
