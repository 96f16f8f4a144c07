"""Cohere's SDK, both of its clients, blocking and asynchronous."""
# requires: cohere==7.3.1

import asyncio

import cohere
from case import read_case

case = read_case()
options = {"base_url": case.address, "timeout": 60}
asked = {"model": case.model, "query": case.query, "documents": case.documents}


def ranked(answer: object) -> list[tuple[int, float]]:
    return [(result.index, result.relevance_score) for result in answer.results]


for client in (cohere.Client(case.key, **options), cohere.ClientV2(case.key, **options)):
    name = type(client).__name__
    case.check(name, ranked(client.rerank(**asked)))
    case.check(f"{name}, top_n=2", ranked(client.rerank(**asked, top_n=2)), top_n=2)
    case.check_refusal(
        f"{name}, wrong model",
        lambda client=client: client.rerank(**asked | {"model": "rerank-v0"}),
        cohere.NotFoundError,
        case.model,
    )

answer = cohere.Client(case.key, **options).rerank(**asked, return_documents=True)
texts = [result.document.text for result in answer.results]
if texts != [case.documents[index] for index in case.order]:
    raise SystemExit("return_documents: the texts are not those of their indices")
as_objects = asked | {"documents": [{"text": text} for text in case.documents]}
case.check("Client, objects", ranked(cohere.Client(case.key, **options).rerank(**as_objects)))


async def ask() -> object:
    async with cohere.AsyncClientV2(case.key, **options) as client:
        return await client.rerank(**asked)


case.check("AsyncClientV2", ranked(asyncio.run(ask())))
for kind in (cohere.Client, cohere.ClientV2):
    case.check_refusal(
        f"{kind.__name__}, wrong key",
        lambda kind=kind: kind("wrong", **options).rerank(**asked),
        cohere.UnauthorizedError,
        "API key",
    )
