"""Finding out what a server speaks: it is asked what it is, then at most for one score.

Written as a generator that asks and is told, so that threads and event loops share it.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from zelo.errors import DialectError
from zelo.transport.address import Address
from zelo.transport.failures import refused
from zelo.transport.messages import HttpRequest, HttpResponse, where
from zelo.wire import DIALECTS, Dialect, RerankCall, Scale, ServedDialect

__all__ = ["Conversation", "Spoken", "identify", "other_dialect", "speaks_too", "spoken"]

OWNERS = {"vllm": "vllm", "llamacpp": "llama.cpp", "sglang": "sglang", "infinity": "infinity"}
"""`owned_by` in an OpenAI-style list of models, of servers that sign with their name."""
TOGETHER = ({"vllm", "vllm-score"}, {"cohere-v1", "cohere-v2"})
"""Dialects of one server."""
CANARY = RerankCall(query="which animal barks?", documents=("the dog", "the stone"))
CANARY_PATHS = ("/v1/rerank", "/rerank", "/v2/rerank", "/v1/models/rerank")
"""Where the one canary goes; a path that the server lacks answers 404 without scoring."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is known of a server."""

    dialect: Dialect
    scale: Scale
    path: str
    """Where requests are posted; a server may have more than one path."""
    max_documents: int
    max_bytes: int


Conversation = Generator[HttpRequest, HttpResponse, Spoken]


def spoken(dialect: Dialect, scale: Scale | None, path: str | None = None) -> Spoken:
    """Return what is known of a server that speaks a dialect.

    Raises:
        DialectError: nobody has said what its scores are.
    """
    known = scale or dialect.scale
    if known is None:
        message = (
            f"{dialect.title} may return probabilities, logits or a fifth of them, depending on "
            "how it was started. Say which as score_scale='probability', 'logit' or 'logit/5'"
        )
        raise DialectError(message)
    return Spoken(dialect, known, path or dialect.path, dialect.max_documents, dialect.max_bytes)


def identify(address: Address, model: str, scale: Scale | None) -> Conversation:
    """HttpRequest a server what it is.

    Raises:
        DialectError: it answers in no dialect, or in what may be several.
        RemoteError: it refuses the canary.
    """
    info = (yield HttpRequest("GET", "/info")).json()
    if isinstance(info, dict) and info.get("server") == "zelo":
        return _limited(spoken(DIALECTS["zelo"], scale), info.get("limits"))
    if isinstance(info, dict) and "max_client_batch_size" in info:
        limits = {"max_documents": info["max_client_batch_size"]}
        return _limited(spoken(DIALECTS["tei"], scale), limits)
    models = (yield HttpRequest("GET", "/v1/models")).json()
    if owner := _owner(models):
        # Infinity puts all its paths below one prefix
        return spoken(DIALECTS[owner], scale, "/v1/rerank" if owner == "infinity" else None)
    canary: dict[str, Any] = {"model": model, "query": CANARY.query}
    canary["documents"] = list(CANARY.documents)
    for path in CANARY_PATHS:
        texts = {"texts": canary["documents"]} if path == "/rerank" else {}
        got = yield HttpRequest("POST", path, canary | texts)
        if got.status not in (404, 405):
            break
    if got.status != 200:
        raise refused(where(address, got.ask), got)
    return spoken(_recognised(address, got), scale, got.ask.path)


def speaks_too(found: Dialect, said: Dialect) -> bool:
    """Whether a server that was found out speaks the dialect that was said, perhaps as another."""
    if found.name == "zelo":
        return isinstance(said, ServedDialect)
    return said is found or {said.name, found.name} in TOGETHER


def other_dialect(address: Address, said: Dialect, found: Spoken) -> DialectError:
    """Return the error of a dialect that was said wrong."""
    message = (
        f"dialect={said.name!r} was said, but the server at {address.host} is "
        f"{found.dialect.title}: say dialect={found.dialect.name!r}, or leave it out"
    )
    return DialectError(message)


def _recognised(address: Address, got: HttpResponse) -> Dialect:
    answer = got.json()
    fitting = [dialect for dialect in DIALECTS.values() if dialect.marks(answer)]
    if len(fitting) == 1:
        return fitting[0]
    at = where(address, got.ask)
    if fitting:
        listed = ", ".join(f"{dialect.name!r} ({dialect.title})" for dialect in fitting)
        raise DialectError(f"{at} answered in what may be {listed}: say which as dialect=")
    known = ", ".join(repr(name) for name in DIALECTS)
    raise DialectError(f"{at} answered in no dialect known: {known}. Is base_url right?")


def _owner(models: object) -> str | None:
    listed = models.get("data") if isinstance(models, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    owner = first.get("owned_by") if isinstance(first, dict) else None
    return OWNERS.get(owner) if isinstance(owner, str) else None


def _limited(known: Spoken, limits: object) -> Spoken:
    """Take over the limits that a server tells of itself."""
    told = limits if isinstance(limits, dict) else {}
    sizes = {
        name: told[name]
        for name in ("max_documents", "max_bytes")
        if isinstance(told.get(name), int) and told[name] > 0
    }
    return replace(known, **sizes)
