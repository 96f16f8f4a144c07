"""LlamaIndex's TextEmbeddingInference reranker."""
# requires: llama-index-postprocessor-tei-rerank==0.6.0

import asyncio

from case import read_case
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

case = read_case()


def nodes() -> list[NodeWithScore]:
    """Return new nodes: this reranker writes its scores into those that it is given."""
    return [NodeWithScore(node=TextNode(text=t, id_=f"{i}")) for i, t in enumerate(case.documents)]


def reranker(**changed: object) -> TextEmbeddingInference:
    options = {"base_url": case.address, "auth_token": f"Bearer {case.key}"}
    return TextEmbeddingInference(**options | {"top_n": len(case.documents)} | changed)


def ranked(found: list[NodeWithScore]) -> list[tuple[int, float]]:
    return [(int(one.node.node_id), one.score) for one in found]


case.check("postprocess_nodes", ranked(reranker().postprocess_nodes(nodes(), query_str=case.query)))
found = reranker(top_n=2).postprocess_nodes(nodes(), query_str=case.query)
case.check("postprocess_nodes, top_n=2", ranked(found), top_n=2)
found = asyncio.run(reranker().apostprocess_nodes(nodes(), query_str=case.query))
case.check("apostprocess_nodes", ranked(found))
case.check_refusal(  # it looks at no status: what it says is that one error is not six scores
    "wrong key",
    lambda: reranker(auth_token="Bearer wrong").postprocess_nodes(nodes(), query_str=case.query),  # noqa: S106
    AssertionError,
    "",
)
