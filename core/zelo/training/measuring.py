"""nDCG@10 of a model in training: BM25's candidates, reranked. For choosing, on development sets.

It is quick rather than complete: evenly spaced queries whose relevant document BM25 found, few
candidates, cut documents. Report figures with `python -m zelo.training.report` instead.
"""

import copy
import dataclasses

import torch
from transformers import Qwen3ForCausalLM

from zelo.evaluation.measures import Run, evaluate, mean
from zelo.local.prompt import PromptEncoder
from zelo.retrieval.bm25 import BM25
from zelo.training.batches import Group, encode_groups
from zelo.training.collections import Collection
from zelo.training.loop import last_logits


@dataclasses.dataclass(frozen=True, slots=True)
class Candidates:
    """Per query id: the query and its first-stage documents, best first."""

    collection: Collection
    ranked: dict[str, list[str]]


def first_stage(
    collection: Collection, *, queries: int, depth: int, only_found: bool = False
) -> Candidates:
    """BM25's top `depth` for at most `queries` evenly spaced queries.

    `only_found` keeps to queries with a relevant document among the candidates; on the others a
    reranker can change nothing.
    """
    doc_ids = list(collection.documents)
    index = BM25([collection.documents[doc_id] for doc_id in doc_ids])
    chosen = _evenly(list(collection.queries), len(collection.queries) if only_found else queries)
    found = index.search_many([collection.queries[query_id] for query_id in chosen], depth)
    ranked = {
        query_id: [doc_ids[candidate.index] for candidate in candidates]
        for query_id, candidates in zip(chosen, found, strict=True)
    }
    if only_found:
        hits = [q for q, docs in ranked.items() if collection.qrels[q].keys() & set(docs)]
        ranked = {query_id: ranked[query_id] for query_id in _evenly(hits, queries)}
    return Candidates(collection, ranked)


def rerank(
    model: Qwen3ForCausalLM,
    encoder: PromptEncoder,
    candidates: Candidates,
    *,
    max_document_tokens: int,
) -> Run:
    """Raw logits of all candidates, in the model's own dtype."""
    run: dict[str, dict[str, float]] = {}
    collection = candidates.collection
    with torch.inference_mode():
        for query_id, doc_ids in candidates.ranked.items():
            texts = tuple(collection.documents[doc_id] for doc_id in doc_ids)
            group = Group(collection.queries[query_id], texts)
            sequences = encode_groups([group], encoder, max_document_tokens)
            logits = last_logits(model, sequences, encoder.positive_id)
            run[query_id] = dict(zip(doc_ids, logits.tolist(), strict=True))
    return run


def quality(model: Qwen3ForCausalLM, encoder: PromptEncoder, candidates: Candidates) -> float:
    """Mean nDCG@10 with documents cut at 160 tokens, computed in bfloat16 for speed."""
    copied = copy.deepcopy(model).bfloat16()
    run = rerank(copied, encoder, candidates, max_document_tokens=160)
    qrels = {query_id: candidates.collection.qrels[query_id] for query_id in run}
    return mean(evaluate(run, qrels))


def _evenly(items: list[str], count: int) -> list[str]:
    step = max(1.0, len(items) / count)
    return [items[int(place * step)] for place in range(min(count, len(items)))]
