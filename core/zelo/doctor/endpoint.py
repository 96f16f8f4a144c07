"""What is examined: something that answers numbers, taken as they are, on whatever scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from zelo.errors import RemoteAuthError
from zelo.remote.answers import placed, read_scores
from zelo.remote.asking import Asking
from zelo.remote.detection import identify
from zelo.reranker import Reranker
from zelo.scoring import ScoreRequest
from zelo.scoring.families import FAMILIES, Family
from zelo.scoring.options import ReadingOptions
from zelo.scoring.retrying import Patience
from zelo.transport.client import Http
from zelo.transport.failures import refused
from zelo.transport.keys import Secret
from zelo.transport.messages import HttpRequest, HttpResponse, where
from zelo.wire import Dialect, Scale

__all__ = ["Answer", "Endpoint", "LocalEndpoint", "RemoteEndpoint"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The numbers that came back for one query, in the order in which documents were sent."""

    numbers: tuple[float, ...]
    tokens: int | None = None
    """Tokens of all prompts, where the server tells."""


class Endpoint(Protocol):
    """Answers a query's documents with one number each."""

    name: str
    """What and where it is, for the report."""
    kind: str
    """The dialect's name, or `local`: decides how a mistake is mended."""
    scale: Scale
    """What its numbers ought to be."""
    takes_instruction: bool
    """It has a place of its own for an instruction."""
    keeps_blanks: bool
    """Blank documents can be sent to it."""

    def ask(self, query: str, documents: Sequence[str], instruction: str | None = None) -> Answer:
        """Return the numbers.

        Raises:
            ScoringError: there are none, or not one finite number for each document.
            InputError: it cannot be asked this.
        """
        ...

    def close(self) -> None:
        """Give back what is held."""
        ...


class LocalEndpoint:
    """A model in this process, asked for raw logits."""

    kind = "local"
    scale: Scale = "logit"
    takes_instruction = False
    keeps_blanks = False

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        reranker.warmup()
        self.name = repr(reranker).removeprefix("Reranker(").removesuffix(")")

    def ask(self, query: str, documents: Sequence[str], instruction: str | None = None) -> Answer:
        """Score with the model."""
        found = self._reranker.score(query, documents, scale="logit", instruction=instruction)
        return Answer(tuple(found))

    def close(self) -> None:
        """Give the model back."""
        self._reranker.close()


class RemoteEndpoint:
    """A server, asked in its dialect, whose numbers are not mapped to our scale.

    Args:
        http: the connection.
        key: the server's key.
        model: what the server calls the model.
        family: the model's family, which says where an instruction goes.
        dialect: what the server speaks; None finds out, with at most one canary.
        scale: what its numbers ought to be; default, what its dialect promises, or probabilities.
        patience: how long each request may take, and how often it is made again.

    Raises:
        ScoringError: it cannot be reached, or its dialect cannot be told.
        InputError: its dialect cannot be asked for this model.
    """

    keeps_blanks = True

    def __init__(
        self,
        http: Http,
        key: Secret | None,
        model: str,
        family: Family | None,
        dialect: Dialect | None,
        scale: Scale | None,
        patience: Patience,
    ) -> None:
        self._http, self._key, self._patience = http, key, patience
        self._asking = Asking(model, family, ReadingOptions())
        self._dialect = dialect
        found = dialect or self._identified()
        self._asking.check(found)
        self._dialect = found
        self.kind = found.name
        self.name = f"{found.title} at {http.address.root}{found.path}"
        self.scale: Scale = (
            scale or found.scale or ("logit" if found.renders_prompts else "probability")
        )
        self.takes_instruction = found.takes_instruction

    def ask(self, query: str, documents: Sequence[str], instruction: str | None = None) -> Answer:
        """Send one query's documents in as few requests as the server takes."""
        assert self._dialect is not None  # noqa: S101 - known since __init__
        request = ScoreRequest(query, tuple(documents), instruction)
        limits = (self._dialect.max_documents, self._dialect.max_bytes)
        numbers: list[float] = []
        tokens: list[int | None] = []
        for part in self._asking.parts([request], self._dialect, *limits):
            ask = HttpRequest("POST", self._dialect.path, self._dialect.body(part.call))
            got = self._send(ask)
            if got.status != 200:
                raise refused(where(self._http.address, ask), got)
            numbers += self._numbers(ask, got, self._dialect, len(part.places))
            tokens.append(_tokens(got.json()))
        whole = sum(count or 0 for count in tokens)
        return Answer(tuple(numbers), None if None in tokens else whole)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _identified(self) -> Dialect:
        conversation = identify(self._http.address, self._asking.model, "probability")
        ask = next(conversation)
        while True:
            try:
                ask = conversation.send(self._send(ask))
            except StopIteration as end:
                found: Dialect = end.value.dialect
                return found

    def _send(self, ask: HttpRequest) -> HttpResponse:
        def attempt(seconds: float | None) -> HttpResponse:
            got = self._http.send(ask, self._headers(), seconds)
            if got.status == 200:
                return got
            error = refused(where(self._http.address, ask), got)
            if error.transient or isinstance(error, RemoteAuthError):
                raise error
            return got

        return self._patience.call(attempt)

    def _headers(self) -> dict[str, str]:
        if self._key is None:
            return {}
        key = self._key.reveal()
        if self._dialect is None:
            return {"Authorization": f"Bearer {key}"}
        return self._dialect.headers(key)

    def _numbers(
        self, ask: HttpRequest, got: HttpResponse, dialect: Dialect, count: int
    ) -> list[float]:
        """Return an answer's numbers by place, as they were sent."""
        at, answer = where(self._http.address, ask), got.json()
        # checks all that the client checks, but for a scale
        read_scores(at, dialect, answer, count, "logit", self._asking.family or FAMILIES["zerank"])
        return [score.value for score in placed(dialect.scores(answer), count)]


def _tokens(answer: Any) -> int | None:
    """Return the tokens that an answer says were read, wherever its dialect has them."""
    if not isinstance(answer, dict):
        return None
    usage = answer.get("usage")
    counted = usage if isinstance(usage, dict) else answer
    for name in ("prompt_tokens", "tokens", "total_tokens"):
        count = counted.get(name)
        if isinstance(count, int) and count > 0:
            return count
    return None
