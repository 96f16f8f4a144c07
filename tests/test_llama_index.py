"""LlamaIndex's contract: which nodes are read and how, what comes back, what is left alone."""

import asyncio
import json

import pytest
from framework_kit import nodes
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
)
from llama_index.postprocessor.zelo import ZeloRerank

from zelo import InputError, Reranker

QUERY = "how is the water of the river"
TEXTS = [
    "the oldest bridge was built of stone",
    "in spring the water of the river is cold and grey",
    "open a file with open() and call its method read()",
    "there are three bridges in the old town",
    "the river runs down from the hills to the sea",
]
TITLED = TextNode(
    text="the water is cold",
    metadata={"title": "river", "file": "notes.txt", "size": 12},
    excluded_embed_metadata_keys=["file"],
    excluded_llm_metadata_keys=["size"],
)
WITH_TEXT = [
    TextNode(text=TEXTS[1], metadata={"title": "river"}),
    Document(text=TEXTS[1], metadata={"title": "river"}),
    IndexNode(text=TEXTS[1], index_id="other", metadata={"title": "river"}),
    ImageNode(text=TEXTS[1], image_url="http://images.invalid/river.png"),
    Node(text_resource=MediaResource(text=TEXTS[1]), metadata={"title": "river"}),
    Node(
        text_resource=MediaResource(text=TEXTS[1]),
        image_resource=MediaResource(url="http://images.invalid/river.png"),
    ),
]
WITHOUT_TEXT = [
    ImageNode(image_url="http://images.invalid/1.png", metadata={"title": "river"}),
    Node(image_resource=MediaResource(url="http://images.invalid/2.png")),
    TextNode(text=" \n\t", metadata={"title": "river"}),
    Document(text=""),
    IndexNode(text="", index_id="other", metadata={"title": "river"}),
]
POSITIVE = 1e-9
"""A min_score that every text reaches."""


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture
def unreadable(tmp_path):
    """A folder that no model can be loaded from."""
    folder = tmp_path / "model"
    folder.mkdir()
    return str(folder)


@pytest.fixture(params=["waiting", "awaiting"])
def postprocess(request):
    """Both hooks of a postprocessor, called as the framework does."""
    if request.param == "waiting":
        return lambda rerank, *args, **named: rerank.postprocess_nodes(*args, **named)
    return lambda rerank, *args, **named: asyncio.run(rerank.apostprocess_nodes(*args, **named))


def scored(*given):
    """Nodes with the scores of a first stage, falling."""
    return [NodeWithScore(node=node, score=1 - i / 8) for i, node in enumerate(given)]


def ids(found):
    return [item.node.node_id for item in found]


def test_nodes_come_back_as_the_model_ranks_them(reranker, postprocess):
    """Both hooks return the nodes in the model's order, with its probabilities as scores."""
    expected = reranker.rank(QUERY, TEXTS)
    found = postprocess(ZeloRerank(reranker=reranker, top_n=None), nodes(TEXTS), query_str=QUERY)
    assert ids(found) == [str(ranked.index) for ranked in expected]
    assert ids(found) != [str(i) for i in range(len(TEXTS))]
    assert [item.score for item in found] == pytest.approx([r.score for r in expected], abs=1e-5)
    assert [item.node.get_content() for item in found] == [r.document for r in expected]


def test_query_bundle_and_query_string_are_the_same(reranker, postprocess):
    """A query may come as a bundle, whose text is what counts, or as a string."""
    rerank = ZeloRerank(reranker=reranker)
    bundle = QueryBundle(QUERY, custom_embedding_strs=["another text"])
    assert ids(postprocess(rerank, nodes(TEXTS), bundle)) == ids(
        postprocess(rerank, nodes(TEXTS), query_str=QUERY)
    )


@pytest.mark.parametrize(
    ("options", "kept"), [({}, 3), ({"top_n": 2}, 2), ({"top_n": None}, 5), ({"top_n": 99}, 5)]
)
def test_top_n_counts_what_is_returned(reranker, postprocess, options, kept):
    """top_n keeps the best so many, three unless told, all with None."""
    expected = [str(ranked.index) for ranked in reranker.rank(QUERY, TEXTS)]
    found = postprocess(ZeloRerank(reranker=reranker, **options), nodes(TEXTS), query_str=QUERY)
    assert ids(found) == expected[:kept]


@pytest.mark.parametrize(("top_n", "kept"), [(None, 2), (1, 1), (4, 2)])
def test_min_score_drops_nodes_before_top_n_counts(reranker, postprocess, top_n, kept):
    """Nodes below min_score are gone, and top_n counts those that are left."""
    expected = reranker.rank(QUERY, TEXTS)
    between = (expected[1].score + expected[2].score) / 2
    rerank = ZeloRerank(reranker=reranker, top_n=top_n, min_score=between)
    found = postprocess(rerank, nodes(TEXTS), query_str=QUERY)
    assert ids(found) == [str(ranked.index) for ranked in expected[:kept]]


def test_instruction_reaches_the_model(reranker, postprocess):
    """An instruction changes the scores to what the model gives with it."""
    told = "Prefer texts about bridges."
    expected = reranker.score(QUERY, TEXTS, instruction=told)
    assert expected != pytest.approx(reranker.score(QUERY, TEXTS), abs=1e-3)
    rerank = ZeloRerank(reranker=reranker, top_n=None, instruction=told)
    found = postprocess(rerank, nodes(TEXTS), query_str=QUERY)
    assert {item.node.node_id: item.score for item in found} == pytest.approx(
        {str(i): score for i, score in enumerate(expected)}, abs=1e-5
    )


@pytest.mark.parametrize("mode", MetadataMode)
def test_metadata_mode_chooses_what_is_read(reranker, postprocess, mode):
    """The model reads the text that the node has in the chosen metadata mode."""
    expected = reranker.score(QUERY, [TITLED.get_content(metadata_mode=mode)])
    rerank = ZeloRerank(reranker=reranker, metadata_mode=mode)
    found = postprocess(rerank, scored(TITLED), query_str=QUERY)
    assert [item.score for item in found] == pytest.approx(expected, abs=1e-5)


def test_metadata_modes_score_apart(reranker):
    """A text has another score in each metadata mode, and EMBED is the one used unless told."""
    texts = {mode: TITLED.get_content(metadata_mode=mode) for mode in MetadataMode}
    assert len({round(score, 4) for score in reranker.score(QUERY, list(texts.values()))}) == 4
    (found,) = ZeloRerank(reranker=reranker).postprocess_nodes(scored(TITLED), query_str=QUERY)
    expected = reranker.score(QUERY, [texts[MetadataMode.EMBED]])
    assert [found.score] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("node", WITH_TEXT, ids=lambda node: type(node).__name__)
def test_every_kind_of_node_is_read(reranker, postprocess, node):
    """Nodes of every class are scored by their text, an image's caption too, and keep the class."""
    expected = reranker.score(QUERY, [node.get_content(metadata_mode=MetadataMode.EMBED)])
    (found,) = postprocess(ZeloRerank(reranker=reranker), scored(node), query_str=QUERY)
    assert [found.score] == pytest.approx(expected, abs=1e-5)
    assert found.node == node
    assert type(found.node) is type(node)


def test_nodes_without_text_follow_in_order(reranker, postprocess):
    """What has no text of its own comes after all scored nodes, in the order given, unscored."""
    texts = [TextNode(text=text) for text in TEXTS[:2]]
    given = scored(*WITHOUT_TEXT[:2], texts[0], *WITHOUT_TEXT[2:4], texts[1], *WITHOUT_TEXT[4:])
    found = postprocess(ZeloRerank(reranker=reranker, top_n=None), given, query_str=QUERY)
    assert set(ids(found)[:2]) == {node.node_id for node in texts}
    assert [item.node for item in found[2:]] == WITHOUT_TEXT
    assert [item.score for item in found[2:]] == [None] * len(WITHOUT_TEXT)


def test_nodes_without_text_count_for_top_n(reranker, postprocess):
    """top_n counts unscored nodes too, and takes scored ones first."""
    given = scored(*WITHOUT_TEXT[:3], TextNode(text=TEXTS[0]), TextNode(text=TEXTS[1]))
    found = postprocess(ZeloRerank(reranker=reranker, top_n=3), given, query_str=QUERY)
    assert [item.score is None for item in found] == [False, False, True]
    assert found[2].node == WITHOUT_TEXT[0]


def test_min_score_drops_nodes_without_text(reranker, postprocess):
    """A lowest probability keeps scored nodes only."""
    text = TextNode(text=TEXTS[0])
    rerank = ZeloRerank(reranker=reranker, top_n=None, min_score=POSITIVE)
    assert ids(postprocess(rerank, scored(*WITHOUT_TEXT, text), query_str=QUERY)) == [text.node_id]


def test_nodes_without_text_alone_load_nothing(unreadable, postprocess):
    """Nothing but images needs no model, and comes back as it was."""
    rerank = ZeloRerank(model=unreadable, top_n=None)
    found = postprocess(rerank, scored(*WITHOUT_TEXT), query_str=QUERY)
    assert [item.node for item in found] == WITHOUT_TEXT


def test_no_nodes_load_nothing(unreadable, postprocess):
    """An empty list comes back empty, without a model."""
    assert postprocess(ZeloRerank(model=unreadable), [], query_str=QUERY) == []


@pytest.mark.parametrize("given", [[], [TITLED]], ids=["no nodes", "nodes"])
def test_missing_query_is_the_frameworks_error(reranker, postprocess, given):
    """Without a query there is the ValueError that the framework's rerankers raise."""
    with pytest.raises(ValueError, match=r"Missing query bundle in extra info\."):
        postprocess(ZeloRerank(reranker=reranker), scored(*given))


@pytest.mark.parametrize("options", [{}, {"on_error": "keep_order"}], ids=["raise", "keep_order"])
def test_plain_node_is_told_what_to_do(reranker, postprocess, options):
    """A node that is not in a NodeWithScore is named, with what to write instead."""
    with pytest.raises(InputError, match=r"nodes\[1\] is a TextNode; give NodeWithScore\(node="):
        postprocess(
            ZeloRerank(reranker=reranker, **options), [*scored(TITLED), TITLED], query_str=QUERY
        )


@pytest.mark.parametrize("keep", [False, True], ids=["plain", "keep_retrieval_score"])
def test_callers_nodes_are_untouched(reranker, postprocess, keep):
    """The caller's list, nodes, scores, metadata and hashes are what they were."""
    given = scored(*WITH_TEXT, *WITHOUT_TEXT, TITLED)
    before = [item.model_dump_json() for item in given]
    same, hashes = list(given), [item.node.hash for item in given]
    rerank = ZeloRerank(reranker=reranker, top_n=None, keep_retrieval_score=keep)
    found = postprocess(rerank, given, query_str=QUERY)
    for item in found:
        item.score = -1.0
    assert [id(item) for item in given] == [id(item) for item in same]
    assert [item.model_dump_json() for item in given] == before
    assert [item.node.hash for item in given] == hashes


def test_retrieval_score_is_left_out_unless_asked_for(reranker, postprocess):
    """By default the metadata of what comes back is the caller's."""
    (found,) = postprocess(ZeloRerank(reranker=reranker), scored(TITLED), query_str=QUERY)
    assert found.node.metadata == TITLED.metadata


@pytest.mark.parametrize(
    "node", [*WITH_TEXT, *WITHOUT_TEXT, TITLED], ids=lambda node: type(node).__name__
)
def test_kept_retrieval_score_reaches_no_prompt(reranker, postprocess, node):
    """The first stage's score is in the metadata, and in no text for the LLM or the embedding."""
    rerank = ZeloRerank(reranker=reranker, keep_retrieval_score=True)
    given = [NodeWithScore(node=node, score=0.625)]
    (found,) = postprocess(rerank, given, query_str=QUERY)
    assert found.node.metadata == {**node.metadata, "retrieval_score": 0.625}
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        assert found.node.get_content(metadata_mode=mode) == node.get_content(metadata_mode=mode)
        assert found.node.get_metadata_str(mode=mode) == node.get_metadata_str(mode=mode)


def test_a_reranked_node_keeps_its_hash(reranker, postprocess):
    """Fusion, which tells nodes apart by hash, finds a node again, unless a score is kept in it."""
    (found,) = postprocess(ZeloRerank(reranker=reranker), scored(TITLED), query_str=QUERY)
    assert found.node.hash == TITLED.hash
    keeping = ZeloRerank(reranker=reranker, keep_retrieval_score=True)
    (found,) = postprocess(keeping, scored(TITLED), query_str=QUERY)
    assert found.node.hash != TITLED.hash  # as the option's description says


def test_missing_retrieval_score_is_not_made_up(reranker, postprocess):
    """A first stage without scores leaves no retrieval score behind."""
    rerank = ZeloRerank(reranker=reranker, keep_retrieval_score=True)
    (found,) = postprocess(rerank, [NodeWithScore(node=TITLED)], query_str=QUERY)
    assert found.node.metadata == TITLED.metadata


def test_scores_are_python_floats_and_json(reranker, postprocess):
    """Scores, also kept ones that came as NumPy numbers, are Python floats and serialise."""
    numpy = pytest.importorskip("numpy")
    given = scored(TITLED)
    given[0].score = numpy.float32(0.5)  # assigned, so not converted by the framework
    rerank = ZeloRerank(reranker=reranker, keep_retrieval_score=True)
    (found,) = postprocess(rerank, given, query_str=QUERY)
    assert type(found.score) is float
    assert type(found.node.metadata["retrieval_score"]) is float
    assert json.loads(found.to_json())["score"] == found.score


def test_it_is_a_node_postprocessor(reranker):
    """The framework takes it where it takes any postprocessor."""
    assert isinstance(ZeloRerank(reranker=reranker), BaseNodePostprocessor)
