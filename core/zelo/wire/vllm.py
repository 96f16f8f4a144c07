"""vLLM's `/rerank` and `/score`.

Source: vLLM 0.29's protocol of its pooling entrypoints. What the scores mean depends on how the
server was started: template, pooler settings and converted weights.
"""

from typing import Any, Literal

from pydantic import AliasChoices, Field, NonNegativeInt

from zelo.errors import InputError
from zelo.wire.dialect import (
    Indexed,
    Number,
    Place,
    Request,
    Score,
    ServedDialect,
    WireModel,
    all_of,
    members,
)
from zelo.wire.values import RerankCall, RerankReply

__all__ = ["VLLMRerankDialect", "VLLMScoreDialect"]


class Usage(WireModel):
    """Tokens that were read."""

    prompt_tokens: NonNegativeInt
    total_tokens: NonNegativeInt


class RerankRequest(Request):
    """A request of vLLM's `/rerank`."""

    model: str | None = None
    query: str
    documents: str | list[str]
    top_n: int = Field(default=0, ge=0, description="0 for all.")
    instruction: str | None = None
    max_tokens_per_doc: int = Field(default=0, ge=0, description="0 for no limit.")
    max_tokens_per_query: int = 0
    truncate_prompt_tokens: int | None = None
    use_activation: bool | None = None


class Document(WireModel):
    """A document as it was sent."""

    text: str | None = None


class ResultWithDocument(Indexed):
    """A result; vLLM always sends the document back."""

    document: Document | None = None


class RerankAnswer(WireModel):
    """Results in descending order."""

    id: str
    model: str
    usage: Usage
    results: list[ResultWithDocument]


class VLLMRerankDialect(ServedDialect[RerankRequest]):
    """vLLM's `/rerank`."""

    name = "vllm"
    title = "vLLM"
    path = "/rerank"
    paths = ("/rerank",)
    takes_max_document_tokens = True
    request_model = RerankRequest
    answer_model = RerankAnswer

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Ask for all results."""
        body: dict[str, Any] = {
            "model": call.model,
            "query": call.query,
            "documents": list(call.documents),
        }
        if call.max_document_tokens is not None:
            body["max_tokens_per_doc"] = call.max_document_tokens
        return body

    def scores(self, answer: object) -> list[Score]:
        """Read results in any order."""
        found = RerankAnswer.model_validate(answer).results
        return [Score(result.index, result.relevance_score) for result in found]

    def marks(self, answer: object) -> bool:
        """It tells id, model and usage, and sends each document back."""
        wanted = {"id", "model", "usage", "results"}
        told = isinstance(answer, dict) and set(answer) == wanted
        return told and all_of(members(answer, "results"), lambda r: "document" in r)

    def call(self, request: RerankRequest) -> RerankCall:
        """Read a request."""
        _refuse_truncation(request.truncate_prompt_tokens, request.max_tokens_per_query)
        return RerankCall(
            query=request.query,
            documents=tuple(_listed(request.documents)),
            model=request.model,
            top_n=request.top_n or None,
            instruction=request.instruction,
            max_document_tokens=request.max_tokens_per_doc or None,
            return_documents=True,
            raw=request.use_activation is False,
        )

    def answer(self, call: RerankCall, reply: RerankReply) -> RerankAnswer:
        """Write results with their documents."""
        return RerankAnswer(
            id=reply.id,
            model=reply.model,
            usage=Usage(prompt_tokens=reply.tokens, total_tokens=reply.tokens),
            results=[
                ResultWithDocument(
                    index=r.index,
                    relevance_score=r.value(call.raw),
                    document=Document(text=reply.documents[r.index]),
                )
                for r in reply.results
            ],
        )

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Say what was wrong."""
        return _error(status, message)


class ScoreRequest(Request):
    """A request of vLLM's `/score`: one query or as many as documents."""

    model: str | None = None
    queries: str | list[str] = Field(
        validation_alias=AliasChoices("queries", "data_1", "text_1"),
    )
    documents: str | list[str] = Field(
        validation_alias=AliasChoices("documents", "items", "data_2", "text_2"),
    )
    truncate_prompt_tokens: int | None = None
    use_activation: bool | None = None


class Scored(WireModel):
    """One pair's score."""

    index: Place
    object: Literal["score"] = "score"
    score: Number


class ScoreAnswer(WireModel):
    """Scores in input order."""

    id: str
    object: Literal["list"] = "list"
    created: int = 0
    model: str
    data: list[Scored]
    usage: Usage


class VLLMScoreDialect(ServedDialect[ScoreRequest]):
    """vLLM's `/score`, with one query for all documents."""

    name = "vllm-score"
    title = "vLLM's /score"
    path = "/score"
    paths = ("/score", "/v1/score")
    request_model = ScoreRequest
    answer_model = ScoreAnswer

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Ask for all scores."""
        return {"model": call.model, "text_1": call.query, "text_2": list(call.documents)}

    def scores(self, answer: object) -> list[Score]:
        """Read scores by their index."""
        found = ScoreAnswer.model_validate(answer).data
        return [Score(result.index, result.score) for result in found]

    def marks(self, answer: object) -> bool:
        """Each of its data is a score."""
        return all_of(members(answer, "data"), lambda r: r.get("object") == "score")

    def call(self, request: ScoreRequest) -> RerankCall:
        """Read a request with one query; pairs of different queries are separate requests."""
        _refuse_truncation(request.truncate_prompt_tokens, 0)
        documents, queries = _listed(request.documents), _listed(request.queries)
        if len(set(queries)) != 1 or len(queries) not in (1, len(documents)):
            raise InputError("queries must be one query; send other queries in requests of theirs")
        return RerankCall(
            query=queries[0],
            documents=tuple(documents),
            model=request.model,
            raw=request.use_activation is False,
        )

    def answer(self, call: RerankCall, reply: RerankReply) -> ScoreAnswer:
        """Write scores in input order."""
        in_order = sorted(reply.results, key=lambda result: result.index)
        return ScoreAnswer(
            id=reply.id,
            model=reply.model,
            data=[Scored(index=r.index, score=r.value(call.raw)) for r in in_order],
            usage=Usage(prompt_tokens=reply.tokens, total_tokens=reply.tokens),
        )

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Say what was wrong."""
        return _error(status, message)


def _listed(texts: str | list[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


def _refuse_truncation(truncate_prompt_tokens: int | None, max_tokens_per_query: int) -> None:
    if truncate_prompt_tokens is not None or max_tokens_per_query:
        message = (
            "truncate_prompt_tokens and max_tokens_per_query are not supported: they cut the "
            "prompt's end or the query; use max_tokens_per_doc"
        )
        raise InputError(message)


def _error(status: int, message: str) -> dict[str, Any]:
    kind = "BadRequestError" if status < 500 else "InternalServerError"
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}
