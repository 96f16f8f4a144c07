"""Ask Python's own documentation, in LlamaIndex: BM25 finds passages, zelo puts them in order.

Prints the best places before and after reranking, then the answer of an LLM that repeats its
prompt: what a real one would read. Needs no network, no account and no GPU.

    pip install -c tests/constraints.txt -e ".[examples]"
    python examples/llama_index_qa.py
"""

import textwrap

from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.zelo import ZeloRerank

from zelo.retrieval import BM25
from zelo.retrieval.python_docs import python_docs

# Chosen, like the demo's, because BM25 misses here. zelo-nano is small, and does not always help.
QUESTIONS = (
    "how do I make a temporary directory?",
    "how do I decode base64 text?",
)


class PythonDocs(BaseRetriever):
    """The first stage: BM25 over the standard library's documentation."""

    def __init__(self, depth: int = 50) -> None:
        super().__init__()
        docs = python_docs()
        self._nodes = [TextNode(id_=doc.name, text=doc.text) for doc in docs]
        self._index = BM25([doc.text for doc in docs])
        self._depth = depth

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._index.search(query_bundle.query_str, self._depth)
        return [NodeWithScore(node=self._nodes[hit.index], score=hit.score) for hit in found]


def show(question: str, before: list[NodeWithScore], after: list[NodeWithScore]) -> None:
    """Print both orders side by side, with the places that each passage has gone up."""
    place_before = {found.node_id: place for place, found in enumerate(before)}
    print(f"\n? {question}\n\n   {'before: BM25':34} {'after: zelo':34} score  moved")
    for place, (first, best) in enumerate(zip(before, after, strict=False)):
        moved = place_before[best.node_id] - place
        print(f"{place + 1}. {first.node_id:34} {best.node_id:34} {best.score:.3f}  {moved:+5}")


def main() -> None:
    """Ask the questions, and print what reranking changed and what the LLM was given."""
    reranker = ZeloRerank(model="zelo-nano", top_n=3)
    # reranker = ZeloRerank(model="zerank-2", top_n=3)  # for quality: 8 GB, fetched once
    # reranker = ZeloRerank(base_url="http://127.0.0.1:8000", top_n=3)  # what `zelo serve` runs
    llm = MockLLM()
    # llm = Ollama(model="qwen3")  # a real LLM, from llama_index.llms.ollama

    docs = PythonDocs()
    engine = RetrieverQueryEngine.from_args(docs, llm=llm, node_postprocessors=[reranker])
    for question in QUESTIONS:
        response = engine.query(question)
        show(question, before=docs.retrieve(question), after=response.source_nodes)
        answer = textwrap.shorten(str(response), 300)
        print(f"\n{textwrap.fill(answer, 98, initial_indent='= ', subsequent_indent='  ')}")


if __name__ == "__main__":
    main()
