"""LlamaIndex under an event loop: merged queries, cancellation, and a loop that stays free."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from framework_kit import nodes
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.schema import TextNode
from llama_index.postprocessor.zelo import ZeloRerank

TEXTS = [f"the water of bridge {i} is cold " * (1 + i % 4) for i in range(8)]
QUERIES = [f"is the water of bridge {i} cold" for i in range(20)]
PATIENT_S = 60
"""Longer than anything here takes; only a fault waits that long."""


class Counted(ThreadPoolExecutor):
    """A pool of threads that counts what it is given."""

    def __init__(self):
        super().__init__(1)
        self.given = 0

    def submit(self, *args, **named):
        """Count, and submit."""
        self.given += 1
        return super().submit(*args, **named)


@pytest.fixture
def rerank(tiny_model):
    rerank = ZeloRerank(model=str(tiny_model), dtype="float32", device="cpu", top_n=None)
    rerank.warmup()
    yield rerank
    rerank.close()


def engine(rerank, texts):
    index = VectorStoreIndex(
        [TextNode(text=text, id_=str(i)) for i, text in enumerate(texts)],
        embed_model=MockEmbedding(embed_dim=8),
    )
    return index.as_query_engine(
        llm=MockLLM(), similarity_top_k=len(texts), node_postprocessors=[rerank]
    )


def ids(found):
    return [item.node.node_id for item in found]


def test_concurrent_queries_are_merged(rerank):
    """Twenty queries at once through one engine cost fewer forward passes than queries."""
    expected = [[str(r.index) for r in rerank.reranker.rank(query, TEXTS)] for query in QUERIES]
    asked = engine(rerank, TEXTS)

    async def ask():
        return await asyncio.gather(*[asked.aquery(query) for query in QUERIES])

    before = rerank.stats()
    responses = asyncio.run(ask())
    after = rerank.stats()
    assert [ids(response.source_nodes) for response in responses] == expected
    assert after.calls - before.calls == len(QUERIES)
    assert after.packs - before.packs < len(QUERIES)
    assert after.merged_callers > before.merged_callers


@pytest.mark.parametrize("on_error", ["raise", "keep_order"])
def test_cancelled_query_drops_the_work(tiny_model, on_error):
    """A cancelled query is cancelled, whatever on_error says, and the next one is answered."""
    texts = [f"cold water {i} " * 20 for i in range(400)]
    rerank = ZeloRerank(
        model=str(tiny_model),
        dtype="float32",
        device="cpu",
        max_batch_tokens=256,
        on_error=on_error,
    )
    rerank.warmup()
    many, few = engine(rerank, texts), engine(rerank, TEXTS)

    async def impatient():
        before = rerank.stats().packs
        task = asyncio.create_task(many.aquery(QUERIES[0]))
        while rerank.stats().packs < before + 3 and not task.done():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await few.aquery(QUERIES[1])

    expected = [str(ranked.index) for ranked in rerank.reranker.rank(QUERIES[1], TEXTS, top_n=3)]
    assert ids(asyncio.run(impatient()).source_nodes) == expected
    assert rerank.stats().documents < len(texts)
    rerank.close()


def test_event_loop_runs_while_nodes_are_scored(rerank):
    """While the model scores, the event loop goes on with other work."""
    ticked = threading.Event()
    ticks = []

    async def awaited():
        loop = asyncio.get_running_loop()

        def wait_for_the_loop(*_):  # called in the thread that scores
            loop.call_soon_threadsafe(ticked.set)
            ticks.append(ticked.wait(PATIENT_S))

        asked = rerank.with_options(progress=wait_for_the_loop)
        return await asked.apostprocess_nodes(nodes(TEXTS), query_str=QUERIES[0])

    assert len(asyncio.run(awaited())) == len(TEXTS)
    assert ticks
    assert all(ticks)


def test_awaiting_hook_takes_no_thread_of_the_loop(rerank):
    """Awaited rerankings use no thread of the event loop's default executor."""
    threads = Counted()

    async def awaited():
        asyncio.get_running_loop().set_default_executor(threads)
        asked = [rerank.apostprocess_nodes(nodes(TEXTS), query_str=query) for query in QUERIES]
        return await asyncio.gather(*asked)

    assert len(asyncio.run(awaited())) == len(QUERIES)
    assert threads.given == 0


def test_blocking_hook_works_in_a_running_loop(rerank):
    """Async code that calls the blocking hook gets its answer, as in any function."""
    expected = [str(ranked.index) for ranked in rerank.reranker.rank(QUERIES[0], TEXTS)]

    async def blocking():
        return rerank.postprocess_nodes(nodes(TEXTS), query_str=QUERIES[0])

    assert ids(asyncio.run(blocking())) == expected


def test_first_use_in_a_running_loop_loads_the_model(tiny_model):
    """The blocking hook loads the model too when it is first called inside a running loop."""
    rerank = ZeloRerank(model=str(tiny_model), device="cpu", max_batch_tokens=96)

    async def blocking():
        return rerank.postprocess_nodes(nodes(TEXTS), query_str=QUERIES[0])

    assert len(asyncio.run(blocking())) == 3
    rerank.close()


def test_one_postprocessor_serves_threads_and_loops(rerank):
    """Engines of several threads, each with its event loop, share one postprocessor."""
    asked = engine(rerank, TEXTS)
    expected = [[str(r.index) for r in rerank.reranker.rank(query, TEXTS)] for query in QUERIES]

    async def ask(query):
        return await asked.aquery(query)

    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(lambda query: asyncio.run(ask(query)), QUERIES))
    assert [ids(response.source_nodes) for response in responses] == expected
