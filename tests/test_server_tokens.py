"""How many tokens a document's score has cost, as the vendor counted: whole prompts."""

import pytest

from zelo import Reranker
from zelo.local.loading.checkpoint import inspect_checkpoint
from zelo.local.prompt import PromptEncoder
from zelo.scoring import ScoreRequest

QUERY = "how is the water"
DOCUMENTS = ("cold", "stone bridges in the old town", "cold", "water " * 30)


@pytest.fixture
def scorer(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker._scorer


@pytest.fixture
def length(tiny_model):
    """The length of a pair's whole prompt."""
    checkpoint = inspect_checkpoint(tiny_model)
    encoder = PromptEncoder(checkpoint.files.tokenizer_json, checkpoint.family)
    return lambda text: len(encoder.prompt_ids(QUERY, text))


def test_each_document_counts_its_whole_prompt(scorer, length):
    """Query and frame count for each document, shared or not, and duplicates count each time."""
    (found,) = scorer.score([ScoreRequest(QUERY, DOCUMENTS)])
    assert [scored.tokens for scored in found] == [length(text) for text in DOCUMENTS]


def test_a_single_document(scorer, length):
    """One document alone shares no prefix, and counts the same."""
    ((found,),) = scorer.score([ScoreRequest(QUERY, ("cold",))])
    assert found.tokens == length("cold")


def test_what_is_cut_off_is_not_counted(tiny_model, length):
    """Of a document that is too long, what was read counts."""
    with Reranker(tiny_model, dtype="float32", device="cpu", max_document_tokens=5) as reranker:
        ((found,),) = reranker._scorer.score([ScoreRequest(QUERY, ("water " * 30,))])
    assert found.truncated
    assert found.tokens == length("") + 5


def test_every_window_counts(tiny_model, length):
    """A document read in windows counts each window's prompt."""
    options = {"dtype": "float32", "device": "cpu", "max_document_tokens": 12}
    with Reranker(tiny_model, **options, long_documents="chunk") as reranker:
        ((found,),) = reranker._scorer.score([ScoreRequest(QUERY, ("water " * 30,))])
        windows = reranker.stats().documents
    assert windows > 1
    assert found.tokens > length("water " * 30)
    assert found.tokens <= windows * (length("") + 12)
