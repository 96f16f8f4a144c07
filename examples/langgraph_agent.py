"""An agent in LangGraph whose search tool reranks: model, tool and model again.

The tool is any retriever, wrapped in `RerankRetriever`. Prints the agent's messages and what
reranking changed in the tool. Needs no network, no account and no GPU: a script stands in for the
chat model, calls the tool once and answers with the best passage that came back.

    pip install -c tests/constraints.txt -e ".[examples]"
    python examples/langgraph_agent.py
"""

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import create_retriever_tool
from langchain_qa import PythonDocs, show
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from langchain_zelo import RerankRetriever, ZeloRerank

QUESTION = "how do I make a temporary directory?"
TOOL = "search_python_docs"


def scripted_llm(messages: list[AnyMessage]) -> AIMessage:
    """Do as a chat model does that knows one tool: call it, then answer from its result."""
    last = messages[-1]
    if not isinstance(last, ToolMessage):
        call = {"name": TOOL, "args": {"query": last.content}, "id": "call-1"}
        return AIMessage("", tool_calls=[call])
    signature, _, meaning = last.content.partition("\n")
    return AIMessage(f"{signature}: {meaning.partition('.')[0]}.")


def main() -> None:
    """Ask the agent, and print the conversation and what reranking changed."""
    reranker = ZeloRerank(model="zelo-nano")
    # reranker = ZeloRerank(model="zerank-2")  # for quality: 8 GB, fetched once
    # reranker = ZeloRerank(base_url="http://127.0.0.1:8000")  # what `zelo serve` runs
    docs = PythonDocs()
    tool = create_retriever_tool(
        RerankRetriever(base_compressor=reranker, base_retriever=docs, k=3),
        name=TOOL,
        description="Searches the documentation of Python's standard library.",
        response_format="content_and_artifact",  # so that the documents can be shown below
    )
    llm = RunnableLambda(scripted_llm)
    # llm = ChatOllama(model="qwen3").bind_tools([tool])  # a real LLM, from langchain_ollama

    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": llm.invoke(state["messages"])})
    graph.add_node("tools", ToolNode([tool]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")

    for message in graph.compile().invoke({"messages": QUESTION})["messages"]:
        if isinstance(message, ToolMessage):
            show(QUESTION, before=docs.invoke(QUESTION), after=message.artifact)
        else:
            message.pretty_print()


if __name__ == "__main__":
    main()
