"""nDCG@10 of a model in training: BM25's candidates, reranked. For choosing, on development sets.

It is quick rather than complete: evenly spaced queries whose relevant document BM25 found, few
candidates, cut documents. Report figures with `zelo evaluate` instead.
"""

import copy
import dataclasses

import torch
from transformers import Qwen3ForCausalLM

from zelo.collections import Collection
from zelo.collections.collection import evenly
from zelo.evaluation.measures import Run, evaluate, mean
from zelo.local.prompt import PromptEncoder
from zelo.retrieval.bm25 import BM25
from zelo.training.nano.batches import Group, encode_groups
from zelo.training.nano.loop import last_logits

MAX_DOCUMENT_TOKENS = 160


@dataclasses.dataclass(frozen=True, slots=True)
class Candidates:
    """Per query id: the query and its first-stage documents, best first."""

    collection: Collection
    ranked: dict[str, list[str]]


def first_stage(collection: Collection, *, queries: int, depth: int) -> Candidates:
    """BM25's top `depth` for at most `queries` evenly spaced queries that a reranker can help.

    Those are the ones with a relevant document among the candidates.
    """
    doc_ids = list(collection.documents)
    index = BM25([collection.documents[doc_id] for doc_id in doc_ids])
    found = index.search_many(list(collection.queries.values()), depth)
    ranked = {
        query_id: [doc_ids[candidate.index] for candidate in candidates]
        for query_id, candidates in zip(collection.queries, found, strict=True)
    }
    hits = [q for q, docs in ranked.items() if collection.qrels[q].keys() & set(docs)]
    return Candidates(
        collection, {query_id: ranked[query_id] for query_id in evenly(hits, queries)}
    )


def quality(model: Qwen3ForCausalLM, encoder: PromptEncoder, candidates: Candidates) -> float:
    """Mean nDCG@10 with documents cut short, computed in bfloat16 for speed."""
    run = _rerank(copy.deepcopy(model).bfloat16(), encoder, candidates)
    qrels = {query_id: candidates.collection.qrels[query_id] for query_id in run}
    return mean(evaluate(run, qrels))


def _rerank(model: Qwen3ForCausalLM, encoder: PromptEncoder, candidates: Candidates) -> Run:
    """Raw logits of all candidates, in the model's own dtype."""
    run: dict[str, dict[str, float]] = {}
    collection = candidates.collection
    with torch.inference_mode():
        for query_id, doc_ids in candidates.ranked.items():
            texts = tuple(collection.documents[doc_id] for doc_id in doc_ids)
            group = Group(collection.queries[query_id], texts)
            sequences = encode_groups([group], encoder, MAX_DOCUMENT_TOKENS)
            logits = last_logits(model, sequences, encoder.positive_id)
            run[query_id] = dict(zip(doc_ids, logits.tolist(), strict=True))
    return run
