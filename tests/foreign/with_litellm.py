"""LiteLLM as a client, by the providers whose address can be given: Cohere, vLLM, Jina."""
# requires: litellm==1.106.2

import asyncio
import logging
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches one when it is imported

import litellm
from case import read_case

case = read_case()
litellm.telemetry = False
litellm.suppress_debug_info = True
logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
PROVIDERS = {"cohere": "/v1/rerank", "hosted_vllm": "", "jina_ai": "/v1/rerank"}


def options(provider: str, path: str, **changed: object) -> dict[str, object]:
    asked = {"query": case.query, "documents": case.documents, "top_n": len(case.documents)}
    where = {"api_base": case.address + path, "api_key": case.key, "num_retries": 0}
    return {"model": f"{provider}/{case.model}", **asked, **where} | changed


def ranked(answer: object) -> list[tuple[int, float]]:
    return [(result["index"], result["relevance_score"]) for result in answer.results]


for provider, path in PROVIDERS.items():
    case.check(provider, ranked(litellm.rerank(**options(provider, path))))
    answer = litellm.rerank(**options(provider, path, top_n=2))
    case.check(f"{provider}, top_n=2", ranked(answer), top_n=2)
    answer = asyncio.run(litellm.arerank(**options(provider, path)))
    case.check(f"{provider}, arerank", ranked(answer))
    for what, wrong, kind, said in (
        ("model", {"model": f"{provider}/none"}, litellm.NotFoundError, case.model),
        ("key", {"api_key": "wrong"}, litellm.AuthenticationError, "API key"),
    ):
        case.check_refusal(
            f"{provider}, wrong {what}",
            lambda p=provider, at=path, wrong=wrong: litellm.rerank(**options(p, at, **wrong)),
            kind,
            said,
        )
