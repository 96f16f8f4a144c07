"""The vendor's hosted API, whose contract lives on in servers that people run themselves.

Source: the OpenAPI description as the `zeroentropy` SDK 0.1.0a11 has it. The vendor's own host was
switched off in September 2026, and nothing here points at it.
"""

from typing import Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt

from zelo.wire.dialect import Indexed, Request, Score, ServedDialect, WireModel
from zelo.wire.values import RerankCall, RerankReply

__all__ = ["ZeroEntropyDialect"]


class ZeroEntropyRequest(Request):
    """A rerank request of the vendor's API."""

    model: str
    query: str
    documents: list[str]
    top_n: int | None = Field(default=None, ge=1)
    latency: Literal["fast", "slow"] | None = Field(
        default=None, description="Accepted for the vendor's clients; there is one speed here."
    )


class ZeroEntropyAnswer(WireModel):
    """Results in descending order; every member is required by the vendor's clients."""

    results: list[Indexed]
    actual_latency_mode: Literal["fast", "slow"]
    e2e_latency: FiniteFloat
    inference_latency: FiniteFloat
    total_bytes: NonNegativeInt
    total_tokens: NonNegativeInt


class ZeroEntropyDialect(ServedDialect[ZeroEntropyRequest]):
    """The vendor's contract, at `/v1/models/rerank`."""

    name = "zeroentropy"
    title = "a server with ZeroEntropy's API"
    path = "/v1/models/rerank"
    paths = ("/v1/models/rerank",)
    scale = "probability"
    max_documents = 1000
    request_model = ZeroEntropyRequest
    answer_model = ZeroEntropyAnswer

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Ask for all results: `top_n` is left out."""
        return {"model": call.model, "query": call.query, "documents": list(call.documents)}

    def scores(self, answer: object) -> list[Score]:
        """Read probabilities; members that some servers leave out are not asked for."""
        found = ZeroEntropyResults.model_validate(answer).results
        return [Score(result.index, result.relevance_score) for result in found]

    def marks(self, answer: object) -> bool:
        """Only this answer tells which latency it was given."""
        return isinstance(answer, dict) and {"results", "actual_latency_mode"} <= answer.keys()

    def call(self, request: ZeroEntropyRequest) -> RerankCall:
        """Read a request; white space around texts is removed, as the vendor's server did."""
        return RerankCall(
            query=request.query.strip(),
            documents=tuple(text.strip() for text in request.documents),
            model=request.model,
            top_n=request.top_n,
        )

    def answer(self, call: RerankCall, reply: RerankReply) -> ZeroEntropyAnswer:
        """Write results with all that the vendor's clients require."""
        return ZeroEntropyAnswer(
            results=[Indexed(index=r.index, relevance_score=r.probability) for r in reply.results],
            actual_latency_mode="fast",
            e2e_latency=reply.e2e_s,
            inference_latency=reply.inference_s,
            total_bytes=reply.total_bytes,
            total_tokens=reply.tokens,
        )

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Say what was wrong."""
        return {"detail": message}


class ZeroEntropyResults(WireModel):
    """The part of the answer that a client needs."""

    results: list[Indexed]
