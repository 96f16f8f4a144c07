"""Rerank servers that make a known mistake on purpose, each written as people write them.

A tiny causal model is run by stock transformers on strings that are put together here, so nothing
of zelo's own prompts, heads or scales is used. `serving` puts a way of scoring behind a dialect,
on a free port of the loopback.
"""

import json
import math
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from tokenizers import Tokenizer
from transformers import Qwen3ForCausalLM

Scoring = Callable[[str, Sequence[str]], list[float]]
FRAME = "<|im_start|>system\n{q}<|im_end|>\n<|im_start|>user\n{d}<|im_end|>\n"
HEADER = "<|im_start|>assistant\n"
QWEN3_RERANKER = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
    "answer the query\n<Query>: {q}\n<Document>: {d}<|im_end|>\n<|im_start|>assistant\n"
    "<think>\n\n</think>\n\n"
)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


class Refused(Exception):
    """A way of scoring does not take a request."""


class Model:
    """A causal language model that is told everything: prompt, tokens, truncation."""

    def __init__(self, folder: Path) -> None:
        self._model: Any = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        generator = torch.Generator().manual_seed(3)
        self._random_head = torch.randn(self._model.config.hidden_size, generator=generator)

    def count(self, prompt: str) -> int:
        """Return a prompt's tokens."""
        return len(self._ids(prompt))

    @torch.inference_mode()
    def logit(
        self,
        prompt: str,
        answer: str = "Yes",
        first: int | None = None,
        last: int | None = None,
    ) -> float:
        """Return a token's logit behind a prompt that may lose its end or its beginning."""
        ids = self._ids(prompt)[:first]
        ids = ids[-last:] if last else ids
        logits = self._model(torch.tensor([ids])).logits[0, -1]
        return float(logits[self._tokenizer.token_to_id(answer)])

    @torch.inference_mode()
    def random(self, prompt: str) -> float:
        """Return what a head of random numbers makes of the last hidden state."""
        hidden = self._model.model(torch.tensor([self._ids(prompt)])).last_hidden_state[0, -1]
        return float(hidden @ self._random_head) / 8

    def _ids(self, prompt: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(prompt, add_special_tokens=False).ids
        return ids


def each(score: Callable[[str, str], float]) -> Scoring:
    """Score a query's documents one by one."""
    return lambda query, documents: [score(query, document) for document in documents]


def scorings(model: Model) -> dict[str, Scoring]:
    """Return ways of scoring by name: the right one, and each mistake."""

    def prompt(query: str, document: str) -> str:
        return FRAME.format(q=query, d=document) + HEADER

    def raw(query: str, document: str) -> float:
        return model.logit(prompt(query, document))

    def right(query: str, document: str) -> float:
        return sigmoid(raw(query, document) / 5)

    def yes_no(text: str) -> float:
        return sigmoid(model.logit(text, "yes") - model.logit(text, "no"))

    def in_order(key: Callable[[str, float], float]) -> Scoring:
        def score(query: str, documents: Sequence[str]) -> list[float]:
            found = [(document, right(query, document)) for document in documents]
            return [score for _, score in sorted(found, key=lambda pair: -key(*pair))]

        return score

    return {
        "right": each(right),
        "no template": each(lambda q, d: sigmoid(model.logit(q + d) / 5)),
        "no template, space between": each(lambda q, d: sigmoid(model.logit(f"{q} {d}") / 5)),
        "no template, raw logits": each(lambda q, d: model.logit(q + d)),
        "no header": each(lambda q, d: sigmoid(model.logit(FRAME.format(q=q, d=d)) / 5)),
        "think block": each(
            lambda q, d: sigmoid(model.logit(prompt(q, d) + "<think>\n\n</think>\n\n") / 5)
        ),
        "random head": each(lambda q, d: sigmoid(model.random(prompt(q, d)))),
        "no head": each(lambda q, d: 1e-20),
        "raw logits": each(raw),
        "fifth": each(lambda q, d: raw(q, d) / 5),
        "double sigmoid": each(lambda q, d: sigmoid(right(q, d))),
        "wrong divisor": each(lambda q, d: sigmoid(raw(q, d))),
        "divided twice": each(lambda q, d: sigmoid(raw(q, d) / 25)),
        "qwen3 recipe": each(lambda q, d: yes_no(QWEN3_RERANKER.format(q=q, d=d))),
        "qwen3 tokens": each(lambda q, d: yes_no(prompt(q, d))),
        "qwen3 prompt": each(
            lambda q, d: sigmoid(model.logit(QWEN3_RERANKER.format(q=q, d=d)) / 5)
        ),
        "suffix cut": each(lambda q, d: sigmoid(model.logit(prompt(q, d), first=512) / 5)),
        "beginning cut": each(lambda q, d: sigmoid(model.logit(prompt(q, d), last=512) / 5)),
        "sorted by score": in_order(lambda document, score: score),
        "sorted by length": in_order(lambda document, score: len(document)),
        "four bits": each(lambda q, d: right(q, d) + 0.05 * math.sin(len(q) * len(d))),
    }


def cut_document(model: Model, words: int) -> Callable[[str, str], float]:
    """Return a right way of scoring that reads a document's first words only."""

    def score(query: str, document: str) -> float:
        kept = " ".join(document.split(" ")[:words])
        return sigmoid(model.logit(FRAME.format(q=query, d=kept) + HEADER) / 5)

    return score


def witness_once() -> Callable[..., Any]:
    """Return zelo's witness for folders that stay as they are, each asked once for all tests."""
    from zelo.doctor.witness import Testimony, testify

    known: dict[tuple[Path, int], Testimony] = {}

    def asked(checkpoint: Any, pairs: Sequence[Any], device: torch.device) -> Testimony:
        key = checkpoint.files.folder, len(pairs)
        if key not in known:
            known[key] = testify(checkpoint, pairs, device)
        return known[key]

    return asked


@contextmanager
def serving(
    scoring: Scoring,
    dialect: str,
    key: str | None = None,
    count: Callable[[str, Sequence[str]], int] = lambda query, documents: 1,
) -> Iterator[str]:
    """Serve a way of scoring in a dialect, and give the server's address."""
    app = FastAPI()

    @app.get("/v1/models")
    def models() -> Any:
        owner = {"vllm": "vllm", "llama.cpp": "llamacpp"}.get(dialect, "somebody")
        return {"data": [{"id": "tiny", "owned_by": owner}]}

    @app.get("/info")
    def info() -> Any:
        told = {"model_id": "tiny", "max_client_batch_size": 32}
        return told if dialect == "tei" else JSONResponse({}, 404)

    @app.post(PATHS.get(dialect, AMBIGUOUS))
    async def rerank(request: Request) -> Any:
        if key is not None and request.headers.get("authorization") != f"Bearer {key}":
            return JSONResponse({"error": "unauthorized"}, 401)
        asked = await request.json()
        documents = asked["texts"] if dialect == "tei" else asked["documents"]
        try:
            numbers = scoring(asked["query"], documents)
        except Refused:
            return JSONResponse({"error": "too long"}, 400)
        # as Python's own json writes it, NaN included
        tokens = count(asked["query"], documents)
        written = json.dumps(answer(dialect, numbers, documents, tokens))
        return Response(written, media_type="application/json")

    with running(app) as address:
        yield address


@contextmanager
def running(app: Any) -> Iterator[str]:
    """Run an application on the loopback, in a thread, and give its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


PATHS = {
    "vllm": "/rerank",
    "tei": "/rerank",
    "llama.cpp": "/v1/rerank",
    "gateway": "/v1/rerank",
}
AMBIGUOUS = "/v1/rerank"  # an answer that either version of Cohere's API could give


def answer(
    dialect: str, numbers: Sequence[float], documents: Sequence[str], tokens: int = 1
) -> Any:
    """Return a dialect's answer, best first as all of them send it."""
    found: list[dict[str, Any]] = [
        {"index": i, "relevance_score": number} for i, number in enumerate(numbers)
    ]
    found.sort(key=lambda result: -result["relevance_score"])
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    if dialect == "tei":
        return [{"index": r["index"], "score": r["relevance_score"]} for r in found]
    if dialect == "vllm":
        results = [r | {"document": {"text": documents[r["index"]]}} for r in found]
        return {"id": "rerank-1", "model": "tiny", "usage": usage, "results": results}
    if dialect == "llama.cpp":
        return {"model": "tiny", "object": "list", "usage": usage, "results": found}
    if dialect == "ambiguous":
        return {"id": "1", "results": found, "meta": {"api_version": {}}}
    return {"results": found}
