"""What every adapter does with texts and a model, whatever its framework."""

import asyncio
from datetime import date

import pytest
from framework_kit import (
    FACES,
    documents,
    every_face,
    every_ranker,
    nodes,
    of_documents,
    of_nodes,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.runnables import RunnableLambda
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine

from zelo import Reranker
from zelo.local import instances

LLAMA_INDEX, LANGCHAIN, _ = FACES
QUERY = "how is the water of the river"
TEXTS = [f"the water of bridge {i} is cold " * (1 + i % 5) for i in range(8)]
PROBABILITY = 1e-5  # what float32 owes

WORDS = st.sampled_from(
    "river water stone bridge cold read file open \n 川 été 12 ! The".split(" ")
)
DOCUMENT = st.lists(WORDS, max_size=30).map(" ".join)  # a blank one now and then
DOCUMENTS = st.lists(DOCUMENT, min_size=1, max_size=10)
FIELDS = ("title", "year", "weight")
LINE = DOCUMENT.map(str.strip).filter(bool)
METADATA = st.tuples(
    st.sets(st.sampled_from(FIELDS)), st.tuples(LINE, st.integers(), st.floats(allow_nan=False))
).map(lambda drawn: {f: v for f, v in zip(FIELDS, drawn[1], strict=True) if f in drawn[0]})


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


def instance(adapter):
    """The loaded model behind an adapter."""
    return adapter.reranker._scorer._instance


class Given(BaseRetriever):
    """A first stage of LlamaIndex that always finds the same."""

    def _retrieve(self, query_bundle):
        return nodes(TEXTS)


# one model for all


def test_equal_options_share_one_model(tiny_model):
    """Adapters with equal options, of any framework, run on one copy of the weights."""
    adapters = [face.make(tiny_model, max_batch_tokens=90) for face in FACES]
    for adapter in adapters:
        adapter.warmup()
    assert len({id(instance(adapter)) for adapter in adapters}) == 1
    different = LANGCHAIN.make(tiny_model, max_batch_tokens=91)
    different.warmup()
    assert instance(different) is not instance(adapters[0])
    for adapter in (*adapters, different):
        adapter.close()


@every_face
def test_a_given_reranker_is_the_one_that_scores(reranker, face):
    """An adapter around a reranker loads nothing of its own, and its work is counted there."""
    reranker.warmup()
    loaded = len(instances._registry.instances)
    adapter = face.adapter(reranker=reranker)
    before = reranker.stats().calls
    face.rank(adapter, QUERY, TEXTS)
    assert adapter.reranker is reranker
    assert reranker.stats().calls == before + 1
    assert adapter.stats() == reranker.stats()
    assert len(instances._registry.instances) == loaded


def test_pipelines_of_both_frameworks_at_the_same_time(reranker):
    """Query engines and retrievers that run concurrently give the scores of the reranker alone."""
    expected = pytest.approx(reranker.score(QUERY, TEXTS), abs=PROBABILITY)
    engine = RetrieverQueryEngine.from_args(
        Given(),
        llm=MockLLM(),
        node_postprocessors=[LLAMA_INDEX.adapter(reranker=reranker, top_n=None)],
    )
    retriever = ContextualCompressionRetriever(
        base_compressor=LANGCHAIN.adapter(reranker=reranker, top_n=None),
        base_retriever=RunnableLambda(lambda query: documents(TEXTS)),
    )

    async def ask():
        asked = (
            [engine.aquery(QUERY) for _ in range(6)],
            [retriever.ainvoke(QUERY) for _ in range(6)],
        )
        return await asyncio.gather(*asked[0], *asked[1])

    before = reranker.stats()
    answers = asyncio.run(ask())
    found = [of_nodes(answer.source_nodes) for answer in answers[:6]]
    found += [of_documents(answer) for answer in answers[6:]]
    assert len(found) == 12
    for answer in found:
        assert [one.score for one in sorted(answer)] == expected
    after = reranker.stats()
    assert after.calls - before.calls == 12
    assert after.packs - before.packs < 12


def both(reranker, texts, metadata, fields):
    """Return the scores of texts with metadata in LlamaIndex, and those in LangChain."""
    index = LLAMA_INDEX.adapter(reranker=reranker, top_n=None)
    one = of_nodes(index.postprocess_nodes(nodes(texts, metadata), query_str=QUERY))
    chain = LANGCHAIN.adapter(reranker=reranker, top_n=None, rank_fields=fields)
    other = of_documents(chain.compress_documents(documents(texts, metadata), QUERY))
    return [found.score or 0.0 for found in sorted(one)], [found.score for found in sorted(other)]


@settings(max_examples=60)
@given(data=st.data(), texts=st.lists(st.one_of(LINE, st.just("")), min_size=1, max_size=8))
def test_metadata_is_read_alike(reranker, texts, data):
    """LangChain's rank_fields give the scores that LlamaIndex's metadata for embedding gives."""
    metadata = data.draw(st.lists(METADATA, min_size=len(texts), max_size=len(texts)))
    one, other = both(reranker, texts, metadata, FIELDS)
    assert one == pytest.approx(other, abs=PROBABILITY)


@pytest.mark.parametrize(
    "value", [True, None, ["cold", "grey"], {"cold": 1}, date(2024, 1, 2)], ids=str
)
def test_metadata_of_any_type_is_read_alike(reranker, value):
    """A value that is no text reads the same in both frameworks."""
    one, other = both(reranker, TEXTS[:1], [{"tags": value}], ["tags"])
    assert one == pytest.approx(other, abs=PROBABILITY)


@pytest.mark.parametrize("text", ["cold water\n", "  cold water"])
@pytest.mark.parametrize("title", ["", "the river ", "the river"])
def test_white_space_around_metadata_is_read_alike(reranker, text, title):
    """White space at the ends of texts and values reads the same in both frameworks."""
    one, other = both(reranker, [text], [{"title": title}], ["title"])
    assert one == pytest.approx(other, abs=PROBABILITY)


# laws


@settings(max_examples=60)
@given(texts=DOCUMENTS)
@every_ranker
def test_scores_are_the_rerankers_and_descend(reranker, face, texts):
    """Every text comes back once, best first, with the probability that the model gives it."""
    ranked = face.rank(face.adapter(reranker=reranker, top_n=None), QUERY, texts)
    assert sorted(found.index for found in ranked) == list(range(len(texts)))
    scores = [found.score or 0.0 for found in ranked]  # a node without text has none
    assert scores == sorted(scores, reverse=True)
    expected = reranker.score(QUERY, texts)
    assert scores == pytest.approx([expected[found.index] for found in ranked], abs=PROBABILITY)


@settings(max_examples=60)
@given(texts=DOCUMENTS, top_n=st.integers(1, 12))
@every_ranker
def test_top_n_is_the_beginning_of_the_ranking(reranker, face, texts, top_n):
    """A ranking with top_n is the beginning of the whole ranking."""
    whole = face.rank(face.adapter(reranker=reranker, top_n=None), QUERY, texts)
    assert face.rank(face.adapter(reranker=reranker, top_n=top_n), QUERY, texts) == whole[:top_n]


@settings(max_examples=60)
@given(texts=DOCUMENTS.filter(lambda texts: any(map(str.strip, texts))), data=st.data())
@every_ranker
def test_min_score_keeps_what_reaches_it(reranker, face, texts, data):
    """A text whose score is exactly min_score is kept, as are all above it, and no other."""
    whole = face.rank(face.adapter(reranker=reranker, top_n=None), QUERY, texts)
    least = data.draw(st.sampled_from([found.score for found in whole if found.score]))
    cut = face.adapter(reranker=reranker, top_n=None, min_score=least)
    kept = [found for found in whole if found.score is not None and found.score >= least]
    assert face.rank(cut, QUERY, texts) == kept


@settings(max_examples=60)
@given(texts=DOCUMENTS, top_n=st.integers(1, 12))
@every_ranker
def test_awaiting_ranks_as_waiting_does(reranker, face, texts, top_n):
    """Both ways to call an adapter give the same ranking."""
    adapter = face.adapter(reranker=reranker, top_n=top_n)
    assert face.run("awaiting", adapter, QUERY, texts) == face.run("waiting", adapter, QUERY, texts)


# options that decide on how texts are read


@pytest.mark.parametrize("options", [{"max_document_tokens": 6}, {"max_tokens": 40}], ids=" ".join)
@every_face
def test_a_long_document_is_read_as_far_as_asked(tiny_model, face, options):
    """What stands behind the limit changes no score, and without a limit it does."""
    beginning = "the water of the river is cold " * 6
    texts = [beginning + "and grey in spring", beginning + "open a file with Python"]
    with face.make(tiny_model).reranker as whole, face.make(tiny_model, **options).reranker as cut:
        first, second = face.scores(face.adapter(reranker=whole), QUERY, texts)
        assert first != pytest.approx(second, abs=1e-3)
        first, second = face.scores(face.adapter(reranker=cut), QUERY, texts)
        assert first == pytest.approx(second, abs=PROBABILITY)


@every_face
def test_chunks_read_a_long_document_to_its_end(tiny_model, face):
    """In chunks, what stands behind the limit counts too, and the best window is the score."""
    beginning = "the water of the river is cold " * 6
    texts = [beginning, *[beginning + end for end in ("stone bridges", "open a file", "été 川")]]
    cut = face.make(tiny_model, max_document_tokens=12)
    chunked = face.make(tiny_model, max_document_tokens=12, long_documents="chunk")
    truncated, scores = (face.scores(adapter, QUERY, texts) for adapter in (cut, chunked))
    assert truncated == pytest.approx([truncated[0]] * 4, abs=PROBABILITY)
    assert all(one >= other - PROBABILITY for one, other in zip(scores, truncated, strict=True))
    assert len({round(score, 4) for score in scores}) > 1
    cut.close()
    chunked.close()


@every_face
def test_strip_removes_white_space(tiny_model, face):
    """With strip, white space around a text does not change its score."""
    adapter = face.make(tiny_model, strip=True)
    plain, padded = face.scores(adapter, QUERY, ["cold water", "\n  cold water \n\n"])
    assert plain == pytest.approx(padded, abs=PROBABILITY)
    adapter.close()


@every_face
def test_an_instruction_reaches_the_model(reranker, face):
    """Scores are those of the reranker with the same instruction, and differ from those without."""
    how = "Only stone bridges count."
    found = face.scores(face.adapter(reranker=reranker, instruction=how), QUERY, TEXTS[:3])
    assert found == pytest.approx(
        reranker.score(QUERY, TEXTS[:3], instruction=how), abs=PROBABILITY
    )
    assert found != pytest.approx(reranker.score(QUERY, TEXTS[:3]), abs=1e-3)
