"""What users write, for type checkers: no error where no comment announces one, and one there.

Never run. mypy and pyright also complain of a comment without its error, so a type that takes
what cannot work is found as well as one that refuses what does.
"""

from pathlib import Path
from typing import assert_type

import torch
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from llama_index.core.schema import MetadataMode, NodeWithScore
from llama_index.postprocessor.zelo import ZeloRerank as NodeRerank
from pydantic import SecretStr

from langchain_zelo import RerankRetriever, ZeloCrossEncoder, ZeloRerank
from zelo import RankedDocument, Reranker


def fetch(query: str) -> list[Document]:
    """A first stage."""
    return [Document(query)]


async def in_llama_index(nodes: list[NodeWithScore]) -> list[NodeWithScore]:
    """Options as strings, paths and torch's own objects; what is read back is of one type."""
    rerank = NodeRerank(
        model=Path("models/zerank-2"),
        device=torch.device("cpu"),
        dtype=torch.bfloat16,
        cache_dir=Path("models"),
        metadata_mode="none",
        top_n=None,
        min_score=1,
        long_documents="chunk",
        quantization="int8",
        on_error="keep_order",
        progress=lambda done, total: None,
    )
    assert_type(rerank.model, str)
    assert_type(rerank.cache_dir, str | None)
    assert_type(rerank.device, str | None)
    assert_type(rerank.metadata_mode, MetadataMode)
    rerank.metadata_mode = MetadataMode.LLM
    rerank.metadata_mode = "all"
    rerank.metadata_mode = "some"  # type: ignore[assignment]
    rerank.top_m = 3  # type: ignore[attr-defined]
    NodeRerank(model=3)  # type: ignore[arg-type]
    NodeRerank(metadata_mode="some")  # type: ignore[arg-type]
    NodeRerank(api_key=b"key")  # type: ignore[arg-type]
    NodeRerank(cache_dir=3)  # type: ignore[arg-type]
    NodeRerank(long_documents="drop")  # type: ignore[arg-type]
    NodeRerank(rank_fields=["title"])  # type: ignore[call-arg]
    rerank.postprocess_nodes(nodes, query_str="a query")
    return await rerank.with_options(top_n=2).apostprocess_nodes(nodes, query_str="a query")


async def in_langchain(documents: list[Document]) -> list[Document]:
    """A key in clear or wrapped, servers in any sequence, fields in a list or a tuple."""
    rerank = ZeloRerank(
        base_url=("https://a.example", "https://b.example"),
        api_key="a key",
        timeout=5,
        rank_fields=["title"],
    )
    assert_type(rerank.api_key, SecretStr | None)
    assert_type(rerank.base_url, str | list[str] | None)
    assert_type(rerank.rank_fields, tuple[str, ...] | None)
    rerank.rank_fields = ("title", "year")
    ZeloRerank(base_url="https://a.example", api_key=SecretStr("a key"), rank_fields=("title",))
    ZeloRerank(rank_fields="title")  # type: ignore[arg-type]
    ZeloRerank(rank_fields=[3])  # type: ignore[list-item]
    ZeloRerank(dtype=16)  # type: ignore[arg-type]
    ZeloRerank(base_url=3)  # type: ignore[arg-type]
    ZeloRerank(top_k=3)  # type: ignore[call-arg]
    first_stage = RunnableLambda(fetch)
    chain = {"documents": first_stage, "query": RunnablePassthrough()} | rerank.as_runnable()
    assert_type(chain.invoke("a query"), list[Document])
    retriever = RerankRetriever(base_compressor=rerank, base_retriever=first_stage, k=5)
    RerankRetriever(base_retriever=first_stage, tags=["reranked"], metadata={"stage": 2})
    RerankRetriever(base_retriever=first_stage, top_n=5)  # type: ignore[call-arg]
    RerankRetriever(base_retriever=fetch)  # type: ignore[arg-type]
    await rerank.arerank([{"title": "t", "page": 3}], "a query", rank_fields=["title"], top_n=None)
    rerank.rerank(["a text"], "a query")
    rerank.compress_documents(documents, "a query")
    return await retriever.ainvoke("a query", k=1)


def in_plain_python() -> list[RankedDocument]:
    """The same options on the reranker itself, and pairs as lists or tuples."""
    reranker = Reranker(
        Path("models/zerank-2"),
        device=torch.device("cpu"),
        dtype=torch.float32,
        cache_dir=Path("models"),
    )
    NodeRerank(reranker=reranker, top_n=3)
    ZeloCrossEncoder(model=Path("models"), dtype=torch.float16).score([("a query", "a document")])
    pairs = [["a query", "a document"]]
    assert_type(reranker.predict(pairs), list[float])
    reranker.predict([("a query", "a document")])
    reranker.predict([("a", "query", "and more")])  # type: ignore[list-item]
    reranker.predict(["a query"])  # type: ignore[list-item]
    Reranker(api_key=SecretStr("a key"))  # type: ignore[arg-type]
    Reranker(device=3.0)  # type: ignore[arg-type]
    return reranker.rank("a query", ["a document"])
