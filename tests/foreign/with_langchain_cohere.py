"""LangChain's CohereRerank."""
# requires: langchain-cohere==0.6.0

import asyncio

import cohere
from case import read_case
from langchain_cohere import CohereRerank
from langchain_core.documents import Document

case = read_case()
documents = [Document(text, metadata={"index": i}) for i, text in enumerate(case.documents)]


def reranker(**changed: object) -> CohereRerank:
    options = {"model": case.model, "cohere_api_key": case.key, "base_url": case.address}
    return CohereRerank(**options | {"top_n": len(documents)} | changed)


def ranked(found: list[Document]) -> list[tuple[int, float]]:
    return [(one.metadata["index"], one.metadata["relevance_score"]) for one in found]


case.check("compress_documents", ranked(reranker().compress_documents(documents, case.query)))
found = reranker(top_n=2).compress_documents(documents, case.query)
case.check("compress_documents, top_n=2", ranked(found), top_n=2)
found = asyncio.run(reranker().acompress_documents(documents, case.query))
case.check("acompress_documents", ranked(found))
results = reranker().rerank(case.documents, case.query, max_tokens_per_doc=4_000)
case.check("rerank", [(result["index"], result["relevance_score"]) for result in results])
case.check_refusal(
    "wrong model",
    lambda: reranker(model="rerank-v0").compress_documents(documents, case.query),
    cohere.NotFoundError,
    case.model,
)
case.check_refusal(
    "wrong key",
    lambda: reranker(cohere_api_key="wrong").compress_documents(documents, case.query),
    cohere.UnauthorizedError,
    "API key",
)
