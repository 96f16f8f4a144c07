"""LlamaIndex's engines, tools, workflows and evaluators, each with the reranker in its place."""

import asyncio

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.llms import MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine
from llama_index.core.schema import ImageNode, QueryBundle, TextNode
from llama_index.core.tools import RetrieverTool
from llama_index.core.workflow import Event, StartEvent, StopEvent, Workflow, step
from llama_index.postprocessor.zelo import ZeloRerank

from zelo import Reranker

QUERY = "how is the water of the river"
TEXTS = [
    "the oldest bridge was built of stone",
    "in spring the water of the river is cold and grey",
    "open a file with open() and call its method read()",
    "there are three bridges in the old town",
    "the river runs down from the hills to the sea",
    "les ponts étaient vieux et très beaux",
]
TOP_N = 3
IMAGE = ImageNode(image_url="http://images.invalid/river.png", id_="image")


class Retrieved(Event):
    """Candidates on their way to the second step."""

    nodes: list
    query: str


class RetrieveThenRerank(Workflow):
    """A workflow of two steps, the second of which reranks."""

    def __init__(self, retriever, rerank):
        super().__init__(timeout=60)
        self.retriever, self.rerank = retriever, rerank

    @step
    async def find(self, event: StartEvent) -> Retrieved:
        """Retrieve candidates."""
        return Retrieved(nodes=await self.retriever.aretrieve(event.query), query=event.query)

    @step
    async def order(self, event: Retrieved) -> StopEvent:
        """Rerank them."""
        kept = await self.rerank.apostprocess_nodes(event.nodes, query_str=event.query)
        return StopEvent(result=kept)


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture
def rerank(reranker):
    return ZeloRerank(reranker=reranker, top_n=TOP_N)


@pytest.fixture(params=["waiting", "awaiting"])
def way(request):
    return request.param


def call(way, thing, method, *args, **named):
    """Call a method of LlamaIndex, or its awaiting twin, whose name begins with an a."""
    if way == "waiting":
        return getattr(thing, method)(*args, **named)

    async def awaited():
        return await getattr(thing, f"a{method}")(*args, **named)

    return asyncio.run(awaited())


def index():
    """An index whose similarities are all equal, so that only the reranker decides."""
    texts = [TextNode(text=text, id_=str(i)) for i, text in enumerate(TEXTS)]
    return VectorStoreIndex(texts, embed_model=MockEmbedding(embed_dim=8))


def options(*postprocessors):
    return {
        "llm": MockLLM(),  # answers with its own prompt
        "similarity_top_k": len(TEXTS),
        "node_postprocessors": list(postprocessors),
    }


def memory():
    """A memory of chats that is no database, which the framework would leave open."""
    return ChatMemoryBuffer.from_defaults(token_limit=10_000)


def best(reranker, query=QUERY):
    """What the model ranks first, which differs from the first stage's order."""
    found = [str(ranked.index) for ranked in reranker.rank(query, TEXTS, top_n=TOP_N)]
    assert found != [str(i) for i in range(TOP_N)]
    return found


def ids(found):
    return [item.node.node_id for item in found]


def test_query_engine(reranker, rerank, way):
    """A query engine answers from the reranked nodes, best first, and its LLM reads those."""
    response = call(way, index().as_query_engine(**options(rerank)), "query", QUERY)
    assert ids(response.source_nodes) == best(reranker)
    places = [str(response).find(TEXTS[int(i)]) for i in best(reranker)]
    assert places == sorted(places)
    assert -1 not in places
    assert sum(text in str(response) for text in TEXTS) == TOP_N


def test_engines_retrieval(reranker, rerank, way):
    """An engine that only retrieves returns the reranked nodes."""
    engine = RetrieverQueryEngine.from_args(
        index().as_retriever(similarity_top_k=len(TEXTS)),
        llm=MockLLM(),
        node_postprocessors=[rerank],
    )
    assert ids(call(way, engine, "retrieve", QueryBundle(QUERY))) == best(reranker)


def test_citation_query_engine(reranker, rerank, way):
    """The citations of a citation engine are numbered in the reranked order."""
    engine = CitationQueryEngine.from_args(index(), **options(rerank))
    response = call(way, engine, "query", QUERY)
    assert [item.node.get_content().strip() for item in response.source_nodes] == [
        f"Source {number}:\n{TEXTS[int(i)]}" for number, i in enumerate(best(reranker), 1)
    ]


@pytest.mark.parametrize("mode", ["context", "condense_plus_context"])
def test_chat_engine(reranker, rerank, way, mode):
    """Chat engines answer from the reranked nodes, in a second turn too."""
    engine = index().as_chat_engine(chat_mode=mode, memory=memory(), **options(rerank))
    assert ids(call(way, engine, "chat", QUERY).source_nodes) == best(reranker)
    again = call(way, engine, "chat", "which bridge is old")
    assert len(again.source_nodes) == TOP_N


@pytest.mark.parametrize("mode", ["context", "condense_plus_context"])
def test_kept_retrieval_score_is_not_in_a_chats_prompt(reranker, way, mode):
    """The LLM of a chat engine reads the texts and not the first stage's scores."""
    rerank = ZeloRerank(reranker=reranker, top_n=TOP_N, keep_retrieval_score=True)
    engine = index().as_chat_engine(chat_mode=mode, memory=memory(), **options(rerank))
    response = call(way, engine, "chat", QUERY)
    assert all("retrieval_score" in item.node.metadata for item in response.source_nodes)
    assert "retrieval_score" not in str(response)


def test_kept_retrieval_score_is_not_in_a_querys_prompt(reranker, way):
    """The LLM of a query engine reads the texts and not the first stage's scores."""
    rerank = ZeloRerank(reranker=reranker, top_n=TOP_N, keep_retrieval_score=True)
    response = call(way, index().as_query_engine(**options(rerank)), "query", QUERY)
    assert all("retrieval_score" in item.node.metadata for item in response.source_nodes)
    assert TEXTS[int(best(reranker)[0])] in str(response)
    assert "retrieval_score" not in str(response)


def test_similarity_cutoff_after_reranking(reranker, way):
    """A SimilarityPostprocessor that follows cuts by probability, and drops what has none."""
    ranking = reranker.rank(QUERY, TEXTS)
    cutoff = (ranking[1].score + ranking[2].score) / 2
    after = (
        ZeloRerank(reranker=reranker, top_n=None),
        SimilarityPostprocessor(similarity_cutoff=cutoff),
    )
    found = index()
    found.insert_nodes([IMAGE])
    engine = found.as_query_engine(**options(*after) | {"similarity_top_k": len(TEXTS) + 1})
    response = call(way, engine, "query", QUERY)
    assert ids(response.source_nodes) == [str(ranked.index) for ranked in ranking[:2]]


def test_retriever_tool(reranker, rerank, way):
    """A retriever tool gives an agent the reranked texts, best first."""
    tool = RetrieverTool.from_defaults(
        index().as_retriever(similarity_top_k=len(TEXTS)), node_postprocessors=[rerank]
    )
    found = call(way, tool, "call", QUERY)
    expected = best(reranker, QUERY + "\n")  # the tool adds a line break
    assert ids(found.raw_output) == expected
    assert found.content.split("\n\n")[:TOP_N] == [TEXTS[int(i)] for i in expected]


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # of the agent
def test_agent_calls_the_reranking_tool(reranker, rerank):
    """An agent that calls a retriever tool gets the reranked texts, and answers from them."""

    def script(messages, **_):
        if messages[-1].role == MessageRole.TOOL:
            return ChatMessage(role="assistant", content=f"It says: {messages[-1].content}")
        asked = ToolCallBlock(tool_call_id="1", tool_name="notes", tool_kwargs={"input": QUERY})
        return ChatMessage(role="assistant", blocks=[asked])

    tool = RetrieverTool.from_defaults(
        index().as_retriever(similarity_top_k=len(TEXTS)),
        node_postprocessors=[rerank],
        name="notes",
        description="finds notes",
    )
    agent = FunctionAgent(tools=[tool], llm=MockFunctionCallingLLM(response_generator=script))

    async def ask():
        return await agent.run(QUERY, memory=memory())

    answer = asyncio.run(ask())
    (called,) = answer.tool_calls
    expected = best(reranker, called.tool_output.raw_input["input"])
    assert ids(called.tool_output.raw_output) == expected
    assert f"It says: {TEXTS[int(expected[0])]}" in str(answer)


def test_workflow_step(reranker, rerank):
    """A step of a workflow awaits the reranking."""

    async def run():
        retriever = index().as_retriever(similarity_top_k=len(TEXTS))
        return await RetrieveThenRerank(retriever, rerank).run(query=QUERY)

    assert ids(asyncio.run(run())) == best(reranker)


def test_retriever_evaluator(reranker, rerank):
    """The evaluator, which calls the blocking hook in its event loop, measures the reranking."""
    evaluator = RetrieverEvaluator.from_metric_names(
        ["mrr", "hit_rate"],
        retriever=index().as_retriever(similarity_top_k=len(TEXTS)),
        node_postprocessors=[rerank],
    )
    wanted = best(reranker)[1]
    result = asyncio.run(evaluator.aevaluate(QUERY, [wanted]))
    assert result.retrieved_ids == best(reranker)
    assert result.metric_vals_dict == {"mrr": 0.5, "hit_rate": 1.0}
    assert evaluator.model_dump()["node_postprocessors"][0]["top_n"] == TOP_N
