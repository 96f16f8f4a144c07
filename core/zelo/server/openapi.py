"""The published description: every dialect's request and answer, as its models say them."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

import zelo
from zelo.server.answering import Dialects, dialects_by_path

__all__ = ["describe"]

REFERENCE = "#/components/schemas/{model}"
DESCRIPTION = """Reranks documents with a cross-encoder, in the dialect of each path.

Scores are probabilities, `sigmoid(logit / scale)`; errors have the shape of their path's dialect.
"""
ERRORS = {
    "400": "The body is not JSON.",
    "401": "A key is wanted.",
    "404": "No such model is served; the message lists those that are.",
    "413": "Too many bytes, documents or tokens.",
    "415": "The body is not called JSON.",
    "422": "A member is wrong, or a text cannot be scored.",
    "429": "Too much is under way; see Retry-After. Nothing was computed.",
    "503": "Loading or stopping; see Retry-After.",
    "504": "No scores within the deadline.",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description of an application with all routes, made once."""
    if app.openapi_schema is None:
        described = get_openapi(
            title="zelo serve", version=zelo.__version__, description=DESCRIPTION, routes=app.routes
        )
        schemas, definitions = _schemas()
        for path, dialects in dialects_by_path().items():
            described["paths"][path] = {"post": _operation(path, dialects, schemas)}
        components = described.setdefault("components", {})
        components.setdefault("schemas", {}).update(definitions)
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = described
    return app.openapi_schema


Schemas = dict[tuple[str, JsonSchemaMode], dict[str, Any]]


def _schemas() -> tuple[Schemas, dict[str, Any]]:
    """Return each dialect's request ("validation") and answer ("serialization"), and their parts.

    All are described at once, so that models of one name in different modules keep apart.
    """
    known = {d.name: d for dialects in dialects_by_path().values() for d in dialects}
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = []
    for name, dialect in known.items():
        inputs.append((name, "validation", TypeAdapter(dialect.request_model)))
        inputs.append((name, "serialization", TypeAdapter(dialect.answer_model)))
    schemas, definitions = TypeAdapter.json_schemas(inputs, ref_template=REFERENCE)
    return schemas, definitions["$defs"]


def _operation(path: str, dialects: Dialects, schemas: Schemas) -> dict[str, Any]:
    titles = " or ".join(dialect.title for dialect in dialects)
    responses = {status: {"description": meaning} for status, meaning in ERRORS.items()}
    return {
        "summary": f"Rerank, as {titles} does",
        "operationId": "rerank" + path.replace("/", "_"),
        "security": [{}, {"key": []}],
        "requestBody": {
            "required": True,
            "content": _content(dialects, schemas, "validation"),
        },
        "responses": {
            "200": {
                "description": "Scores.",
                "content": _content(dialects, schemas, "serialization"),
            }
        }
        | responses,
    }


def _content(dialects: Dialects, schemas: Schemas, mode: JsonSchemaMode) -> dict[str, Any]:
    found = [schemas[dialect.name, mode] for dialect in dialects]
    return {"application/json": {"schema": found[0] if len(found) == 1 else {"anyOf": found}}}
