"""zelo as the cross-encoder of LangChain's own reranker."""

import asyncio

import pytest
from framework_kit import documents
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.cross_encoders import BaseCrossEncoder
from pydantic import ValidationError

from langchain_zelo import ZeloCrossEncoder
from zelo import ClosedError, Reranker

QUERY = "how is the water of the river"
TEXTS = ["a stone bridge", "cold water", "the river is cold", "read a file", "12 open files !"]


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.mark.parametrize("way", ["waiting", "awaiting"])
def test_the_frameworks_reranker_orders_by_it(reranker, way):
    """CrossEncoderReranker returns the documents that the core ranks best, in that order."""
    best = [r.document for r in reranker.rank(QUERY, TEXTS)][:4]
    assert best != TEXTS[:4]
    crossed = CrossEncoderReranker(model=ZeloCrossEncoder(reranker=reranker), top_n=4)
    if way == "waiting":
        found = crossed.compress_documents(documents(TEXTS), QUERY)
    else:
        found = asyncio.run(crossed.acompress_documents(documents(TEXTS), QUERY))
    assert [document.page_content for document in found] == best


def test_pairs_are_scored_in_order(reranker):
    """Each pair gets the probability of its text for its query, as a float, where it stands."""
    pairs = [(QUERY, TEXTS[0]), ("a file", TEXTS[3]), (QUERY, TEXTS[1]), ("a file", TEXTS[0])]
    encoder = ZeloCrossEncoder(reranker=reranker)
    assert isinstance(encoder, BaseCrossEncoder)
    found = encoder.score(pairs)
    expected = [reranker.score(query, [text])[0] for query, text in pairs]
    assert found == pytest.approx(expected, abs=1e-5)
    assert {type(score) for score in found} == {float}


def test_no_pairs_load_no_model():
    """No pairs have no scores, and no model is found."""
    encoder = ZeloCrossEncoder(local_files_only=True)
    assert encoder.score([]) == []
    assert "not loaded" in repr(encoder.reranker)


def test_the_instruction_reaches_the_model(reranker):
    """Pairs are scored under the encoder's instruction."""
    expected = reranker.score(QUERY, ["cold water"], instruction="prefer bridges")
    assert abs(expected[0] - reranker.score(QUERY, ["cold water"])[0]) > 1e-4
    encoder = ZeloCrossEncoder(reranker=reranker, instruction="prefer bridges")
    assert encoder.score([(QUERY, "cold water")]) == pytest.approx(expected, abs=1e-5)


def test_progress_is_told(reranker):
    """The progress callback hears of all pairs."""
    heard = []
    encoder = ZeloCrossEncoder(reranker=reranker, progress=lambda *at: heard.append(at))
    encoder.score([(QUERY, text) for text in TEXTS])
    assert heard[-1] == (len(TEXTS), len(TEXTS))


@pytest.mark.parametrize("option", ["top_n", "min_score", "on_error"])
def test_options_of_ranking_are_refused(reranker, option):
    """What only decides on a ranking is not the cross-encoder's, which does not rank."""
    with pytest.raises(ValidationError, match=option):
        ZeloCrossEncoder(reranker=reranker, **{option: 1})


def test_a_failure_is_raised(tiny_model):
    """Where no score can be had, none is made up."""
    with Reranker(tiny_model) as closed:
        encoder = ZeloCrossEncoder(reranker=closed)
    with pytest.raises(ClosedError):
        CrossEncoderReranker(model=encoder).compress_documents(documents(TEXTS), QUERY)
