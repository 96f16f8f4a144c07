"""What travels to a server and back, before it is one dialect's or another's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zelo.transport.address import Address

__all__ = ["HttpRequest", "HttpResponse", "where"]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, before it is addressed."""

    method: str
    path: str
    body: Any = None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole answer, with what was asked."""

    ask: HttpRequest
    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """Return the body's JSON, or None where it is not JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


def where(address: Address, ask: HttpRequest) -> str:
    """Name a request in messages."""
    return f"{ask.method} {address.host}{ask.path}"
