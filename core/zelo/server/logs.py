"""Log lines as JSON objects: one per request, and one for whatever else the server has to say.

No line holds a query, a document, a header or a key. Of an error that nobody expected its type and
the lines of code are logged, but not its message, which might quote a text.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

from zelo.errors import ScoringError
from zelo.server.exchange import Exchange

__all__ = ["JsonLines", "log_failed", "log_request", "log_unexpected", "write_logs_to"]

log = logging.getLogger("zelo")


def log_request(exchange: Exchange) -> None:
    """Log an answered request; its members are `record.zelo` for other formatters."""
    told = exchange.told()
    log.info("request %s", json.dumps(told), extra={"zelo": {"event": "request"} | told})


def log_failed(error: ScoringError, exchange: Exchange) -> None:
    """Log that the model gave no scores; such an error's message holds no text."""
    told = {
        "event": "failed",
        "error": type(error).__name__,
        "message": str(error),
        "request_id": exchange.request_id,
    }
    log.error("failed %s", json.dumps(told), extra={"zelo": told})


def log_unexpected(error: BaseException, exchange: Exchange) -> None:
    """Log an error that no one foresaw, by type and place."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    told = {
        "event": "unexpected",
        "error": type(error).__name__,
        "request_id": exchange.request_id,
        "at": where,
    }
    log.error("unexpected %s", json.dumps(told), extra={"zelo": told})


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an exception is told by its type."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
        }
        told = getattr(record, "zelo", None)
        line |= told if told is not None else {"event": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line)


def write_logs_to(stream: TextIO = sys.stderr) -> None:
    """Send zelo's lines from INFO and uvicorn's from WARNING on to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    for name, level in (("zelo", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
