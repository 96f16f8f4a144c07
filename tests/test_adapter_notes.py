"""What is told of an item that the model did not read as it was given: beside its score, and in
the log, once per call and without its text."""

import logging

import pytest
from framework_kit import RANKERS, documents, every_face, every_ranker, nodes
from llama_index.core.schema import MetadataMode

from zelo import InputError, Reranker
from zelo.adapters import RERANK_REPLACED, RERANK_TRUNCATED

LLAMA_INDEX, LANGCHAIN = RANKERS
QUERY = "how is the water of the river"
LONG, SHORT = "cold water " * 20, "the river"
TEXTS = [LONG, SHORT, LONG + "and grey", SHORT + " !"]
CUT = (0, 2)


@pytest.fixture(scope="module")
def cutting(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu", max_document_tokens=12) as reranker:
        yield reranker


@pytest.fixture(scope="module")
def reading(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


def warnings(caplog):
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@every_ranker
def test_an_item_that_was_cut_says_so(cutting, face, way):
    """The metadata of what was cut says it; what was read whole gets no key."""
    found = face.run(way, face.adapter(reranker=cutting, top_n=None), QUERY, TEXTS)
    marks = {one.index: one.metadata.get(RERANK_TRUNCATED) for one in found}
    assert marks == {0: True, 1: None, 2: True, 3: None}
    assert not any(RERANK_TRUNCATED in one.metadata for one in found if one.index not in CUT)


def test_a_later_reranking_removes_the_mark(cutting, reading):
    """What an earlier reranking cut and a later one read whole is not marked any more."""
    first = LLAMA_INDEX.adapter(reranker=cutting, top_n=None)
    second = LLAMA_INDEX.adapter(reranker=reading, top_n=None)
    again = second.postprocess_nodes(
        first.postprocess_nodes(nodes(TEXTS), query_str=QUERY), query_str=QUERY
    )
    assert not any(RERANK_TRUNCATED in one.node.metadata for one in again)
    first, second = (LANGCHAIN.adapter(reranker=one, top_n=None) for one in (cutting, reading))
    again = second.compress_documents(first.compress_documents(documents(TEXTS), QUERY), QUERY)
    assert not any(RERANK_TRUNCATED in one.metadata for one in again)


def test_no_prompt_holds_the_mark(cutting):
    """Neither the embedding model nor the LLM reads in LlamaIndex that a node was cut."""
    rerank = LLAMA_INDEX.adapter(reranker=cutting, top_n=None)
    for item in rerank.postprocess_nodes(nodes(TEXTS), query_str=QUERY):
        for mode in (MetadataMode.EMBED, MetadataMode.LLM):
            assert RERANK_TRUNCATED not in item.node.get_content(metadata_mode=mode)


def test_rows_say_what_was_cut(cutting):
    """LangChain's rerank() marks the rows of what was cut, and no others."""
    rows = LANGCHAIN.adapter(reranker=cutting).rerank(TEXTS, QUERY, top_n=None)
    marked = {row["index"] for row in rows if row.get(RERANK_TRUNCATED) is True}
    assert marked == set(CUT)
    assert {frozenset(row) for row in rows if row["index"] not in CUT} == {
        frozenset({"index", "relevance_score"})
    }


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@every_face
def test_the_log_counts_what_was_cut(cutting, caplog, face, way):
    """One warning per call tells how many were cut, returned or not, and repeats no text."""
    options = {"top_n": 1} if "top_n" in face.adapter.model_fields else {}
    face.run(way, face.adapter(reranker=cutting, **options), QUERY, TEXTS)
    (warning,) = warnings(caplog)
    assert warning.startswith("2 of 4 documents were longer than the limit")
    assert "cold" not in warning
    caplog.clear()
    face.run(way, face.adapter(reranker=cutting, **options), QUERY, [SHORT])
    assert not warnings(caplog)


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
@every_ranker
def test_one_broken_text_spoils_its_own_score_at_most(tiny_model, caplog, face, way):
    """With invalid_text="replace" a query is answered, and only the broken item is marked."""
    texts = [SHORT, "half a character: \ud800", SHORT + " !"]
    with pytest.raises(InputError, match=r"documents\[1\] holds a lone surrogate"):
        face.run(way, face.make(tiny_model), QUERY, texts)
    adapter = face.make(tiny_model, invalid_text="replace", top_n=None)
    found = face.run(way, adapter, QUERY, texts)
    adapter.close()
    marks = {one.index: one.metadata.get(RERANK_REPLACED) for one in found}
    assert marks == {0: None, 1: True, 2: None}
    (warning,) = warnings(caplog)
    assert "documents[1]" in warning
    assert "half a character" not in warning
