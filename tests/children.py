"""What child processes of the tests run; a spawned child imports this module by name."""

from multiprocessing.queues import Queue
from typing import Any

from zelo import Reranker

QUERY = "how is the water of the river"
DOCUMENTS = [f"the water of bridge {i} is cold " * (1 + i % 5) for i in range(12)]


def score(reranker: Reranker, results: "Queue[Any]") -> None:
    """Send the scores of a reranker that travelled here."""
    results.put(reranker.score(QUERY, DOCUMENTS[:2]))


def rank(face: str, adapter: Any, results: "Queue[Any]") -> None:
    """Send the order and scores of a framework's adapter, by the name of its face."""
    from framework_kit import FACES

    (found,) = [known for known in FACES if known.name == face]
    answer = found.rank(adapter, QUERY, DOCUMENTS)
    adapter.close()
    results.put([(one.index, one.score) for one in answer])
