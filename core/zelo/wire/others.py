"""Infinity, llama.cpp, SGLang and Voyage: clients only.

Sources: Infinity's OpenAPI description (2025-10), llama.cpp's server README, SGLang's protocol of
its rerank entrypoint, Voyage's API reference.
"""

from typing import Any

from pydantic import TypeAdapter

from zelo.wire.cohere import ResultsDialect
from zelo.wire.dialect import Dialect, Indexed, Number, Place, Score, WireModel, all_of, members
from zelo.wire.values import RerankCall

__all__ = ["InfinityDialect", "LlamaCppDialect", "SGLangDialect", "VoyageDialect"]


class InfinityDialect(ResultsDialect):
    """Infinity's `/rerank`."""

    name = "infinity"
    title = "Infinity"
    path = "/rerank"
    max_documents = 2048

    def marks(self, answer: object) -> bool:
        """Its answers name themselves."""
        return isinstance(answer, dict) and answer.get("object") == "rerank"


class LlamaCppDialect(ResultsDialect):
    """llama.cpp's `/v1/rerank`, started with `--reranking`."""

    name = "llama.cpp"
    title = "llama.cpp's server"
    path = "/v1/rerank"

    def marks(self, answer: object) -> bool:
        """It calls its results a list, and tells no id."""
        return (
            isinstance(answer, dict)
            and answer.get("object") == "list"
            and isinstance(answer.get("results"), list)
        )


class Voyaged(WireModel):
    """The part of Voyage's answer that a client needs."""

    data: list[Indexed]


class VoyageDialect(Dialect):
    """Voyage's API."""

    name = "voyage"
    title = "Voyage's API"
    path = "/v1/rerank"

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Ask for all results, without the texts."""
        return {
            "model": call.model,
            "query": call.query,
            "documents": list(call.documents),
            "return_documents": False,
            "truncation": call.truncate,
        }

    def scores(self, answer: object) -> list[Score]:
        """Read results in any order."""
        found = Voyaged.model_validate(answer).data
        return [Score(result.index, result.relevance_score) for result in found]

    def marks(self, answer: object) -> bool:
        """Its list of data holds relevance scores."""
        return all_of(members(answer, "data"), lambda r: "relevance_score" in r)


class SGLangResult(WireModel):
    """One document's score."""

    index: Place
    score: Number


SGLANG: TypeAdapter[list[SGLangResult]] = TypeAdapter(
    list[SGLangResult], config=WireModel.model_config
)


class SGLangDialect(Dialect):
    """SGLang's `/v1/rerank`."""

    name = "sglang"
    title = "SGLang"
    path = "/v1/rerank"

    def body(self, call: RerankCall) -> dict[str, Any]:
        """Ask for all results."""
        return {"query": call.query, "documents": list(call.documents)}

    def scores(self, answer: object) -> list[Score]:
        """Read results in any order."""
        return [Score(result.index, result.score) for result in SGLANG.validate_python(answer)]

    def marks(self, answer: object) -> bool:
        """It answers a bare list that tells about the request."""
        return all_of(answer, lambda r: "meta_info" in r)
