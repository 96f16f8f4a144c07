"""Reading a request: how long it may take, its bytes within their limit, the object in them."""

import math
from typing import Any

import pydantic_core
from fastapi import Request
from starlette.datastructures import Headers

from zelo.server.admission import Ticket
from zelo.server.refusal import Refusal

__all__ = ["TIMEOUT_HEADER", "deadline_of", "object_in", "read_body"]

TIMEOUT_HEADER = "x-zelo-timeout"
"""Seconds in which a client wants its answer, no more than the server's own limit."""
LONGEST_LENGTH = 19
"""Digits of a declared length that are read; with as many, it is beyond any limit already."""


def deadline_of(headers: Headers, longest: float) -> float:
    """Return the seconds that a request has, from its arrival.

    Raises:
        Refusal: 422, the header is no number above zero.
    """
    wanted = headers.get(TIMEOUT_HEADER)
    if wanted is None:
        return longest
    try:
        seconds = float(wanted)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise Refusal(422, "invalid", f"{TIMEOUT_HEADER} must be a number of seconds above 0")
    return min(seconds, longest)


async def read_body(request: Request, most: int, ticket: Ticket) -> bytes:
    """Return the body, whose bytes are claimed from the server's capacity as they come.

    Raises:
        Refusal: 415 if it is not called JSON, 413 if it is too large, 429 if the server is busy.
        ClientDisconnect: the client went away.
    """
    _check_type(request.headers.get("content-type", ""))
    declared = request.headers.get("content-length", "")[:LONGEST_LENGTH]
    if declared.isdecimal():  # refused before it is read, and before it is sent by who waits
        _check_size(int(declared), most)
        ticket.hold_bytes(int(declared))
    body = bytearray()
    async for piece in request.stream():
        body += piece
        _check_size(len(body), most)
        ticket.hold_bytes(len(body))
    return bytes(body)


def object_in(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is.

    Raises:
        Refusal: 400 if it is not JSON, or nested too deep, or holds NaN or half a character; 422
            if it is another value.
    """
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(400, "invalid", f"the body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refusal(422, "invalid", "the body must be a JSON object")
    return value


def _check_type(content_type: str) -> None:
    # also what keeps web pages of others out: for this type, browsers ask the server first
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json":
        message = "the body must be JSON, sent with the header Content-Type: application/json"
        raise Refusal(415, "invalid", message)


def _check_size(size: int, most: int) -> None:
    if size > most:
        message = f"the body is larger than {most} bytes; send fewer documents at a time"
        raise Refusal(413, "too_large", message)
