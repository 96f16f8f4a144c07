"""One request with its answer, as logs and metrics see it: counts and times, never a text."""

import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

__all__ = ["Exchange", "exchange_of"]

SENSIBLE_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
LONGEST_PATH = 200
STATE = "zelo_exchange"


@dataclass(slots=True)
class Exchange:
    """What is known of one request so far."""

    request_id: str
    method: str
    path: str
    dialect: str = "none"
    status: int = 0
    reason: str | None = None
    """Why there are no scores."""
    documents: int = 0
    tokens: int = 0
    arrived: float = field(default_factory=time.perf_counter)

    @classmethod
    def begun(cls, scope: Scope, sent_id: str | None) -> "Exchange":
        """Begin with a request's own id if it is a sensible one, else with a new one."""
        fits = sent_id is not None and SENSIBLE_ID.fullmatch(sent_id)
        request_id = sent_id if sent_id is not None and fits else uuid.uuid4().hex
        exchange = cls(request_id, scope["method"], scope["path"][:LONGEST_PATH])
        scope.setdefault("state", {})[STATE] = exchange
        return exchange

    @property
    def seconds(self) -> float:
        """Seconds since the request arrived."""
        return time.perf_counter() - self.arrived

    def told(self) -> dict[str, Any]:
        """Return what a log line says."""
        line: dict[str, Any] = {
            "method": self.method,
            "path": self.path,
            "dialect": self.dialect,
            "status": self.status,
            "documents": self.documents,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 6),
            "request_id": self.request_id,
        }
        return line if self.reason is None else line | {"reason": self.reason}


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange that a request belongs to."""
    exchange: Exchange = scope["state"][STATE]
    return exchange
