"""Rerankers as systems: whatever `zelo.Reranker` takes, and the three that mark the scale.

Random order is the floor, the oracle the ceiling, and no reranker at all is a system without one.
"""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zelo
from zelo._common.checks import instance_of, positive, text_or_none, true_or_false
from zelo.evaluation.results import ORACLE
from zelo.evaluation.systems import Case, Ordered, Scores
from zelo.local.loading.lora import read_adapter
from zelo.reranker import Reranker
from zelo.scoring.catalog import folder_of

__all__ = ["Oracle", "Pointwise", "RandomOrder"]


WITHOUT_EFFECT = frozenset(
    ("timeout", "max_retries", "cache_dir", "local_files_only", "max_batch_tokens", "allow_http")
)
"""Settings that change how scores are come by, not what they are."""


class Pointwise:
    """A `zelo.Reranker`, local or remote: each document is scored on its own.

    Args:
        reranker: whose scores count.
        name: what tables call it.
        instruction: what counts as relevant, for families that take one.
        concurrency: queries under way at once; default, 1 in this process, where one query fills
            the hardware and times stay comparable, and 4 on a server.
        owned: close the reranker when an evaluation is through with it.
    """

    pointwise = True

    def __init__(
        self,
        reranker: Reranker,
        name: str | None = None,
        *,
        instruction: str | None = None,
        concurrency: int | None = None,
        owned: bool = False,
    ) -> None:
        settings = instance_of("reranker", reranker, Reranker).settings
        self.name = text_or_none("name", name) or Path(str(settings["model"])).name
        self.reranker = reranker
        self._instruction = text_or_none("instruction", instruction)
        self._owned = true_or_false("owned", owned)
        at_once = positive("concurrency", concurrency)
        self.concurrency = at_once or (4 if "base_url" in settings else 1)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The settings that its scores depend on, and of a local folder the state of its files."""
        settings = self.reranker.settings
        return {
            "zelo": zelo.__version__,
            "reranker": {k: _plain(v) for k, v in settings.items() if k not in WITHOUT_EFFECT},
            "files": [] if "base_url" in settings else _files(str(settings["model"])),
            "instruction": self._instruction,
        }

    def prepare(self) -> None:
        """Load the model and run it once."""
        self.reranker.warmup()

    async def reorder(self, case: Case) -> Scores:
        """Rank by logit; ties keep the first stage's order."""
        ranking = await self.reranker.arank(
            case.query, case.documents, instruction=self._instruction
        )
        ordered = tuple(Ordered(one.index, one.logit, one.score) for one in ranking)
        return Scores(ordered, input_tokens=sum(one.tokens for one in ranking))

    def release(self) -> None:
        """Give the model back, if it is owned."""
        if self._owned:
            self.reranker.close()


class _Instant:
    """What rerankers that compute nothing have in common."""

    identity: Mapping[str, Any] | None = None
    pointwise = False
    concurrency = 1

    def prepare(self) -> None:
        """Nothing is to be prepared."""

    def release(self) -> None:
        """Nothing is held."""


class RandomOrder(_Instant):
    """Candidates in random order: what a reranker must beat. The same order for the same seed."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    async def reorder(self, case: Case) -> Scores:
        """Shuffle, seeded by the query, so that other queries change nothing."""
        seed = f"{self._seed}/{case.collection}/{case.query_id}"
        places = list(range(len(case.documents)))
        random.Random(seed).shuffle(places)  # noqa: S311 - reproducible, not secret
        return _falling(places)


class Oracle(_Instant):
    """Candidates by their judgements: the ceiling of any reranker of the same candidates."""

    name = ORACLE

    async def reorder(self, case: Case) -> Scores:
        """Sort by grade; ties, and so all unjudged documents, keep the first stage's order."""
        grades = [case.grades.get(doc_id, 0.0) for doc_id in case.doc_ids]
        return _falling(sorted(range(len(grades)), key=lambda place: -grades[place]))


def _falling(places: list[int]) -> Scores:
    return Scores(tuple(Ordered(place, float(-rank)) for rank, place in enumerate(places)))


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)


def _files(model: str) -> list[list[Any]]:
    """Name, size and time of a model folder's files: another model may come to lie there.

    Those of the model that an adapter changes follow, or its name and revision on the hub.
    """
    folder = folder_of(model)
    if folder is None:
        return []
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    stats = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
    found = [[name, state.st_size, state.st_mtime_ns] for name, state in stats]
    if adapter := read_adapter(folder):
        base = adapter.base
        found += _files(str(base.folder)) if base.folder else [[base.repo_id, base.revision]]
    return found
