"""What every foreign client is asked, and how its answers are judged.

Standard library only: each client runs in an environment of its own, without zelo.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Case", "read_case"]

TOLERANCE = 1e-6
"""Between a score over HTTP and the in-process one: what sharing a forward pass may change in
float32. JSON itself carries every digit."""


class Case:
    """A query with its documents, the scores of the in-process reranker, and where to ask."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.address: str = content["address"]
        self.key: str = content["key"]
        self.model: str = content["model"]
        self.query: str = content["query"]
        self.documents: list[str] = content["documents"]
        self.scores: list[float] = content["scores"]
        """Probabilities in the documents' order."""
        self.order: list[int] = content["order"]
        """The documents' positions, best first."""

    def check(self, how: str, found: Sequence[tuple[int, float]], top_n: int | None = None) -> None:
        """Fail unless (index, score) are the best so many, in order, with the right scores."""
        wanted = [(index, self.scores[index]) for index in self.order[:top_n]]
        if [index for index, _ in found] != [index for index, _ in wanted]:
            raise SystemExit(f"{how}: order {[i for i, _ in found]}, expected {self.order[:top_n]}")
        off = max(abs(ours - theirs) for (_, ours), (_, theirs) in zip(wanted, found, strict=True))
        if not off <= TOLERANCE:
            raise SystemExit(f"{how}: a score is off by {off}")
        tell(f"  {how}: {len(found)} documents in order, scores within {off:.0e}")

    def check_refusal(
        self, what: str, call: Callable[[], object], kind: type[Exception], said: str
    ) -> None:
        """Fail unless the call raises this kind of error, with what the server said in it."""
        try:
            answer = call()
        except kind as error:
            shown = " ".join(f"{type(error).__module__}.{type(error).__name__}: {error}".split())
            if said not in shown:
                raise SystemExit(f"{what}: {said!r} is not in {shown}") from None
            if self.key in shown:
                raise SystemExit(f"{what}: the error holds the key") from None
            tell(f"  {what}: {shown if len(shown) < 240 else shown[:80] + ' ... ' + shown[-150:]}")
        else:
            raise SystemExit(f"{what}: no error, but {answer}")


def tell(line: str) -> None:
    """Write a line of the job's output."""
    sys.stdout.write(line + "\n")


def read_case() -> Case:
    """Return the case that the job has written for this script."""
    return Case(json.loads(Path(os.environ["ZELO_FOREIGN_CASE"]).read_text(encoding="utf-8")))
