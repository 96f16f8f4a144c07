"""zelo's own dialect: everything the core can be asked, and everything it finds."""

from typing import Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt

from zelo.wire.dialect import Number, Place, Request, Score, ServedDialect, WireModel
from zelo.wire.values import RerankCall, RerankReply, finite

__all__ = ["ZeloDialect"]


class ZeloRequest(Request):
    """A query with its candidates."""

    model: str | None = Field(default=None, description="A served name; default, the first.")
    query: str
    documents: list[str]
    top_n: int | None = Field(default=None, ge=1, description="How many results; default, all.")
    instruction: str | None = Field(default=None, description="What counts as relevant.")
    max_document_tokens: int | None = Field(default=None, ge=1)
    truncate: bool = Field(default=True, description="Cut long documents instead of refusing.")


class ZeloResult(WireModel):
    """One document's score."""

    index: Place
    score: Number = Field(description="Probability of relevance, in [0, 1].")
    logit: Number | None = Field(description="The model's raw output; null if it saw nothing.")
    truncated: bool = Field(description="The document's end was not read.")


class ZeloUsage(WireModel):
    """What the request cost."""

    tokens: NonNegativeInt
    inference_s: FiniteFloat


class ZeloAnswer(WireModel):
    """Results, best first."""

    object: Literal["zelo.rerank"] = "zelo.rerank"
    id: str
    model: str
    results: list[ZeloResult]
    usage: ZeloUsage


class ZeloDialect(ServedDialect[ZeloRequest]):
    """zelo's own server."""

    name = "zelo"
    title = "zelo serve"
    path = "/v1/zelo/rerank"
    paths = ("/v1/zelo/rerank",)
    scale = "probability"
    takes_instruction = True
    takes_max_document_tokens = True
    writes_null = True
    request_model = ZeloRequest
    answer_model = ZeloAnswer

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Say all that was asked for."""
        request = ZeloRequest(
            model=call.model,
            query=call.query,
            documents=list(call.documents),
            instruction=call.instruction,
            max_document_tokens=call.max_document_tokens,
            truncate=call.truncate,
        )
        return request.model_dump(exclude_defaults=True)

    def scores(self, answer: object) -> list[Score]:
        """Read probabilities with their logits."""
        found = ZeloAnswer.model_validate(answer).results
        return [Score(r.index, r.score, r.truncated, r.logit) for r in found]

    def marks(self, answer: object) -> bool:
        """Its answers name themselves."""
        return isinstance(answer, dict) and answer.get("object") == "zelo.rerank"

    def call(self, request: ZeloRequest) -> RerankCall:
        """Read a request."""
        return RerankCall(
            query=request.query,
            documents=tuple(request.documents),
            model=request.model,
            top_n=request.top_n,
            instruction=request.instruction,
            max_document_tokens=request.max_document_tokens,
            truncate=request.truncate,
        )

    def answer(self, call: RerankCall, reply: RerankReply) -> ZeloAnswer:
        """Write results with everything known of them."""
        return ZeloAnswer(
            id=reply.id,
            model=reply.model,
            results=[
                ZeloResult(
                    index=result.index,
                    score=result.probability,
                    logit=finite(result.logit),
                    truncated=result.truncated,
                )
                for result in reply.results
            ],
            usage=ZeloUsage(tokens=reply.tokens, inference_s=reply.inference_s),
        )

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Say what was wrong."""
        return {"error": {"status": status, "message": message}}
