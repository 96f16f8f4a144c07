"""Does reranking help behind a retriever of your own? Measured, not guessed.

Evaluates a LangChain retriever over Python's documentation, alone and with zelo behind it, on
questions whose answers are known. Prints the tables of `zelo evaluate`. Needs no network, no
account and no GPU.

    pip install -c tests/constraints.txt -e ".[examples]"
    python examples/evaluate_retriever.py
"""

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from rich.console import Console

from zelo import Reranker
from zelo.corpora import Collection
from zelo.evaluation import Oracle, Pointwise, System, evaluate, summarise
from zelo.evaluation.reporting import rendered
from zelo.retrieval import BM25, FunctionStage
from zelo.retrieval.python_docs import python_docs

# What you know to be right: per question, the documents that answer it.
ANSWERS = {
    "make a temporary directory": ["tempfile.mkdtemp", "tempfile.TemporaryDirectory"],
    "generate a secure random token": ["secrets.token_urlsafe", "secrets.token_hex"],
    "get the current working directory": ["os.getcwd", "pathlib.Path.cwd"],
    "wrap long lines of text": ["textwrap.fill", "textwrap.wrap"],
    "read json from a file": ["json.load"],
    "copy a whole folder": ["shutil.copytree"],
    "delete a folder and everything in it": ["shutil.rmtree"],
    "parse a date from a string": ["datetime.datetime.strptime", "time.strptime"],
    "compare two lists of lines": ["difflib.unified_diff"],
    "run a command and wait for it": ["subprocess.run"],
    "escape characters in html": ["html.escape"],
    "remember the results of a function": ["functools.lru_cache", "functools.cache"],
    "all files in a folder and its subfolders": ["os.walk", "glob.glob"],
    "the size of a file": ["os.path.getsize"],
    "smallest numbers of a list": ["heapq.nsmallest"],
    "unpack an archive": ["shutil.unpack_archive", "zipfile.ZipFile.extractall"],
}


class MyRetriever(BaseRetriever):
    """Yours in place of this one: any LangChain retriever whose documents have ids."""

    _ids: list[str]
    _index: BM25

    def model_post_init(self, context: Any) -> None:
        docs = python_docs()
        self._ids = [doc.name for doc in docs]
        self._index = BM25([doc.text for doc in docs])

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [Document("", id=self._ids[hit.index]) for hit in self._index.search(query, 50)]


def main() -> None:
    """Compare the retriever alone, with zelo behind it, and with the best order there could be."""
    collection = Collection(
        name="python",
        documents={doc.name: doc.text for doc in python_docs()},
        queries={question: question for question in ANSWERS},
        qrels={question: dict.fromkeys(ids, 1) for question, ids in ANSWERS.items()},
    )
    retriever = MyRetriever()
    mine = FunctionStage("mine", lambda query: [found.id for found in retriever.invoke(query)])
    # For LlamaIndex: [(n.node_id, n.score) for n in index.as_retriever().retrieve(query)]

    with Reranker("zelo-nano") as reranker:  # "zerank-2" for quality
        systems = [
            System("mine", mine),
            System("mine + zelo-nano", mine, Pointwise(reranker)),
            System("mine + oracle", mine, Oracle()),
        ]
        summary = summarise(
            evaluate([collection], systems, depth=50), measures=("nDCG@10", "RR@10")
        )
    Console().print(rendered(summary))


if __name__ == "__main__":
    main()
