"""The reranking retriever: LangChain's own suite for retrievers, and what one call may change."""

import asyncio

import pytest
from framework_kit import documents
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError

from langchain_zelo import RerankRetriever, ZeloRerank
from zelo import Reranker

QUERY = "how is the water of the river"
TEXTS = ["a stone bridge", "cold water", "the river is cold", "read a file", "12 open files !"]


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture(scope="module")
def store():
    """A first stage whose order means nothing."""
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents(documents(TEXTS))
    return store


@pytest.fixture
def retriever(reranker, store):
    """Makes a retriever over all documents."""

    def made(k=None, base=None, **options):
        base = base or store.as_retriever(search_kwargs={"k": len(TEXTS)})
        compressor = ZeloRerank(reranker=reranker, **options)
        return RerankRetriever(base_compressor=compressor, base_retriever=base, k=k)

    return made


@pytest.fixture(params=["waiting", "awaiting"])
def ask(request):
    """Calls the blocking or the awaiting method."""

    def call(retriever, query=QUERY, **arguments):
        if request.param == "waiting":
            return retriever.invoke(query, **arguments)
        return asyncio.run(retriever.ainvoke(query, **arguments))

    return call


def contents(found):
    return [document.page_content for document in found]


# The suite mixes both kinds of tests, and a mark for its asynchronous ones cannot stand on those.
@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore:.*is not an async function:pytest.PytestWarning")
class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _over(self, reranker, store):
        self.base = store.as_retriever(search_kwargs={"k": len(TEXTS)})
        self.compressor = ZeloRerank(reranker=reranker)

    @property
    def retriever_constructor(self):
        return RerankRetriever

    @property
    def retriever_constructor_params(self):
        return {"base_compressor": self.compressor, "base_retriever": self.base}

    @property
    def retriever_query_example(self):
        return QUERY


def test_it_returns_the_best_of_the_base_retriever(reranker, retriever, store, ask):
    """What the base retriever found comes back in the reranker's order, with scores."""
    ranked = reranker.rank(QUERY, TEXTS)
    assert contents(store.similarity_search(QUERY, k=5)) != [r.document for r in ranked]
    found = ask(retriever(top_n=None))
    assert contents(found) == [r.document for r in ranked]
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == pytest.approx([r.score for r in ranked], abs=1e-5)
    assert [document.id for document in found] == [str(r.index) for r in ranked]


@pytest.mark.parametrize(
    ("top_n", "k", "call", "kept"),
    [
        (3, None, {}, 3),
        (2, None, {}, 2),
        (2, 4, {}, 4),
        (2, 4, {"k": 1}, 1),
        (2, 4, {"k": 5}, 5),
        (2, 4, {"k": None}, 2),
        (None, None, {"k": 1}, 1),
    ],
)
def test_the_call_goes_before_k_and_k_before_top_n(reranker, retriever, ask, top_n, k, call, kept):
    """How many are returned says the call, or else the retriever, or else the reranker."""
    best = [r.document for r in reranker.rank(QUERY, TEXTS)][:kept]
    assert contents(ask(retriever(k, top_n=top_n), **call)) == best


@pytest.mark.parametrize(("own", "call"), [(None, {"min_score": 0.5}), (0.5, {})])
def test_min_score_of_a_call(reranker, retriever, ask, own, call):
    """A cutoff is the reranker's, or the call's."""
    ranked = reranker.rank(QUERY, TEXTS)
    cut = (ranked[1].score + ranked[2].score) / 2
    own = own and cut
    call = {name: cut for name in call}
    found = ask(retriever(top_n=None, min_score=own), **call)
    assert contents(found) == [r.document for r in ranked[:2]]


def test_min_score_can_be_lifted_for_a_call(retriever, ask):
    """None for a call returns what the reranker's own cutoff would have dropped."""
    strict = retriever(top_n=None, min_score=1)
    assert ask(strict) == []
    assert len(ask(strict, min_score=None)) == len(TEXTS)


def test_instruction_of_a_call(reranker, retriever, ask):
    """A call's instruction replaces the reranker's, for that call."""
    mine = retriever(top_n=None, instruction="read files")
    for instruction, call in (
        ("read files", {}),
        ("prefer bridges", {"instruction": "prefer bridges"}),
        (None, {"instruction": None}),
        ("read files", {}),
    ):
        expected = reranker.rank(QUERY, TEXTS, instruction=instruction)
        scores = [document.metadata["relevance_score"] for document in ask(mine, **call)]
        assert scores == pytest.approx([r.score for r in expected], abs=1e-5)


def test_further_arguments_reach_the_base_retriever(retriever, ask):
    """What is not the reranking's is the first stage's: here, which documents are looked at."""
    found = ask(retriever(), k=5, filter=lambda document: "cold" in document.page_content)
    assert set(contents(found)) == {"cold water", "the river is cold"}


def test_any_runnable_can_be_the_base_retriever(reranker, retriever, ask):
    """A chain that returns documents is a first stage as good as a retriever."""
    base = RunnableLambda(lambda query: query.split(", ")) | documents
    best = [r.document for r in reranker.rank(", ".join(TEXTS), TEXTS)]
    assert contents(ask(retriever(5, base), ", ".join(TEXTS))) == best


def test_a_reranking_retriever_can_be_the_base_retriever(reranker, retriever, ask):
    """A retriever that reranks is a retriever, also for another one."""
    inner = retriever(4)
    assert isinstance(inner, BaseRetriever)
    best = [r.document for r in reranker.rank(QUERY, TEXTS)]
    assert contents(ask(retriever(2, inner))) == best[:2]


def test_nothing_found_is_nothing_returned(ask):
    """A base retriever that finds nothing gives an empty list, and no model is found."""
    empty = RerankRetriever(
        base_compressor=ZeloRerank(local_files_only=True),
        base_retriever=RunnableLambda(lambda query: []),
    )
    assert ask(empty) == []
    assert "not loaded" in repr(empty.base_compressor.reranker)


def test_the_reranker_is_zerank_2_by_default(store):
    """Without a reranker, the retriever has one with the defaults."""
    made = RerankRetriever(base_retriever=store.as_retriever())
    assert isinstance(made.base_compressor, ZeloRerank)
    assert made.base_compressor.model == "zerank-2"


def test_the_reranker_may_be_given_as_its_options(store):
    """What a configuration says of the reranker makes one, and is refused like its own options."""
    options = {"model": "zelo-nano", "top_n": 2}
    made = RerankRetriever(base_compressor=options, base_retriever=store.as_retriever())
    assert made.base_compressor.model_dump().items() >= options.items()
    with pytest.raises(ValidationError, match="tpo_n"):
        RerankRetriever(base_compressor={"tpo_n": 2}, base_retriever=store.as_retriever())


@pytest.mark.parametrize("name", ["top_n", "search_kwargs"])
def test_unknown_options_are_refused(store, name):
    """An option that is not the retriever's is an error that names it."""
    with pytest.raises(ValidationError, match=name):
        RerankRetriever(base_retriever=store.as_retriever(), **{name: 3})


@pytest.mark.parametrize("k", [0, -1])
def test_k_without_a_meaning_is_refused(retriever, ask, k):
    """A number of documents below one is an error, of the retriever or of a call."""
    with pytest.raises(ValidationError, match=r"(?m)^k$"):
        retriever(k)
    with pytest.raises(ValidationError, match="top_n"):
        ask(retriever(), k=k)


def test_min_score_of_a_call_is_a_probability(retriever, ask):
    """A call's cutoff outside of 0 to 1 is an error."""
    with pytest.raises(ValidationError, match="min_score"):
        ask(retriever(), min_score=1.5)
