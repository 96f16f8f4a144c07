"""Forty users ask at once; their calls are merged into a few forward passes.

This is what happens inside an asynchronous web service. `stats()` shows the merging.
"""

import asyncio

from zelo import Reranker

QUESTIONS = [
    "which function deletes a file?",
    "how can I sort a list?",
    "read lines from a csv file",
    "wait for some seconds",
]
PASSAGES = [
    "os.remove(path) deletes the file path.",
    "sorted(iterable) returns a new list with the items of iterable in ascending order.",
    "csv.reader(file) returns an object that iterates over the lines of a CSV file.",
    "time.sleep(seconds) suspends the calling thread for the given number of seconds.",
]


async def main() -> None:
    """Ask everything concurrently, print each question's best passage and the counters."""
    with Reranker("zelo-nano") as reranker:
        await asyncio.to_thread(reranker.warmup)
        before = reranker.stats()
        rankings = await asyncio.gather(
            *(reranker.arank(question, PASSAGES, top_n=1) for question in QUESTIONS * 10)
        )
        for question, ranking in zip(QUESTIONS, rankings, strict=False):
            print(f"{question:32} {ranking[0].document}")
        after = reranker.stats()
        calls, packs = after.calls - before.calls, after.packs - before.packs
        print(f"\n{calls} calls were answered in {packs} forward passes")


if __name__ == "__main__":
    asyncio.run(main())
