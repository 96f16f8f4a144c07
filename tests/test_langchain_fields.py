"""What LangChain's adapter reads of a document, a text or a mapping, and bare scores for it."""

import asyncio

import pytest
from framework_kit import documents
from langchain_core.documents import Document
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode
from llama_index.postprocessor.zelo import ZeloRerank as LlamaIndexRerank

from langchain_zelo import ZeloRerank
from zelo import ClosedError, InputError, Reranker

QUERY = "how is the water of the river"
TEXTS = ["a stone bridge", "cold water", "the river is cold", "read a file", "12 open files !"]
TEXT = "cold water of the river"


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture(params=["waiting", "awaiting"])
def rerank(request):
    """Calls the blocking or the awaiting method."""

    def call(adapter, given, query=QUERY, **options):
        if request.param == "waiting":
            return adapter.rerank(given, query, **options)
        return asyncio.run(adapter.arerank(given, query, **options))

    return call


def differs(reranker, text, other):
    """Whether the model tells two texts apart by far more than its scores are compared by."""
    one, two = reranker.score(QUERY, [text, other])
    return abs(one - two) > 1e-4


def score_of(adapter, document):
    (found,) = adapter.compress_documents([document], QUERY)
    return found.metadata["relevance_score"]


@pytest.mark.parametrize(
    ("metadata", "fields", "text"),
    [
        ({"title": "river", "page": 12}, ("title", "page"), f"title: river\npage: 12\n\n{TEXT}"),
        ({"title": "river", "page": 12}, ("page", "title"), f"page: 12\ntitle: river\n\n{TEXT}"),
        ({"title": "river", "page": 12}, ("title",), f"title: river\n\n{TEXT}"),
        ({"title": "river"}, ("title", "page"), f"title: river\n\n{TEXT}"),
        ({"page": 12}, ("title",), TEXT),
        ({"title": "river"}, (), TEXT),
        ({"title": "river"}, None, TEXT),
    ],
)
def test_rank_fields_put_metadata_before_the_text(reranker, metadata, fields, text):
    """The model reads the fields that are asked for and there, in their order, then the text."""
    adapter = ZeloRerank(reranker=reranker, rank_fields=fields)
    expected = reranker.score(QUERY, [text])[0]
    found = score_of(adapter, Document(TEXT, metadata=metadata))
    assert found == pytest.approx(expected, abs=1e-5)
    assert text == TEXT or differs(reranker, text, TEXT)


def test_rank_fields_leave_the_document_as_it_is(reranker):
    """What the model reads before the text does not reach the text that is returned."""
    adapter = ZeloRerank(reranker=reranker, rank_fields=["title"])
    (found,) = adapter.compress_documents([Document(TEXT, metadata={"title": "river"})], QUERY)
    assert found.page_content == TEXT
    assert set(found.metadata) == {"title", "relevance_score"}


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        pytest.param(TEXT, {"title": "river"}, id="text"),
        pytest.param(TEXT, {"title": "river", "page": 12}, id="number"),
        pytest.param(TEXT, {"share": 0.5}, id="fraction"),
        pytest.param(TEXT, {"title": "un été"}, id="accents"),
        pytest.param(TEXT, {"open": True}, id="truth"),
        pytest.param(TEXT, {"author": None}, id="none"),
        pytest.param(TEXT, {"tags": ["cold", "water"]}, id="list"),
        pytest.param(TEXT, {"place": {"river": "stone"}}, id="mapping"),
        pytest.param(TEXT, {"title": ""}, id="blank"),
        pytest.param(f"\n {TEXT} \n", {"title": "river"}, id="white-space"),
        pytest.param(f"\n {TEXT} \n", {}, id="no-metadata"),
    ],
)
def test_both_frameworks_read_the_same(reranker, text, metadata):
    """With all metadata asked for, LlamaIndex gives the same text with that metadata this score."""
    node = NodeWithScore(node=TextNode(text=text, metadata=metadata))
    there = LlamaIndexRerank(reranker=reranker, metadata_mode=MetadataMode.EMBED)
    (expected,) = there.postprocess_nodes([node], query_str=QUERY)
    here = ZeloRerank(reranker=reranker, rank_fields=tuple(metadata))
    found = score_of(here, Document(text, metadata=metadata))
    assert found == pytest.approx(expected.score, abs=1e-5)


def test_a_blank_document_with_fields_is_blank(reranker):
    """Metadata does not make a document out of no text."""
    adapter = ZeloRerank(reranker=reranker, rank_fields=["title"])
    assert score_of(adapter, Document(" ", metadata={"title": "cold water"})) == 0.0


@pytest.mark.parametrize(
    "given",
    [TEXTS, documents(TEXTS), tuple(TEXTS), [TEXTS[0], *documents(TEXTS[1:])]],
    ids=["texts", "documents", "tuple", "mixed"],
)
def test_rerank_returns_indices_and_scores(reranker, rerank, given):
    """rerank() tells each item's place among those given, and its probability, best first."""
    expected = reranker.rank(QUERY, TEXTS)
    found = rerank(ZeloRerank(reranker=reranker, top_n=None), given)
    assert [set(item) for item in found] == [{"index", "relevance_score"}] * len(TEXTS)
    assert [item["index"] for item in found] == [r.index for r in expected]
    scores = [item["relevance_score"] for item in found]
    assert scores == pytest.approx([r.score for r in expected], abs=1e-5)
    assert {type(score) for score in scores} == {float}


@pytest.mark.parametrize(
    ("own", "asked", "kept"),
    [
        (2, {}, 2),
        (2, {"top_n": -1}, 2),
        (2, {"top_n": 4}, 4),
        (2, {"top_n": None}, 5),
        (None, {"top_n": 1}, 1),
        (None, {}, 5),
    ],
)
def test_rerank_cuts_where_it_is_told(reranker, rerank, own, asked, kept):
    """top_n=-1 is the adapter's own, None all, any other number that many."""
    best = [r.index for r in reranker.rank(QUERY, TEXTS)][:kept]
    found = rerank(ZeloRerank(reranker=reranker, top_n=own), TEXTS, **asked)
    assert [item["index"] for item in found] == best


def test_rerank_obeys_min_score(reranker, rerank):
    """What is below the adapter's min_score is not among the scores."""
    scores = sorted(reranker.score(QUERY, TEXTS))
    found = rerank(ZeloRerank(reranker=reranker, top_n=None, min_score=scores[2] - 1e-5), TEXTS)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("own", "asked", "text"),
    [
        (None, {}, "title: river\nbody: cold water\npage: 12"),
        (None, {"rank_fields": ["body", "title"]}, "body: cold water\ntitle: river"),
        (["body"], {}, "body: cold water"),
        (["body"], {"rank_fields": ["title"]}, "title: river"),
        (None, {"rank_fields": []}, ""),
    ],
)
def test_rerank_reads_the_lines_of_a_mapping(reranker, rerank, own, asked, text):
    """Of a mapping all lines count, or those of rank_fields, the call's before the adapter's."""
    adapter = ZeloRerank(reranker=reranker, rank_fields=own)
    given = {"title": "river", "body": "cold water", "page": 12}
    (found,) = rerank(adapter, [given], **asked)
    expected = reranker.score(QUERY, [text])[0]
    assert found == {"index": 0, "relevance_score": pytest.approx(expected, abs=1e-5)}


def test_rerank_reads_fields_of_a_document(reranker, rerank):
    """The call's rank_fields name metadata, which is read before a document's text."""
    (found,) = rerank(
        ZeloRerank(reranker=reranker),
        [Document(TEXT, metadata={"title": "river"})],
        rank_fields=["title"],
    )
    expected = reranker.score(QUERY, [f"title: river\n\n{TEXT}"])[0]
    assert found["relevance_score"] == pytest.approx(expected, abs=1e-5)


def test_rerank_of_nothing_is_nothing(rerank):
    """No items give no scores, and no model is found."""
    adapter = ZeloRerank(local_files_only=True)
    assert rerank(adapter, []) == []
    assert "not loaded" in repr(adapter.reranker)


def test_rerank_names_what_it_cannot_read(reranker, rerank):
    """An item of another type is an error with its position."""
    with pytest.raises(InputError, match=r"documents\[1\].* int"):
        rerank(ZeloRerank(reranker=reranker), ["cold water", 7])


@pytest.mark.parametrize("given", ["cold water", {"title": "cold water"}], ids=["text", "mapping"])
def test_rerank_takes_no_single_item(reranker, rerank, given):
    """One text or mapping where several belong is an error, not a list of its parts."""
    with pytest.raises(InputError, match="documents"):
        rerank(ZeloRerank(reranker=reranker), given)


def test_rerank_takes_no_single_field(reranker, rerank):
    """One field's name where several belong is an error, not a list of its letters."""
    with pytest.raises(ValueError, match="rank_fields"):
        rerank(ZeloRerank(reranker=reranker), [{"title": "cold water"}], rank_fields="title")


def test_rerank_always_raises(tiny_model, rerank):
    """A failure is raised also where documents would keep their order: no score is made up."""
    with Reranker(tiny_model) as closed:
        adapter = ZeloRerank(reranker=closed, on_error="keep_order")
    with pytest.raises(ClosedError):
        rerank(adapter, TEXTS)
