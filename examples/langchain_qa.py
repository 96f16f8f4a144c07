"""Ask Python's own documentation, in LangChain: BM25 finds passages, zelo puts them in order.

Prints the best places before and after reranking, then the answer of a chat model that repeats its
prompt: what a real one would read. Needs no network, no account and no GPU.

    pip install -c tests/constraints.txt -e ".[examples]"
    python examples/langchain_qa.py
"""

import textwrap
from typing import Any

from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import ParrotFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableParallel, RunnablePassthrough

from langchain_zelo import ZeloRerank
from zelo.retrieval import BM25
from zelo.retrieval.python_docs import python_docs

# Chosen, like the demo's, because BM25 misses here. zelo-nano is small, and does not always help.
QUESTIONS = (
    "how do I decode base64 text?",
    "how do I wrap long lines of text?",
)
PROMPT = ChatPromptTemplate.from_template("Answer from this:\n{context}\n\nQuestion: {question}")


class PythonDocs(BaseRetriever):
    """The first stage: BM25 over the standard library's documentation."""

    depth: int = 50
    _documents: list[Document]
    _index: BM25

    def model_post_init(self, context: Any) -> None:
        docs = python_docs()
        self._documents = [Document(doc.text, id=doc.name) for doc in docs]
        self._index = BM25([doc.text for doc in docs])

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [self._documents[hit.index] for hit in self._index.search(query, self.depth)]


def show(question: str, before: list[Document], after: list[Document]) -> None:
    """Print both orders side by side, with the places that each passage has gone up."""
    place_before = {found.id: place for place, found in enumerate(before)}
    print(f"\n? {question}\n\n   {'before: BM25':34} {'after: zelo':34} score  moved")
    for place, (first, best) in enumerate(zip(before, after, strict=False)):
        moved, score = place_before[best.id] - place, best.metadata["relevance_score"]
        print(f"{place + 1}. {first.id:34} {best.id:34} {score:.3f}  {moved:+5}")


def in_prompt(asked: dict[str, Any]) -> str:
    """Return the passages as the chat model reads them."""
    return "\n\n".join(document.page_content for document in asked["found"])


def main() -> None:
    """Ask the questions, and print what reranking changed and what the chat model was given."""
    reranker = ZeloRerank(model="zelo-nano", top_n=3)
    # reranker = ZeloRerank(model="zerank-2", top_n=3)  # for quality: 8 GB, fetched once
    # reranker = ZeloRerank(base_url="http://127.0.0.1:8000", top_n=3)  # what `zelo serve` runs
    llm = ParrotFakeChatModel()
    # llm = ChatOllama(model="qwen3")  # a real LLM, from langchain_ollama

    docs = PythonDocs()
    reranked = ContextualCompressionRetriever(base_compressor=reranker, base_retriever=docs)
    asked = RunnableParallel(question=RunnablePassthrough(), found=reranked)
    chain = asked.assign(context=in_prompt).assign(answer=PROMPT | llm | StrOutputParser())
    for question in QUESTIONS:
        response = chain.invoke(question)
        show(question, before=docs.invoke(question), after=response["found"])
        answer = textwrap.shorten(response["answer"], 300)
        print(f"\n{textwrap.fill(answer, 98, initial_indent='= ', subsequent_indent='  ')}")


if __name__ == "__main__":
    main()
