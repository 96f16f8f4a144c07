"""What an evaluation found, query by query; everything reported is computed from this."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from zelo.corpora import Collection

__all__ = ["ORACLE", "Call", "Evaluation", "Ranked", "Ranking", "SystemRun"]

ORACLE = "oracle"
"""The name of the reranker that sees the judgements."""


class Ranked(NamedTuple):
    """One document of a ranking."""

    doc_id: str
    score: float
    """What it was ordered by; higher is better."""
    probability: float | None = None
    """Of relevance, in [0, 1], where the reranker gives one."""


Ranking = tuple[Ranked, ...]
"""Best first, no document twice. Its order is the system's, whatever the scores tie on."""


class Call(NamedTuple):
    """One request to a reranker: what it took. Nothing is said of results that were reused."""

    documents: int
    seconds: float
    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 1
    malformed: int = 0


@dataclass(frozen=True, slots=True)
class SystemRun:
    """What one system made of one collection."""

    system: str
    first_stage: str
    reranker: str | None
    rankings: Mapping[str, Ranking]
    """Per query id, of every evaluated query; empty where the first stage found nothing."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All systems on all collections, on the same queries and with the same depth."""

    collections: Mapping[str, Collection]
    """By name, with the evaluated queries only (see `Collection.sample`)."""
    systems: tuple[str, ...]
    """Names, in the order that was asked for."""
    runs: Mapping[tuple[str, str], SystemRun]
    """By (collection, system)."""
    first_stages: Mapping[tuple[str, str], SystemRun]
    """By (collection, first stage): the candidates, before any reranking."""
    calls: Mapping[tuple[str, str], tuple[Call, ...]]
    """By (collection, reranker): every call whose result is in use, this run's or an earlier's."""
    depth: int
    """How many candidates a first stage hands over, at most."""
    seed: int

    def cells(self) -> Iterator[SystemRun]:
        """Yield every run, collection by collection, systems in their order."""
        for collection in self.collections:
            for system in self.systems:
                yield self.runs[collection, system]

    def oracle(self, system: str) -> bool:
        """Whether a system saw the judgements, so that it is a ceiling and no competitor."""
        return any(run.reranker == ORACLE for run in self.runs.values() if run.system == system)
