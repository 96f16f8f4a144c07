"""Rerank servers of other makers, one per dialect, written from their published schemas.

Each checks a request as strictly as its schema allows, scores it with the model that it was given,
and answers as that server does, sorted where it sorts. Nothing of the client's is used here. A
request that such a server would refuse is refused, and one that has a member which is not in the
schema too, so that nothing is sent in vain.
"""

from typing import Any

from fakes_schema import Endpoint, Kind, Refused, best_first, fits, ranked

__all__ = ["FAKES"]

FRAME = (
    "<|im_start|>system\n",
    "<|im_end|>\n<|im_start|>user\n",
    "<|im_end|>\n<|im_start|>assistant\n",
)
"""What stands around query and document in zerank's prompt."""


def detail(status: int, message: str) -> Any:
    """The vendor's errors, and FastAPI's."""
    return {"detail": message}


def models(owner: str, **more: Any) -> dict[str, Any]:
    """OpenAI's list of models."""
    model = {"id": "zerank-2", "object": "model", "created": 1, "owned_by": owner} | more
    return {"object": "list", "data": [model]}


QUERY_AND_DOCUMENTS: dict[str, Any] = {"query": str, "documents": [str]}

ZEROENTROPY = Endpoint(
    {"model": str} | QUERY_AND_DOCUMENTS,
    {"top_n": (int, None), "latency": (str, None)},
    lambda body, values: {
        "results": ranked(values),
        "total_bytes": sum(150 + len(text.encode()) for text in body["documents"]),
        "total_tokens": 10 * len(values),
        "actual_latency_mode": "fast",
        "e2e_latency": 0.25,
        "inference_latency": 0.125,
    },
)
COHERE_V1 = Endpoint(
    {"query": str, "documents": [(str, dict)]},
    {
        "model": str,
        "top_n": int,
        "rank_fields": [str],
        "return_documents": bool,
        "max_chunks_per_doc": int,
    },
    lambda body, values: {
        "id": "5f1b",
        "results": ranked(values),
        "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}},
    },
)
COHERE_V2 = Endpoint(
    {"model": str} | QUERY_AND_DOCUMENTS,
    {"top_n": int, "max_tokens_per_doc": int, "priority": int},
    lambda body, values: {
        "id": "5f1b",
        "results": ranked(values),
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    },
)
JINA = Endpoint(
    {"model": str} | QUERY_AND_DOCUMENTS,
    {"top_n": int, "return_documents": bool, "truncation": bool},
    lambda body, values: {
        "model": body["model"],
        "usage": {"total_tokens": 10 * len(values)},
        "results": ranked(values),
    },
)
VOYAGE = Endpoint(
    {"model": str} | QUERY_AND_DOCUMENTS,
    {"top_k": (int, None), "return_documents": bool, "truncation": bool},
    lambda body, values: {
        "object": "list",
        "data": ranked(values),
        "model": body["model"],
        "usage": {"total_tokens": 10 * len(values)},
    },
    limit=1000,
)
VLLM_USAGE = {"prompt_tokens": 10, "total_tokens": 10}
VLLM_RERANK = Endpoint(
    QUERY_AND_DOCUMENTS,
    {
        "model": (str, None),
        "top_n": int,
        "user": str,
        "instruction": (str, None),
        "max_tokens_per_query": int,
        "max_tokens_per_doc": int,
        "use_activation": bool,
        "truncate_prompt_tokens": int,
        "truncation_side": str,
        "priority": int,
    },
    lambda body, values: {
        "id": "rerank-1",
        "model": "zerank-2",
        "usage": VLLM_USAGE,
        "results": ranked(
            values, document=lambda i: {"text": body["documents"][i], "multi_modal": None}
        ),
    },
)
VLLM_SCORE = Endpoint(
    {"text_1": str, "text_2": [str]},
    {"model": (str, None), "use_activation": bool, "truncate_prompt_tokens": int},
    lambda body, values: {
        "id": "score-1",
        "object": "list",
        "created": 1,
        "model": "zerank-2",
        "data": [{"index": i, "object": "score", "score": value} for i, value in enumerate(values)],
        "usage": VLLM_USAGE,
    },
    texts="text_2",
    query="text_1",
)
TEI = Endpoint(
    {"query": str, "texts": [str]},
    {
        "truncate": (bool, None),
        "truncation_direction": str,
        "raw_scores": bool,
        "return_text": bool,
    },
    lambda body, values: [{"index": i, "score": values[i]} for i in best_first(values)],
    texts="texts",
    limit=32,
)
INFINITY = Endpoint(
    QUERY_AND_DOCUMENTS,
    {"return_documents": bool, "raw_scores": bool, "model": str, "top_n": int},
    lambda body, values: {
        "object": "rerank",
        "results": ranked(values),
        "model": body["model"],
        "usage": VLLM_USAGE,
        "id": "infinity-1",
        "created": 1,
    },
    limit=2048,
    ignored=("texts",),
)
LLAMA_CPP = Endpoint(  # an older build's, which answers in input order
    QUERY_AND_DOCUMENTS,
    {"model": str, "top_n": int},
    lambda body, values: {
        "model": "zerank-2",
        "object": "list",
        "usage": VLLM_USAGE,
        "results": [{"index": i, "relevance_score": value} for i, value in enumerate(values)],
    },
)
SGLANG = Endpoint(
    QUERY_AND_DOCUMENTS,
    {"instruct": str, "top_n": int},
    lambda body, values: [
        {"score": values[i], "document": body["documents"][i], "index": i, "meta_info": {"id": "1"}}
        for i in best_first(values)
    ],
)
LITELLM = Endpoint(
    {"model": str} | QUERY_AND_DOCUMENTS,
    {"top_n": int, "rank_fields": [str], "return_documents": bool, "max_tokens_per_doc": int},
    lambda body, values: {
        "id": "litellm-1",
        "results": ranked(values),
        "meta": {"billed_units": {"total_tokens": 10}, "tokens": {"input_tokens": 10}},
    },
)
GATEWAY = Endpoint(
    {"model": str} | QUERY_AND_DOCUMENTS,
    {"top_n": int, "return_documents": bool},
    lambda body, values: {"results": ranked(values)},
)


class _Predict(Endpoint):
    """Baseten's predict: it reads whole prompts, so it takes them apart to score them."""

    def read(self, body: Any) -> tuple[str, list[str]]:
        if set(body) - {"inputs", "raw_scores", "truncate", "truncation_direction"}:
            raise Refused(422, "an unknown member")
        if not fits(body["inputs"], [[str]]) or any(len(one) != 1 for one in body["inputs"]):
            raise Refused(422, "inputs are not prompts")
        if body.get("raw_scores") is not True or body.get("truncate") is not False:
            raise Refused(422, "the raw scores of whole prompts were expected")
        parts = [_unframed(prompt) for (prompt,) in body["inputs"]]
        if len({query for query, _ in parts}) != 1:
            raise Refused(422, "prompts of different queries")
        return parts[0][0], [document for _, document in parts]


def _unframed(prompt: str) -> tuple[str, str]:
    """Return query and document of a zerank prompt."""
    start, middle, end = FRAME
    if not (prompt.startswith(start) and prompt.endswith(end) and prompt.count(middle) == 1):
        raise Refused(400, "no zerank prompt")
    query, _, document = prompt.removeprefix(start).removesuffix(end).partition(middle)
    return query, document


BASETEN = _Predict({}, {}, lambda body, values: [[{"label": "Yes", "score": v}] for v in values])


def _openai_error(status: int, message: str) -> Any:
    return {"error": {"message": message, "type": "BadRequestError", "code": status}}


def _message(status: int, message: str) -> Any:
    return {"message": message}


def _typed_error(status: int, message: str) -> Any:
    return {"error": message, "error_type": "Validation"}


TEI_INFO = {
    "model_id": "zerank-2",
    "model_sha": None,
    "model_dtype": "float16",
    "model_type": {"reranker": {"id2label": {"0": "Yes"}, "label2id": {"Yes": 0}}},
    "max_concurrent_requests": 512,
    "max_input_length": 8192,
    "max_batch_tokens": 16384,
    "max_client_batch_size": 32,
    "auto_truncate": True,
    "version": "1.9.3",
}
COHERE_MODELS = {"models": [{"name": "rerank-v3.5", "endpoints": ["rerank"]}]}
VLLM_PATHS = {"/rerank": VLLM_RERANK, "/v1/rerank": VLLM_RERANK, "/v2/rerank": VLLM_RERANK}
VLLM_PATHS |= {"/score": VLLM_SCORE, "/v1/score": VLLM_SCORE}
VLLM_MODELS = {"/v1/models": models("vllm", root="zerank-2", max_model_len=8192)}
LLAMA_CPP_PATHS = ("/rerank", "/reranking", "/v1/rerank", "/v1/reranking")
LITELLM_PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")

FAKES: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("zeroentropy", {"/v1/models/rerank": ZEROENTROPY}, detail),
        Kind("cohere-v1", {"/v1/rerank": COHERE_V1}, _message, {"/v1/models": COHERE_MODELS}),
        Kind("cohere-v2", {"/v2/rerank": COHERE_V2}, _message, {"/v1/models": COHERE_MODELS}),
        Kind("jina", {"/v1/rerank": JINA}, detail),
        Kind("voyage", {"/v1/rerank": VOYAGE}, detail),
        Kind("vllm", VLLM_PATHS, _openai_error, VLLM_MODELS),
        Kind("vllm-score", VLLM_PATHS, _openai_error, VLLM_MODELS),
        Kind("tei", {"/rerank": TEI}, _typed_error, {"/info": TEI_INFO}, most_bytes=2_000_000),
        Kind("infinity", {"/rerank": INFINITY}, detail, {"/models": models("infinity")}),
        Kind(
            "llama.cpp",
            dict.fromkeys(LLAMA_CPP_PATHS, LLAMA_CPP),
            _openai_error,
            {"/v1/models": models("llamacpp", meta={"n_params": 1}) | {"models": []}},
        ),
        Kind("sglang", {"/v1/rerank": SGLANG}, _openai_error, {"/v1/models": models("sglang")}),
        Kind(
            "litellm",
            dict.fromkeys(LITELLM_PATHS, LITELLM),
            _openai_error,
            {"/v1/models": models("openai")},
        ),
        Kind("baseten", {"/predict": BASETEN}, _typed_error, scheme="Api-Key"),
        Kind("gateway", {"/v1/rerank": GATEWAY}, detail),
    )
}
