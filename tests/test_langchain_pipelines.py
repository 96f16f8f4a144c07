"""LangChain's compressor where people use it: retrievers, chains, graphs, tools, many at once."""

import asyncio
from typing import TypedDict

import pytest
from framework_kit import documents
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import create_retriever_tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import CharacterTextSplitter
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from langchain_zelo import RerankRetriever, ZeloRerank
from zelo import Reranker

QUERY = "how is the water of the river"
QUERIES = [QUERY, "a bridge of stone", "open a file"]
TEXTS = [
    "a stone bridge",
    "cold water",
    "the river is cold",
    "read a file",
    "12 open files !",
    "the water of the river is read",
    "open the bridge",
]

every_retriever = pytest.mark.parametrize("kind", [ContextualCompressionRetriever, RerankRetriever])
every_way = pytest.mark.parametrize("way", ["waiting", "awaiting"])


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture(scope="module")
def base():
    """A first stage that returns all documents, in an order that means nothing."""
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents(documents(TEXTS))
    return store.as_retriever(search_kwargs={"k": len(TEXTS)})


@pytest.fixture(scope="module")
def best(reranker):
    """Tells the texts that the core ranks best for a query."""
    return lambda query, top_n=3: [r.document for r in reranker.rank(query, TEXTS, top_n=top_n)]


def run(way, runnable, given):
    """Call a runnable as blocking or as awaiting code does."""
    if way == "waiting":
        return runnable.invoke(given)
    return asyncio.run(runnable.ainvoke(given))


def contents(found):
    return [document.page_content for document in found]


def test_the_first_stage_has_another_order(base, best):
    """What the tests below compare with is not what the base retriever returns anyway."""
    assert all(contents(base.invoke(query))[:3] != best(query) for query in QUERIES)


@every_retriever
@every_way
def test_retrievers(reranker, base, best, kind, way):
    """A retriever around the reranker returns the best documents of its base retriever."""
    retriever = kind(base_compressor=ZeloRerank(reranker=reranker), base_retriever=base)
    assert contents(run(way, retriever, QUERY)) == best(QUERY)


@every_retriever
@every_way
def test_batches(reranker, base, best, kind, way):
    """Each query of a batch gets its own best documents."""
    retriever = kind(base_compressor=ZeloRerank(reranker=reranker), base_retriever=base)
    if way == "waiting":
        answers = retriever.batch(QUERIES)
    else:
        answers = asyncio.run(retriever.abatch(QUERIES))
    assert [contents(found) for found in answers] == [best(query) for query in QUERIES]


@every_way
def test_compressor_pipeline(reranker, way):
    """A text splitter, then the reranker: the best parts come back, of whatever document."""
    given = [Document(" ".join(TEXTS[:3])), Document(" ".join(TEXTS[3:]))]
    splitter = CharacterTextSplitter(separator=" ", chunk_size=12, chunk_overlap=0)
    parts = contents(splitter.split_documents(given))
    assert len(parts) > 6
    expected = [r.document for r in reranker.rank(QUERY, parts, top_n=2)]
    pipeline = DocumentCompressorPipeline(
        transformers=[splitter, ZeloRerank(reranker=reranker, top_n=2)]
    )
    if way == "waiting":
        found = pipeline.compress_documents(given, QUERY)
    else:
        found = asyncio.run(pipeline.acompress_documents(given, QUERY))
    assert contents(found) == expected


@every_way
def test_pipeline_of_two_rerankers(reranker, best, way):
    """A second reranker takes what the first has left, and its scores are the ones that stay."""
    wide = ZeloRerank(reranker=reranker, top_n=5)
    narrow = ZeloRerank(reranker=reranker, top_n=5, instruction="prefer bridges")
    pipeline = DocumentCompressorPipeline(transformers=[wide, narrow])
    if way == "waiting":
        found = pipeline.compress_documents(documents(TEXTS), QUERY)
    else:
        found = asyncio.run(pipeline.acompress_documents(documents(TEXTS), QUERY))
    expected = reranker.rank(QUERY, best(QUERY, 5), instruction="prefer bridges")
    assert contents(found) == [r.document for r in expected]
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == pytest.approx([r.score for r in expected], abs=1e-5)


def by_step(adapter):
    return adapter.as_runnable()


def by_lambda(adapter):
    return RunnableLambda(lambda x: adapter.compress_documents(x["documents"], x["query"]))


def by_lambdas(adapter):
    async def awaited(x):
        return await adapter.acompress_documents(x["documents"], x["query"])

    return RunnableLambda(
        lambda x: adapter.compress_documents(x["documents"], x["query"]), afunc=awaited
    )


@every_way
@pytest.mark.parametrize("step", [by_step, by_lambda, by_lambdas])
def test_chains(reranker, base, best, step, way):
    """In a chain, reranking is a step of its own, or a call in somebody's function."""
    chain = {"documents": base, "query": RunnablePassthrough()} | step(
        ZeloRerank(reranker=reranker)
    )
    assert contents(run(way, chain, QUERY)) == best(QUERY)


def test_a_step_describes_itself(reranker):
    """The step tells what it takes, by a schema, and the graph of a chain shows it by its name."""
    step = ZeloRerank(reranker=reranker).as_runnable()
    taken = step.get_input_jsonschema()["$defs"]["RerankInput"]
    assert set(taken["properties"]) == set(taken["required"]) == {"query", "documents"}
    assert "ZeloRerank" in {node.name for node in step.get_graph().nodes.values()}


@every_retriever
@every_way
def test_question_answering(reranker, base, best, kind, way):
    """In a chain with a chat model, the prompt holds the best documents, best first."""
    retriever = kind(base_compressor=ZeloRerank(reranker=reranker), base_retriever=base)
    chain = (
        {"context": retriever | contents | " / ".join, "question": RunnablePassthrough()}
        | ChatPromptTemplate.from_template("{question}? {context}")
        | ParrotFakeChatModel()  # answers with its prompt
        | StrOutputParser()
    )
    assert run(way, chain, QUERY) == f"{QUERY}? {' / '.join(best(QUERY))}"


class State(TypedDict, total=False):
    query: str
    documents: list[Document]


@every_way
@pytest.mark.parametrize("step", [by_step, by_lambda, by_lambdas])
def test_graphs(reranker, base, best, step, way):
    """In a graph, a node reranks what the node before it has fetched."""
    fetch = (lambda state: state["query"]) | base
    graph = StateGraph(State)
    graph.add_node("retrieve", fetch | (lambda found: {"documents": found}))
    graph.add_node("rerank", step(ZeloRerank(reranker=reranker)) | (lambda f: {"documents": f}))
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "rerank")
    graph.add_edge("rerank", END)
    state = run(way, graph.compile(), {"query": QUERY})
    assert contents(state["documents"]) == best(QUERY)


@every_retriever
@every_way
def test_retriever_tools(reranker, base, best, kind, way):
    """A retriever tool answers with the best documents, as text and as they are."""
    retriever = kind(base_compressor=ZeloRerank(reranker=reranker), base_retriever=base)
    tool = create_retriever_tool(
        retriever, "search", "Searches.", response_format="content_and_artifact"
    )
    call = ToolCall(name="search", args={"query": QUERY}, id="1", type="tool_call")
    message = run(way, tool, call)
    assert message.content == "\n\n".join(best(QUERY))
    assert contents(message.artifact) == best(QUERY)
    assert all("relevance_score" in document.metadata for document in message.artifact)


@every_retriever
@every_way
def test_tools_of_an_agent(reranker, base, best, kind, way):
    """In an agent's graph, a model's call of the tool is answered with the best documents."""
    retriever = kind(base_compressor=ZeloRerank(reranker=reranker), base_retriever=base)
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([create_retriever_tool(retriever, "search", "Searches.")]))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    call = ToolCall(name="search", args={"query": QUERY}, id="1", type="tool_call")
    state = run(way, graph.compile(), {"messages": [AIMessage("", tool_calls=[call])]})
    assert state["messages"][-1].content == "\n\n".join(best(QUERY))


@every_retriever
def test_concurrent_queries_share_forward_passes(reranker, kind):
    """Twenty queries at once take fewer forward passes than there are queries."""
    queries = [f"is the water of bridge {i} cold" for i in range(20)]
    texts = [f"the water of bridge {i} is cold " * 4 for i in range(12)]
    alone = [[r.document for r in reranker.rank(query, texts, top_n=3)] for query in queries]
    retriever = kind(
        base_compressor=ZeloRerank(reranker=reranker),
        base_retriever=RunnableLambda(lambda query: documents(texts)),
    )

    async def together():
        return await asyncio.gather(*[retriever.ainvoke(query) for query in queries])

    before = reranker.stats()
    answers = asyncio.run(together())
    after = reranker.stats()
    assert [contents(found) for found in answers] == alone
    assert after.calls - before.calls == len(queries)
    assert after.packs - before.packs < len(queries)
    assert after.merged_callers > before.merged_callers
