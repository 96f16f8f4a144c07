"""LangChain's compressor: what comes back for documents, and what never changes in them."""

import asyncio
import json

import pytest
from framework_kit import documents
from langchain_core.documents import Document
from langchain_core.load import dumps
from pydantic import SecretStr, ValidationError

from langchain_zelo import ZeloRerank
from zelo import InputError, Reranker
from zelo.results import Stats
from zelo.scoring import Scored
from zelo.scoring.families import sigmoid

QUERY = "how is the water of the river"
TEXTS = ["a stone bridge", "cold water", "the river is cold", "read a file", "12 open files !"]


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture(params=["waiting", "awaiting"])
def compress(request):
    """Calls the blocking or the awaiting method."""

    def call(adapter, given, query=QUERY):
        if request.param == "waiting":
            return adapter.compress_documents(given, query)
        return asyncio.run(adapter.acompress_documents(given, query))

    return call


class Dictated:
    """A scorer whose logits are written in the documents."""

    def score(self, requests, progress=None):
        return [[Scored(float(d), sigmoid(float(d) / 5)) for d in r.documents] for r in requests]

    async def ascore(self, requests, progress=None):
        return self.score(requests)

    def warmup(self):
        pass

    def stats(self):
        return Stats()

    def close(self):
        pass


def dictated(**options):
    return ZeloRerank(reranker=Reranker.from_scorer(Dictated()), **options)


def contents(found):
    return [document.page_content for document in found]


def test_order_and_scores_are_the_rerankers(reranker, compress):
    """Documents come back best first, each with the probability that the core gives its text."""
    expected = [(r.document, r.score) for r in reranker.rank(QUERY, TEXTS)]
    assert [text for text, _ in expected] != TEXTS
    found = compress(ZeloRerank(reranker=reranker, top_n=None), documents(TEXTS))
    assert contents(found) == [text for text, _ in expected]
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == pytest.approx([score for _, score in expected], abs=1e-5)


def test_top_n_is_three_by_default(reranker, compress):
    """Without being told, the three best documents are returned."""
    best = [r.document for r in reranker.rank(QUERY, TEXTS)[:3]]
    assert contents(compress(ZeloRerank(reranker=reranker), documents(TEXTS))) == best


@pytest.mark.parametrize(("top_n", "kept"), [(1, ["9"]), (2, ["9", "4"]), (7, ["9", "4", "-1"])])
def test_top_n_keeps_the_best(compress, top_n, kept):
    """top_n keeps that many of the best, or all where there are fewer."""
    assert contents(compress(dictated(top_n=top_n), documents(["4", "-1", "9"]))) == kept


@pytest.mark.parametrize("top_n", [0, -1])
def test_top_n_without_a_meaning_is_refused(reranker, top_n):
    """An adapter that could return nothing is not made."""
    with pytest.raises(ValidationError, match="top_n"):
        ZeloRerank(reranker=reranker, top_n=top_n)


def test_min_score_keeps_what_reaches_it(compress):
    """A probability equal to min_score is kept, one below it is dropped."""
    found = compress(dictated(min_score=0.5, top_n=None), documents(["-0.1", "0", "7"]))
    assert contents(found) == ["7", "0"]
    assert found[1].metadata["relevance_score"] == 0.5


def test_min_score_is_applied_before_top_n(compress):
    """When nothing reaches min_score, nothing is returned, whatever top_n says."""
    assert compress(dictated(min_score=0.9, top_n=2), documents(["1", "2", "3"])) == []


def test_ids_and_metadata_are_kept(reranker, compress):
    """A document keeps its id, its type and its metadata, next to which stands the score."""
    given = [
        Document(text, id=f"d{i}", metadata={"source": f"{i}.md", "page": i})
        for i, text in enumerate(TEXTS)
    ]
    found = compress(ZeloRerank(reranker=reranker, top_n=None), given)
    assert {document.id for document in found} == {document.id for document in given}
    for document in found:
        origin = given[int(document.id[1:])]
        assert (document.page_content, document.type) == (origin.page_content, origin.type)
        score = document.metadata["relevance_score"]
        assert document.metadata == {**origin.metadata, "relevance_score": score}


def test_documents_without_an_id_get_none(reranker, compress):
    """A document that has no id is returned without one."""
    found = compress(ZeloRerank(reranker=reranker), [Document("cold water")])
    assert found[0].id is None


def test_what_was_handed_over_is_untouched(reranker, compress):
    """Neither the list nor its documents change, and writing into a result reaches no input."""
    given = documents(TEXTS, [{"source": text} for text in TEXTS])
    before = [document.model_copy(deep=True) for document in given]
    order = list(map(id, given))
    for document in compress(ZeloRerank(reranker=reranker, top_n=None), given):
        document.metadata["note"] = "mine"
    assert given == before
    assert list(map(id, given)) == order


def test_an_earlier_score_is_replaced(reranker, compress):
    """The score of an earlier reranker gives way to this one's."""
    given = documents(["cold water"], [{"relevance_score": 17.0}])
    (found,) = compress(ZeloRerank(reranker=reranker), given)
    expected = reranker.score(QUERY, ["cold water"])[0]
    assert found.metadata["relevance_score"] == pytest.approx(expected, abs=1e-5)


def test_scores_can_be_written_as_json(reranker, compress):
    """The score is a Python float, which pydantic and LangChain write as a number."""
    (found,) = compress(ZeloRerank(reranker=reranker), documents(["cold water"]))
    score = found.metadata["relevance_score"]
    assert type(score) is float
    assert json.loads(found.model_dump_json())["metadata"]["relevance_score"] == score
    assert json.loads(dumps(found))["kwargs"]["metadata"]["relevance_score"] == score


def test_blank_documents_come_last_with_zero(reranker, compress):
    """An empty or blank document is returned after all others, with probability 0."""
    given = documents(["", "cold water", " \n\t", "a bridge"])
    found = compress(ZeloRerank(reranker=reranker, top_n=None), given)
    assert [document.id for document in found][2:] == ["0", "2"]
    assert [document.metadata["relevance_score"] for document in found[2:]] == [0.0, 0.0]
    assert all(document.metadata["relevance_score"] > 0 for document in found[:2])


def test_no_documents_load_no_model(compress):
    """An empty list is answered without a model being found."""
    adapter = ZeloRerank(local_files_only=True)
    assert compress(adapter, []) == []
    assert "not loaded" in repr(adapter.reranker)


def test_any_sequence_of_documents_will_do(reranker, compress):
    """Documents may come as a tuple."""
    adapter = ZeloRerank(reranker=reranker)
    assert compress(adapter, tuple(documents(TEXTS))) == compress(adapter, documents(TEXTS))


def test_a_text_instead_of_a_document_is_named(reranker, compress):
    """A plain string among the documents is refused with its position and what to give."""
    with pytest.raises(InputError, match=r"documents\[1\].* str"):
        compress(ZeloRerank(reranker=reranker), [Document("cold water"), "a bridge"])


@pytest.mark.parametrize("query", ["", " \n"])
def test_a_blank_query_is_an_error(reranker, compress, query):
    """Without a query there is no order to return."""
    with pytest.raises(InputError, match="query is empty"):
        compress(ZeloRerank(reranker=reranker), documents(TEXTS), query)


def test_the_instruction_reaches_the_model(reranker, compress):
    """A document is scored under the adapter's instruction."""
    told = ZeloRerank(reranker=reranker, instruction="prefer bridges")
    expected = reranker.score(QUERY, ["cold water"], instruction="prefer bridges")[0]
    assert abs(expected - reranker.score(QUERY, ["cold water"])[0]) > 1e-4
    (found,) = compress(told, documents(["cold water"]))
    assert found.metadata["relevance_score"] == pytest.approx(expected, abs=1e-5)


def test_unknown_options_are_refused(reranker):
    """A misspelt option is an error that names it."""
    with pytest.raises(ValidationError, match="rank_feilds"):
        ZeloRerank(reranker=reranker, rank_feilds=["title"])


def test_the_key_comes_from_the_environment(reranker, monkeypatch):
    """ZELO_API_KEY becomes the key, as a value that does not show itself."""
    monkeypatch.setenv("ZELO_API_KEY", "s3cret")
    adapter = ZeloRerank(reranker=reranker)
    assert isinstance(adapter.api_key, SecretStr)
    assert adapter.api_key.get_secret_value() == "s3cret"
    assert "s3cret" not in f"{adapter!r} {adapter} {adapter.api_key!r}"


def test_an_own_key_goes_before_the_environments(monkeypatch):
    """A key that is given is used, whatever ZELO_API_KEY says."""
    monkeypatch.setenv("ZELO_API_KEY", "environment")
    adapter = ZeloRerank(model="zelo-nano", api_key="own")
    assert adapter.api_key.get_secret_value() == "own"


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_key_there_is_none(reranker, monkeypatch, value):
    """An environment without a key, or with an empty one, gives none."""
    if value is not None:
        monkeypatch.setenv("ZELO_API_KEY", value)
    assert ZeloRerank(reranker=reranker).api_key is None


def test_with_options_changes_a_copy(compress):
    """A copy has the other options and the same model; the adapter itself stays as it is."""
    adapter = dictated(top_n=1)
    copy = adapter.with_options(top_n=None, min_score=0.5)
    assert copy.reranker is adapter.reranker
    given = documents(["4", "-1", "9"])
    assert contents(compress(copy, given)) == ["9", "4"]
    assert contents(compress(adapter, given)) == ["9"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"top_n": 0}, "top_n"),
        ({"min_score": 1.5}, "min_score"),
        ({"on_error": "ignore"}, "on_error"),
        ({"model": "zelo-nano"}, "chosen with the model"),
        ({"top_q": 3}, "top_q"),
        ({"top_k": 3}, "top_n"),
    ],
)
def test_with_options_refuses_what_has_no_meaning(reranker, changes, named):
    """A name that is unknown, a value without meaning or another model is an error by name."""
    with pytest.raises(ValueError, match=named):
        ZeloRerank(reranker=reranker).with_options(**changes)
