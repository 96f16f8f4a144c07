"""Measure a folder: `python -m zelo.training.report --model DIR --data DIR`.

Per evaluation collection, nDCG@10 of BM25's top 100 in random order, in BM25's and in the model's,
for the same evenly spaced queries, with a paired test of the model against either. Title and text
are joined for all three. A query whose document BM25 did not find counts 0 for all three.
"""

import argparse
import pathlib
import random
import sys
from typing import NamedTuple

import torch
from transformers import Qwen3ForCausalLM

from zelo.evaluation.measures import Run, evaluate, mean, paired_test
from zelo.families import FAMILIES
from zelo.local.prompt import PromptEncoder
from zelo.training.collections import read_collection
from zelo.training.measuring import Candidates, first_stage, rerank

EVALUATION_SETS = (
    ("scifact-mini", "test"),
    ("scifact", "test"),
    ("cosqa", "test"),
    ("contractnli", "test"),
    ("tatqa", "test"),
)
RANDOM_ORDERS = 20


class Line(NamedTuple):
    """Figures of one collection; p-values are of the model against random order and BM25."""

    name: str
    queries: int
    recall: float
    random: float
    bm25: float
    model: float
    p_random: float
    p_bm25: float


def measure(
    name: str, candidates: Candidates, model: Qwen3ForCausalLM, encoder: PromptEncoder, tokens: int
) -> Line:
    """Rerank one collection's candidates, documents cut at `tokens`, and compare the orders."""
    ranked = candidates.ranked
    qrels = {query_id: candidates.collection.qrels[query_id] for query_id in ranked}
    bm25: Run = {q: {d: -float(r) for r, d in enumerate(docs)} for q, docs in ranked.items()}
    model_run = rerank(model, encoder, candidates, max_document_tokens=tokens)
    generator = random.Random(0)  # noqa: S311 - reproducible, not secret
    shuffled = [
        evaluate({q: {d: generator.random() for d in docs} for q, docs in ranked.items()}, qrels)
        for _ in range(RANDOM_ORDERS)
    ]
    chance = {q: sum(values[q] for values in shuffled) / RANDOM_ORDERS for q in qrels}
    first, own = evaluate(bm25, qrels), evaluate(model_run, qrels)
    pairs = [[own[q] for q in qrels], [chance[q] for q in qrels], [first[q] for q in qrels]]
    return Line(
        name,
        len(qrels),
        mean(evaluate(bm25, qrels, "R@100")),
        mean(chance),
        mean(first),
        mean(own),
        paired_test(pairs[0], pairs[1]).p_value,
        paired_test(pairs[0], pairs[2]).p_value,
    )


def main() -> None:
    """Read the command line, measure, and write a Markdown table."""
    parser = argparse.ArgumentParser(description="nDCG@10 of random order, BM25 and the model")
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--queries", type=int, default=200, help="per collection, evenly spaced")
    parser.add_argument("--document-tokens", type=int, default=512)
    parser.add_argument("--only", choices=[name for name, _ in EVALUATION_SETS])
    arguments = parser.parse_args()
    model = Qwen3ForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    tokenizer_json = (arguments.model / "tokenizer.json").read_text(encoding="utf-8")
    encoder = PromptEncoder(tokenizer_json, FAMILIES["zelo"])
    write = sys.stdout.write
    write("| collection | queries | R@100 | random | BM25 | BM25 + model | p random | p BM25 |\n")
    write("|---|---|---|---|---|---|---|---|\n")
    for name, split in EVALUATION_SETS:
        if arguments.only not in (None, name):
            continue
        collection = read_collection(arguments.data / name, split)
        candidates = first_stage(collection, queries=arguments.queries, depth=100)
        line = measure(name, candidates, model, encoder, arguments.document_tokens)
        numbers = " | ".join(f"{value:.3f}" for value in line[2:6])
        write(f"| {name} {split} | {line.queries} | {numbers} | ")
        write(f"{line.p_random:.1g} | {line.p_bm25:.1g} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
