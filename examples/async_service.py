"""A search service that reranks for many users at once, over one loaded model.

Requests that come together are merged into a few forward passes, and none blocks the event loop.
Run as a script, it sends itself the requests of forty users, and no network is needed:

    pip install -c tests/constraints.txt -e ".[examples]"
    python examples/async_service.py

Served, it answers http://127.0.0.1:8000/search?question=list+all+files+in+a+directory :

    pip install -c tests/constraints.txt uvicorn
    uvicorn async_service:app --app-dir examples
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Annotated

import httpx
from fastapi import FastAPI, Query, Request
from llama_index.postprocessor.zelo import ZeloRerank
from llama_index_qa import PythonDocs
from pydantic import BaseModel

# Chosen, like the demo's, because BM25 misses here. zelo-nano is small, and does not always help.
QUESTIONS = (
    "how do I get the current working directory?",
    "how do I get an environment variable?",
    "how do I run a shell command and capture its output?",
    "how do I make a temporary directory?",
    "how do I wrap long lines of text?",
    "how do I decode base64 text?",
    "list all files in a directory",
    "convert a string to a date",
)
USERS_PER_QUESTION = 5


class Passage(BaseModel):
    """One passage found."""

    name: str
    score: float
    moved: int
    """Places that reranking has lifted it."""
    text: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load everything before the first request, and give the model back after the last."""
    reranker = ZeloRerank(model="zelo-nano", top_n=3, max_batch_tokens=8_192)  # several per pass
    # reranker = ZeloRerank(model="zerank-2", top_n=3)  # for quality: 8 GB, fetched once
    # reranker = ZeloRerank(base_url="http://127.0.0.1:8000", top_n=3)  # what `zelo serve` runs
    with closing(reranker):
        await asyncio.to_thread(reranker.warmup)
        app.state.docs, app.state.reranker = PythonDocs(depth=10), reranker
        yield


app = FastAPI(title="Python's documentation, reranked", lifespan=lifespan)


@app.get("/search")
async def search(
    question: Annotated[str, Query(max_length=500)], request: Request
) -> list[Passage]:
    """Find passages with BM25, and return the best of them in zelo's order."""
    found = await request.app.state.docs.aretrieve(question)
    best = await request.app.state.reranker.apostprocess_nodes(found, query_str=question)
    before = {node.node_id: place for place, node in enumerate(found)}
    return [
        Passage(name=n.node_id, score=n.score, moved=before[n.node_id] - place, text=n.text)
        for place, n in enumerate(best)
    ]


async def main() -> None:
    """Send all users' requests at once, and print what reranking changed and what it took."""
    asked = QUESTIONS * USERS_PER_QUESTION
    service = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")
    async with app.router.lifespan_context(app), service:
        earlier = app.state.reranker.stats()
        requests = (service.get("/search", params={"question": question}) for question in asked)
        responses = await asyncio.gather(*requests)
        passes = app.state.reranker.stats().packs - earlier.packs

        print(f"{'question':53} {'first before: BM25':30} first after: zelo (moved)")
        for question, response in zip(QUESTIONS, responses, strict=False):
            first, best = app.state.docs.retrieve(question)[0], response.json()[0]
            print(f"{question:53} {first.node_id:30} {best['name']} ({best['moved']:+})")
        print(f"\n{len(responses)} requests were answered in {passes} forward passes")


if __name__ == "__main__":
    asyncio.run(main())
