"""LlamaIndex's JinaRerank."""
# requires: llama-index-postprocessor-jinaai-rerank==0.6.0

import asyncio

from case import read_case
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.jinaai_rerank import JinaRerank

case = read_case()
nodes = [NodeWithScore(node=TextNode(text=t, id_=f"{i}")) for i, t in enumerate(case.documents)]


def reranker(**changed: object) -> JinaRerank:
    options = {"model": case.model, "api_key": case.key, "base_url": f"{case.address}/v1"}
    return JinaRerank(**options | {"top_n": len(nodes)} | changed)


def ranked(found: list[NodeWithScore]) -> list[tuple[int, float]]:
    return [(int(one.node.node_id), one.score) for one in found]


case.check("postprocess_nodes", ranked(reranker().postprocess_nodes(nodes, query_str=case.query)))
found = reranker(top_n=2).postprocess_nodes(nodes, query_str=case.query)
case.check("postprocess_nodes, top_n=2", ranked(found), top_n=2)
found = asyncio.run(reranker().apostprocess_nodes(nodes, query_str=case.query))
case.check("apostprocess_nodes", ranked(found))
for what, wrong, said in (
    ("model", {"model": "jina-0"}, case.model),
    ("key", {"api_key": "wrong"}, "API key"),
):
    case.check_refusal(
        f"wrong {what}",
        lambda wrong=wrong: reranker(**wrong).postprocess_nodes(nodes, query_str=case.query),
        RuntimeError,
        said,
    )
