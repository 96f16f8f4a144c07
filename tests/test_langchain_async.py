"""LangChain's compressor in event loops: nothing is held, nothing waits, cancelling drops work."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from framework_kit import documents
from langchain_core.runnables import RunnableLambda

from langchain_zelo import RerankRetriever, ZeloRerank
from zelo import Reranker

QUERY = "how is the water of the river"
TEXTS = [f"the water of bridge {i} is cold" for i in range(40)]


@pytest.fixture(scope="module")
def reranker(tiny_model):
    """A reranker that needs many forward passes for the documents above."""
    with Reranker(tiny_model, dtype="float32", device="cpu", max_batch_tokens=64) as reranker:
        reranker.warmup()
        yield reranker


class Counted(ThreadPoolExecutor):
    """An event loop's thread pool that counts what it is given."""

    def __init__(self):
        super().__init__()
        self.jobs = 0

    def submit(self, *args, **kwargs):
        self.jobs += 1
        return super().submit(*args, **kwargs)


def by_compressor(adapter):
    return adapter.acompress_documents(documents(TEXTS), QUERY)


def by_retriever(adapter):
    async def fetch(query):
        return documents(TEXTS)

    base = RunnableLambda(fetch)  # cannot be called by blocking code
    return RerankRetriever(base_compressor=adapter, base_retriever=base).ainvoke(QUERY)


def by_step(adapter):
    return adapter.as_runnable().ainvoke({"query": QUERY, "documents": documents(TEXTS)})


def by_rerank(adapter):
    return adapter.arerank(TEXTS, QUERY)


every_way = pytest.mark.parametrize("call", [by_compressor, by_retriever, by_step, by_rerank])


def test_the_blocking_method_works_inside_a_loop(reranker):
    """Code that blocks although a loop is running gets the same answer as awaiting code."""
    adapter = ZeloRerank(reranker=reranker)

    async def main():
        blocking = adapter.compress_documents(documents(TEXTS), QUERY)
        return blocking, await adapter.acompress_documents(documents(TEXTS), QUERY)

    blocking, awaited = asyncio.run(main())
    assert len(blocking) == 3
    assert blocking == awaited


@every_way
def test_no_thread_of_the_loop_is_held(reranker, call):
    """Awaited, reranking takes no thread of the loop's pool."""

    async def main():
        with Counted() as pool:
            asyncio.get_running_loop().set_default_executor(pool)
            return pool.jobs, len(await call(ZeloRerank(reranker=reranker))), pool.jobs

    assert asyncio.run(main()) == (0, 3, 0)


@every_way
def test_the_loop_runs_while_the_model_scores(reranker, call):
    """Each time the model has finished a forward pass, the loop answers it before the next."""

    async def main():
        loop = asyncio.get_running_loop()
        answers = []

        async def answer(done):
            answers.append(done)

        def ask(done, total):  # in the thread that scores; a loop that is not free never answers
            asyncio.run_coroutine_threadsafe(answer(done), loop).result(30)

        await call(ZeloRerank(reranker=reranker, progress=ask))
        return answers

    answers = asyncio.run(main())
    assert len(answers) > 3
    assert answers[-1] == len(TEXTS)


@every_way
@pytest.mark.parametrize("on_error", ["raise", "keep_order"])
def test_cancelling_drops_the_work(reranker, call, on_error):
    """A cancelled await is cancelled, not answered, and what was not computed never is."""
    before = reranker.stats().documents

    async def main():
        loop, started, cancelled = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def hold(done, total):  # after the first forward pass
            loop.call_soon_threadsafe(started.set)
            cancelled.wait(30)

        adapter = ZeloRerank(reranker=reranker, progress=hold, on_error=on_error)
        task = asyncio.ensure_future(call(adapter))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        cancelled.set()
        await ZeloRerank(reranker=reranker).acompress_documents(documents(["read a file"]), QUERY)

    asyncio.run(main())
    assert 1 < reranker.stats().documents - before < len(TEXTS)
