"""What is compared: a system is a first stage, and perhaps a reranker of its candidates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from zelo._common.checks import text_or_none, with_methods
from zelo.errors import InputError
from zelo.retrieval.stage import FirstStage

__all__ = ["Case", "Ordered", "Reordering", "Scores", "System"]


@dataclass(frozen=True, slots=True)
class Case:
    """One query with its candidates, as a reranker gets it."""

    collection: str
    query_id: str
    query: str
    doc_ids: tuple[str, ...]
    documents: tuple[str, ...]
    """Their texts, in the same order."""
    grades: Mapping[str, float] = field(default_factory=dict)
    """The judgements, for the oracle alone."""


class Ordered(NamedTuple):
    """One candidate after reranking."""

    place: int
    """Its position among the case's documents."""
    score: float
    """What it was ordered by: a logit, or a number that merely falls along the ranking."""
    probability: float | None = None
    """Of relevance, in [0, 1], where the reranker gives one."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a reranker made of a case, and what that took."""

    ordered: tuple[Ordered, ...]
    """Every candidate once, best first."""
    input_tokens: int = 0
    output_tokens: int = 0
    """Tokens that a generating model wrote."""
    requests: int = 1
    malformed: int = 0
    """Answers of a generating model that were not a permutation of what it was shown."""


class Reordering(Protocol):
    """Puts candidates in order. One that takes no time to speak of has no `identity`."""

    @property
    def name(self) -> str:
        """What tables call it, such as `zelo-nano`."""
        ...

    @property
    def identity(self) -> Mapping[str, Any] | None:
        """What its results depend on, as JSON, so that they may be kept; None to compute anew."""
        ...

    @property
    def pointwise(self) -> bool:
        """Whether a document's score depends on the query and that document alone."""
        ...

    @property
    def concurrency(self) -> int:
        """How many cases may be under way at once."""
        ...

    def prepare(self) -> None:
        """Do now what the first case would otherwise wait for, so that times are comparable."""
        ...

    async def reorder(self, case: Case) -> Scores:
        """Put the candidates of one query in order.

        Raises:
            ScoringError: it could not; a failure never becomes an order.
        """
        ...

    def release(self) -> None:
        """Its last case of this evaluation is done, so it may free what it holds."""
        ...


@dataclass(frozen=True, slots=True)
class System:
    """A first stage alone, or with a reranker behind it."""

    name: str
    first_stage: FirstStage
    reranker: Reordering | None = None

    def __post_init__(self) -> None:
        if not (text_or_none("name", self.name) or "").strip():
            raise InputError(f"name={self.name!r}; a system needs one")
        with_methods("first_stage", self.first_stage, "retrieve")
        if self.reranker is not None:
            with_methods("reranker", self.reranker, "prepare", "reorder", "release")
