"""The vendor's own SDK, with nothing but its base URL changed."""
# requires: zeroentropy==0.1.0a11

import asyncio

import zeroentropy
from case import read_case

case = read_case()
options = {"base_url": f"{case.address}/v1", "api_key": case.key}
asked = {"model": case.model, "query": case.query, "documents": case.documents}


def ranked(answer: object) -> list[tuple[int, float]]:
    return [(result.index, result.relevance_score) for result in answer.results]


client = zeroentropy.ZeroEntropy(**options)
answer = client.models.rerank(**asked)
case.check("ZeroEntropy", ranked(answer))
answer.model_validate(answer.model_dump(), strict=True)  # the SDK itself does not check members
if not (answer.total_bytes > 0 and answer.total_tokens > 0 and answer.e2e_latency > 0):
    raise SystemExit(f"the answer does not say what it cost: {answer}")
for latency in ("fast", "slow"):
    case.check(f"latency={latency}", ranked(client.models.rerank(**asked, latency=latency)))
case.check("top_n=2", ranked(client.models.rerank(**asked, top_n=2)), top_n=2)


async def ask() -> object:
    async with zeroentropy.AsyncZeroEntropy(**options) as client:
        return await client.models.rerank(**asked)


case.check("AsyncZeroEntropy", ranked(asyncio.run(ask())))
case.check_refusal(
    "wrong model",
    lambda: client.models.rerank(**asked | {"model": "zerank-0"}),
    zeroentropy.NotFoundError,
    case.model,
)
case.check_refusal(
    "wrong key",
    lambda: client.copy(api_key="wrong").models.rerank(**asked),
    zeroentropy.AuthenticationError,
    "API key",
)
