"""What a dialect is: names, a path, and the translation in both directions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from zelo.wire.values import RerankCall, RerankReply, Scale

__all__ = [
    "Dialect",
    "Number",
    "Place",
    "Request",
    "Score",
    "ServedDialect",
    "WireModel",
    "all_of",
    "members",
]

Body = TypeVar("Body", bound="Request")
# strict: pydantic would read the text "1" and the truth value true as 1, and so invent a ranking
Place = Annotated[int, Field(strict=True, ge=0)]
"""A document's position, in an answer."""
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A score in an answer: finite, and no text that looks like a number."""


class WireModel(BaseModel):
    """A JSON object on the wire; members that it does not name are passed over."""

    model_config = ConfigDict(
        extra="ignore",
        protected_namespaces=(),
        hide_input_in_errors=True,  # it may repeat a text, or a key
    )


class Request(WireModel):
    """The body of a rerank request."""


@dataclass(frozen=True, slots=True)
class Score:
    """A document's score in an answer, before its place and scale are checked."""

    index: int
    value: float
    truncated: bool = False
    logit: float | None = None
    """The raw logit, where the dialect sends it beside the probability."""


class Indexed(WireModel):
    """A result in most dialects' answers."""

    index: Place
    relevance_score: Number


class Dialect(ABC):
    """How one kind of server is asked for scores, and how its answer is read."""

    name: ClassVar[str]
    """What `dialect=` takes."""
    title: ClassVar[str]
    """The server's or service's own name."""
    path: ClassVar[str]
    """Where a request is posted, below the server's root."""
    scale: ClassVar[Scale | None] = None
    """What the contract promises; None where it depends on how the server was started."""
    max_documents: ClassVar[int] = 1000
    """The most documents of one request, by the server's default or documented limit."""
    max_bytes: ClassVar[int] = 4_000_000
    """The largest body, by the server's default or documented limit, with room to spare."""
    takes_instruction: ClassVar[bool] = False
    """The request has a field for it; elsewhere it is written into the query."""
    takes_max_document_tokens: ClassVar[bool] = False
    """The request has a field for the length at which documents are cut."""
    renders_prompts: ClassVar[bool] = False
    """The server gives texts to the model as they are, so whole prompts are sent."""

    @abstractmethod
    def body(self, call: RerankCall) -> dict[str, Any]:
        """Write a call as the body of a request that asks for every document's score."""

    @abstractmethod
    def scores(self, answer: object) -> list[Score]:
        """Read an answer's scores, in whatever order they came.

        Raises:
            pydantic.ValidationError: the answer is not of this dialect, or a score is not finite.
        """

    @abstractmethod
    def marks(self, answer: object) -> bool:
        """Whether a successful answer can be of this dialect, and of none that is told apart."""

    def headers(self, api_key: str) -> dict[str, str]:
        """Return what authenticates a request."""
        return {"Authorization": f"Bearer {api_key}"}


class ServedDialect(Dialect, Generic[Body]):
    """A dialect that zelo's own server speaks too."""

    request_model: ClassVar[type[Request]]
    answer_model: ClassVar[Any]
    """Type of the answer's body, for validation and for the published API description."""
    paths: ClassVar[tuple[str, ...]]
    """Every path at which the server answers in this dialect."""
    writes_null: ClassVar[bool] = False
    """A member of an answer that has no value is null, not left out."""

    @abstractmethod
    def call(self, request: Body) -> RerankCall:
        """Read a request.

        Raises:
            InputError: it asks for something that would change scores and is not supported.
        """

    @abstractmethod
    def answer(self, call: RerankCall, reply: RerankReply) -> Any:
        """Write a reply as an answer's body."""

    @abstractmethod
    def error(self, status: int, message: str) -> Mapping[str, Any]:
        """Write an error's body."""


def members(answer: object, name: str) -> object:
    """Return a member of a JSON object, or None where there is none."""
    return answer.get(name) if isinstance(answer, dict) else None


def all_of(answer: object, test: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether a JSON value is a list of at least one object, and each passes."""
    return (
        isinstance(answer, list)
        and bool(answer)
        and all(isinstance(item, dict) and test(item) for item in answer)
    )
