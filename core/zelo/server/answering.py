"""Writing answers: scores and refusals, each in the dialect of the path it was asked at."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from fastapi import Response
from pydantic import TypeAdapter

from zelo.server.exchange import Exchange
from zelo.server.refusal import Refusal
from zelo.wire import DIALECTS, ServedDialect

__all__ = ["Dialects", "dialect_at", "dialects_by_path", "refused", "scored"]

Dialects = Sequence[ServedDialect[Any]]
"""The dialects of one path, of which the first writes what comes before the body is read."""


@cache
def dialects_by_path() -> dict[str, Dialects]:
    """Return the dialects that are served at each path."""
    found: dict[str, list[ServedDialect[Any]]] = {}
    for dialect in DIALECTS.values():
        if isinstance(dialect, ServedDialect):
            for path in dialect.paths:
                found.setdefault(path, []).append(dialect)
    return dict(found)


def dialect_at(path: str) -> ServedDialect[Any] | None:
    """Return the dialect in which errors at a path are written; None off every dialect's path."""
    found = dialects_by_path().get(path)
    return found[0] if found else None


def scored(dialect: ServedDialect[Any], answer: object) -> Response:
    """Return an answer with scores."""
    content = _adapter(dialect).dump_json(answer, exclude_none=not dialect.writes_null)
    return Response(content, media_type="application/json")


def refused(exchange: Exchange, refusal: Refusal, dialect: ServedDialect[Any] | None) -> Response:
    """Return an answer without scores, and note its reason; off every dialect's path, `detail`."""
    exchange.reason = refusal.reason
    status, message = refusal.status, refusal.message
    body = {"detail": message} if dialect is None else dialect.error(status, message)
    content = json.dumps(body).encode()
    return Response(content, status, dict(refusal.headers), media_type="application/json")


@cache
def _adapter(dialect: ServedDialect[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(dialect.answer_model)
