"""Our adapters beside the frameworks' own rerankers, on the same weights and the same inputs.

The peers run sentence-transformers' CrossEncoder, the official path for zerank-2. They load the
tiny model's folder as it is: it has no remote code, and its modules.json says how to score. Texts
stay below 512 tokens, where LlamaIndex's peer cuts the prompt.
"""

import json
import math

import pytest
import tiny
import torch
from framework_kit import FACES, documents, nodes, of_documents, of_nodes
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.cross_encoders import BaseCrossEncoder
from llama_index.core.postprocessor import SentenceTransformerRerank
from sentence_transformers import CrossEncoder

from zelo import InputError, Reranker

LLAMA_INDEX, LANGCHAIN, OURS = FACES
PROBABILITY = 1e-5  # what float32 owes
QUERIES = ["how is the water of the river", "read a file in Python", "où sont les vieux ponts"]
TEXTS = [
    "The river runs down from the hills to the sea, and its water is cold.",
    "In the old town there are three bridges; the oldest was built of stone.",
    "To read a file in Python, open it with open() and call read().",
    "les ponts étaient vieux et très beaux",
    "川の水は冷たい。",
    "x = [1, 2]; y = {}",
    "cold",
    "Der Fluss fließt über die Ebene, im Frühling ist sein Wasser kalt und grau. " * 4,
]
METADATA = [{"title": f"Chapter {i % 3}", "page": i} for i in range(len(TEXTS))]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Compute with one thread: more only wait for each other in models this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture(scope="module")
def sentence_transformers_rerank(tiny_model):
    """LlamaIndex's own reranker for local models."""
    return SentenceTransformerRerank(model=str(tiny_model), device="cpu", top_n=len(TEXTS))


class OfSentenceTransformers(BaseCrossEncoder):
    """sentence-transformers' CrossEncoder as LangChain takes it, with the raw logits it gives."""

    def __init__(self, folder):
        self.model = CrossEncoder(str(folder), device="cpu", local_files_only=True)

    def score(self, text_pairs):
        """Return the raw logit of each pair."""
        return [float(logit) for logit in self.model.predict(text_pairs, show_progress_bar=False)]


@pytest.fixture(scope="module")
def cross_encoder(tiny_model):
    """The peer's model as LangChain takes it."""
    return OfSentenceTransformers(tiny_model)


def probability(logit):
    """zerank's map of its logit to a probability."""
    return 1 / (1 + math.exp(-logit / 5))


@pytest.mark.parametrize("query", QUERIES)
def test_the_order_of_sentence_transformer_rerank(reranker, sentence_transformers_rerank, query):
    """LlamaIndex's peer and we order nodes alike, and our scores are its logits' probabilities."""
    peers = sentence_transformers_rerank.postprocess_nodes(nodes(TEXTS, METADATA), query_str=query)
    adapter = LLAMA_INDEX.adapter(reranker=reranker, top_n=None)
    ours = of_nodes(adapter.postprocess_nodes(nodes(TEXTS, METADATA), query_str=query))
    assert [found.index for found in ours] == [found.index for found in of_nodes(peers)]
    expected = [probability(float(peer.score)) for peer in peers]
    assert [found.score for found in ours] == pytest.approx(expected, abs=PROBABILITY)
    assert max(expected) - min(expected) > 0.1, "the scores are too close to tell an error"


@pytest.mark.parametrize("top_n", [1, 3, len(TEXTS)])
@pytest.mark.parametrize("query", QUERIES)
def test_the_order_of_cross_encoder_reranker(reranker, cross_encoder, query, top_n):
    """LangChain's CrossEncoderReranker and we order documents alike, as far as top_n."""
    peer = CrossEncoderReranker(model=cross_encoder, top_n=top_n)
    peers = peer.compress_documents(documents(TEXTS), query)
    adapter = LANGCHAIN.adapter(reranker=reranker, top_n=top_n)
    ours = of_documents(adapter.compress_documents(documents(TEXTS), query))
    assert [found.index for found in ours] == [found.index for found in of_documents(peers)]
    logits = cross_encoder.score([(query, TEXTS[found.index]) for found in ours])
    expected = [probability(logit) for logit in logits]
    assert [found.score for found in ours] == pytest.approx(expected, abs=PROBABILITY)


@pytest.mark.parametrize("query", QUERIES)
def test_our_cross_encoder_in_cross_encoder_reranker(reranker, cross_encoder, query):
    """CrossEncoderReranker gives one order with our cross-encoder and with the peer's."""
    peer = CrossEncoderReranker(model=cross_encoder, top_n=len(TEXTS))
    ours = CrossEncoderReranker(model=OURS.adapter(reranker=reranker), top_n=len(TEXTS))
    ranked = [of_documents(one.compress_documents(documents(TEXTS), query)) for one in (peer, ours)]
    assert ranked[0] == ranked[1]


def test_our_cross_encoder_gives_probabilities(reranker, cross_encoder):
    """Our cross-encoder's score of a pair is the probability of the peer's logit."""
    pairs = [(query, text) for query in QUERIES for text in TEXTS]
    ours = OURS.adapter(reranker=reranker).score(pairs)
    expected = [probability(logit) for logit in cross_encoder.score(pairs)]
    assert ours == pytest.approx(expected, abs=PROBABILITY)


@pytest.mark.parametrize(
    ("peer", "face", "others"),
    [
        (SentenceTransformerRerank, LLAMA_INDEX, {"trust_remote_code"}),
        (CrossEncoderReranker, LANGCHAIN, set()),
    ],
)
def test_every_option_of_a_peer_is_known(tiny_model, peer, face, others):
    """Who changes the import only finds the same options, or an error that says what to write."""
    assert set(peer.model_fields) - set(face.adapter.model_fields) == others
    for option in others:
        with pytest.raises(InputError, match=f"{option}: here, "):
            face.adapter(model=tiny_model, **{option: True})


# what the peers get wrong, and we do not


def test_scores_can_be_stored_as_json(reranker, sentence_transformers_rerank):
    """Our scores are Python's floats; the peer's are numpy's, which JSON does not take."""
    peer = sentence_transformers_rerank.postprocess_nodes(nodes(TEXTS), query_str=QUERIES[0])[0]
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(peer.score)
    adapter = LLAMA_INDEX.adapter(reranker=reranker)
    (ours, *_) = adapter.postprocess_nodes(nodes(TEXTS), query_str=QUERIES[0])
    assert json.loads(ours.to_json())["score"] == ours.score


def test_the_callers_nodes_keep_their_scores(reranker, sentence_transformers_rerank):
    """We leave the first stage's scores where they are; the peer writes over them."""
    first_stage = [node.score for node in nodes(TEXTS)]
    given = nodes(TEXTS)
    LLAMA_INDEX.adapter(reranker=reranker).postprocess_nodes(given, query_str=QUERIES[0])
    assert [node.score for node in given] == first_stage
    sentence_transformers_rerank.postprocess_nodes(given, query_str=QUERIES[0])
    assert [node.score for node in given] != first_stage


def test_documents_come_back_with_scores(reranker, cross_encoder):
    """Our documents say how relevant they are; those of the peer do not."""
    peer = CrossEncoderReranker(model=cross_encoder)
    assert all(not d.metadata for d in peer.compress_documents(documents(TEXTS), QUERIES[0]))
    adapter = LANGCHAIN.adapter(reranker=reranker)
    for document in adapter.compress_documents(documents(TEXTS), QUERIES[0]):
        assert 0 <= document.metadata["relevance_score"] <= 1


def test_remote_code_does_not_run(tmp_path):
    """We score a folder that comes with code without running it; the peer runs it."""
    folder = tiny.save_causal(tmp_path / "model", auto_map=True)
    adapter = LLAMA_INDEX.make(folder, top_n=1)
    assert len(adapter.postprocess_nodes(nodes(TEXTS), query_str=QUERIES[0])) == 1
    adapter.close()
    with pytest.raises(RuntimeError, match="remote code ran"):
        SentenceTransformerRerank(model=str(folder), device="cpu")


def test_a_long_document_keeps_its_prompt(tiny_model, reranker, sentence_transformers_rerank):
    """We read a document of over 512 tokens as CrossEncoder does without a limit; the peer cuts."""
    long = [" ".join(TEXTS) * 4]
    whole = CrossEncoder(str(tiny_model), device="cpu", local_files_only=True)
    logit = float(whole.predict([(QUERIES[0], long[0])], show_progress_bar=False)[0])
    adapter = LLAMA_INDEX.adapter(reranker=reranker)
    ours = adapter.postprocess_nodes(nodes(long), query_str=QUERIES[0])
    assert ours[0].score == pytest.approx(probability(logit), abs=PROBABILITY)
    peer = sentence_transformers_rerank.postprocess_nodes(nodes(long), query_str=QUERIES[0])
    assert float(peer[0].score) != pytest.approx(logit, abs=1e-2)
