"""Cohere's API, v1 and v2, and those that took over its shape: Jina, LiteLLM, most gateways.

Sources: Cohere's API reference and SDK 7.3.1, Jina's and LiteLLM's documentation. Cohere's v1 and
Jina's clients post to the same path, so the server's answer there has what either reads.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from zelo.errors import InputError
from zelo.wire.dialect import Dialect, Indexed, Request, Score, ServedDialect, WireModel
from zelo.wire.values import RerankCall, RerankReply

__all__ = ["CohereV1Dialect", "CohereV2Dialect", "GatewayDialect", "JinaDialect", "LiteLLMDialect"]


class Text(WireModel):
    """A document as it was sent."""

    text: str


class ResultWithText(Indexed):
    """A result, with its document where `return_documents` asked for it."""

    document: Text | None = None


class Usage(WireModel):
    """Tokens that were read."""

    total_tokens: int
    prompt_tokens: int


class ApiVersion(WireModel):
    """The version of the API that answered."""

    version: str


class BilledUnits(WireModel):
    """Searches that would have been billed."""

    search_units: int


class Meta(WireModel):
    """About the answer."""

    api_version: ApiVersion
    billed_units: BilledUnits


class CohereV1Request(Request):
    """A rerank request of Cohere's v1, which Jina's clients send too."""

    model: str | None = None
    query: str
    documents: list[str | dict[str, Any]]
    top_n: int | None = Field(default=None, ge=1)
    rank_fields: list[str] | None = None
    return_documents: bool | None = None
    max_chunks_per_doc: int | None = None
    max_tokens_per_doc: int | None = Field(default=None, ge=1)
    truncation: bool | None = None


class CohereAnswer(WireModel):
    """Results in descending order, for readers of Cohere's API and of Jina's."""

    id: str
    model: str
    results: list[ResultWithText]
    meta: Meta
    usage: Usage


class Results(WireModel):
    """The part of the answer that a client needs."""

    results: list[Indexed]


class ResultsDialect(Dialect):
    """What answers `{"results": [{"index", "relevance_score"}]}`."""

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Ask for all results, without the texts."""
        return {"model": call.model, "query": call.query, "documents": list(call.documents)}

    def scores(self, answer: object) -> list[Score]:
        """Read results in any order."""
        found = Results.model_validate(answer).results
        return [Score(result.index, result.relevance_score) for result in found]


def _meta(answer: object) -> Mapping[str, Any] | None:
    """Return the `meta` of an answer with results, or None."""
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
        return None
    meta = answer.get("meta")
    return meta if isinstance(meta, dict) else {}


class CohereV1Dialect(ResultsDialect, ServedDialect[Any]):
    """Cohere's v1."""

    name = "cohere-v1"
    title = "Cohere's API v1"
    path = "/v1/rerank"
    paths = ("/v1/rerank",)
    version = "1"
    request_model: ClassVar[type[Request]] = CohereV1Request
    answer_model = CohereAnswer

    def marks(self, answer: object) -> bool:
        """Cohere tells its API's version."""
        return _version(answer) in (self.version, None) and "api_version" in (_meta(answer) or {})

    def call(self, request: CohereV1Request) -> RerankCall:
        """Read a request; a document that is an object has its fields joined."""
        if request.max_chunks_per_doc not in (None, 1):
            raise InputError("max_chunks_per_doc is not supported; documents are read whole")
        return RerankCall(
            query=request.query,
            documents=tuple(_text(d, request.rank_fields) for d in request.documents),
            model=request.model,
            top_n=request.top_n,
            max_document_tokens=request.max_tokens_per_doc,
            truncate=request.truncation is not False,
            return_documents=bool(request.return_documents),
        )

    def answer(self, call: RerankCall, reply: RerankReply) -> CohereAnswer:
        """Write results with the members that either API's clients read."""
        return CohereAnswer(
            id=reply.id,
            model=reply.model,
            results=[
                ResultWithText(
                    index=r.index,
                    relevance_score=r.probability,
                    document=Text(text=reply.documents[r.index]) if call.return_documents else None,
                )
                for r in reply.results
            ],
            meta=Meta(
                api_version=ApiVersion(version=self.version),
                billed_units=BilledUnits(search_units=1),
            ),
            usage=Usage(total_tokens=reply.tokens, prompt_tokens=reply.tokens),
        )

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Say what was wrong, where Cohere's clients look and where Jina's do."""
        return {"message": message, "detail": message}


class CohereV2Request(Request):
    """A rerank request of Cohere's v2."""

    model: str
    query: str
    documents: list[str]
    top_n: int | None = Field(default=None, ge=1)
    max_tokens_per_doc: int | None = Field(default=None, ge=1)
    priority: int | None = None


class CohereV2Dialect(CohereV1Dialect):
    """Cohere's v2: the same answer, and a length per document."""

    name = "cohere-v2"
    title = "Cohere's API v2"
    path = "/v2/rerank"
    paths = ("/v2/rerank",)
    version = "2"
    takes_max_document_tokens = True
    request_model = CohereV2Request

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Ask for all results."""
        body = super().body(call)
        if call.max_document_tokens is not None:
            body["max_tokens_per_doc"] = call.max_document_tokens
        return body

    def call(self, request: Any) -> RerankCall:
        """Read a request."""
        return RerankCall(
            query=request.query,
            documents=tuple(request.documents),
            model=request.model,
            top_n=request.top_n,
            max_document_tokens=request.max_tokens_per_doc,
        )


class JinaDialect(ResultsDialect):
    """Jina's API. Its scores are those of Jina's models, on a scale of theirs."""

    name = "jina"
    title = "Jina's API"
    path = "/v1/rerank"

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Ask for all results, without the texts."""
        return {**super().body(call), "return_documents": False}

    def marks(self, answer: object) -> bool:
        """It tells the model and the tokens, and nothing else."""
        return _meta(answer) == {} and _keys(answer) == {"model", "usage", "results"}


class LiteLLMDialect(ResultsDialect):
    """LiteLLM's proxy, which passes on what the server behind it says."""

    name = "litellm"
    title = "a LiteLLM proxy"
    path = "/v1/rerank"
    takes_max_document_tokens = True

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Ask for all results, without the texts."""
        body = {**super().body(call), "return_documents": False}
        if call.max_document_tokens is not None:
            body["max_tokens_per_doc"] = call.max_document_tokens
        return body

    def marks(self, answer: object) -> bool:
        """It bills tokens, and tells no version."""
        meta = _meta(answer) or {}
        return "billed_units" in meta and "api_version" not in meta


class GatewayDialect(ResultsDialect):
    """Any gateway with `/v1/rerank` that answers in Cohere's shape."""

    name = "gateway"
    title = "a gateway with /v1/rerank"
    path = "/v1/rerank"

    def marks(self, answer: object) -> bool:
        """It answers with results, and nothing that would tell whose."""
        return _meta(answer) == {} and not _keys(answer) & {"object", "usage", "total_bytes"}


def _keys(answer: object) -> set[str]:
    return set(answer) if isinstance(answer, dict) else set()


def _version(answer: object) -> str | None:
    version = (_meta(answer) or {}).get("api_version")
    return version.get("version") if isinstance(version, dict) else None


def _text(document: str | dict[str, Any], rank_fields: list[str] | None) -> str:
    """Return the text of a document; of an object, `name: value` lines of its ranked fields."""
    if isinstance(document, str):
        return document
    if set(document) == {"text"} and isinstance(document["text"], str):
        return document["text"]
    names = list(document) if rank_fields is None else [n for n in rank_fields if n in document]
    return "\n".join(f"{name}: {document[name]}" for name in names)
