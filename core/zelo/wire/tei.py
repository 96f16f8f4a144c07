"""Hugging Face's text-embeddings-inference: `/rerank`, and `/predict` as Baseten serves it.

Sources: TEI 1.9.3's OpenAPI description; Baseten's documentation of its embeddings inference. A
server of this kind gives each text to the model as it is: TEI itself serves no zerank rightly.
"""

from typing import Any, Literal

from pydantic import TypeAdapter

from zelo.errors import InputError
from zelo.wire.dialect import (
    Dialect,
    Number,
    Place,
    Request,
    Score,
    ServedDialect,
    WireModel,
    all_of,
)
from zelo.wire.values import RerankCall, RerankReply

__all__ = ["BasetenDialect", "TEIDialect"]


class TEIRequest(Request):
    """A request of TEI's `/rerank`."""

    query: str
    texts: list[str]
    truncate: bool | None = None
    truncation_direction: Literal["Left", "Right", "left", "right"] = "Right"
    raw_scores: bool = False
    return_text: bool = False


class TEIResult(WireModel):
    """One text's score."""

    index: Place
    score: Number
    text: str | None = None


RANKS: TypeAdapter[list[TEIResult]] = TypeAdapter(list[TEIResult], config=WireModel.model_config)


class TEIDialect(ServedDialect[TEIRequest]):
    """TEI's `/rerank`."""

    name = "tei"
    title = "text-embeddings-inference"
    path = "/rerank"
    paths = ("/rerank",)
    max_documents = 32  # --max-client-batch-size
    max_bytes = 1_900_000  # --payload-limit is 2,000,000
    request_model = TEIRequest
    answer_model = list[TEIResult]

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Ask for all scores."""
        return {"query": call.query, "texts": list(call.documents), "truncate": call.truncate}

    def scores(self, answer: object) -> list[Score]:
        """Read ranks in any order."""
        return [Score(rank.index, rank.score) for rank in RANKS.validate_python(answer)]

    def marks(self, answer: object) -> bool:
        """It answers a bare list of indices with scores."""
        return all_of(answer, lambda r: {"index", "score"} <= set(r) <= {"index", "score", "text"})

    def call(self, request: TEIRequest) -> RerankCall:
        """Read a request."""
        if request.truncation_direction.lower() == "left":
            raise InputError(
                "truncation_direction Left is not supported; documents keep their head"
            )
        return RerankCall(
            query=request.query,
            documents=tuple(request.texts),
            truncate=request.truncate is not False,
            return_documents=request.return_text,
            raw=request.raw_scores,
        )

    def answer(self, call: RerankCall, reply: RerankReply) -> list[TEIResult]:
        """Write ranks, best first."""
        return [
            TEIResult(
                index=r.index,
                score=r.value(call.raw),
                text=reply.documents[r.index] if call.return_documents else None,
            )
            for r in reply.results
        ]

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Say what was wrong."""
        kinds = {429: "Overloaded", 413: "Validation", 422: "Tokenizer", 424: "Backend"}
        return {"error": message, "error_type": kinds.get(status, "Validation")}


class Label(WireModel):
    """A label with its score."""

    label: str | None = None
    score: Number


LABELS: TypeAdapter[list[list[Label]]] = TypeAdapter(
    list[list[Label]], config=WireModel.model_config
)


class BasetenDialect(Dialect):
    """Baseten's predict: whole prompts in, raw logits out."""

    name = "baseten"
    title = "Baseten's embeddings inference"
    path = "/predict"
    renders_prompts = True

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Send prompts that the client has rendered: `documents` holds whole prompts here."""
        return {
            "inputs": [[prompt] for prompt in call.documents],
            "raw_scores": True,
            "truncate": False,
        }

    def scores(self, answer: object) -> list[Score]:
        """Read one label per prompt, in input order."""
        found = LABELS.validate_python(answer)
        if any(len(labels) != 1 for labels in found):
            raise ValueError("one label per prompt was expected")
        return [Score(i, labels[0].score) for i, labels in enumerate(found)]

    def marks(self, answer: object) -> bool:
        """It answers a list of lists of labels."""
        return isinstance(answer, list) and all(
            all_of(labels, lambda label: "score" in label) for labels in answer or [None]
        )

    def headers(self, api_key: str) -> dict[str, str]:
        """Baseten's own scheme."""
        return {"Authorization": f"Api-Key {api_key}"}
