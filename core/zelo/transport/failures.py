"""What went wrong between here and a server, as one of our errors."""

import email.utils
import errno
import math
import re
import socket
import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import httpx

from zelo.errors import (
    RemoteAuthError,
    RemoteError,
    ScoringError,
    ScoringTimeoutError,
    causes,
)

if TYPE_CHECKING:
    from zelo.transport.messages import HttpResponse

__all__ = ["refused", "retry_after", "unreachable"]

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_RETRY_AFTER = 86_400.0
"""Seconds; a server that asks for more than a day is not believed."""
ADVICE = {
    400: "the request was not understood: is dialect= right?",
    404: "there is no such path or model: are base_url, dialect= and the model's name right?",
    405: "the path takes no such request: are base_url and dialect= right?",
    407: "the proxy wants a name and a password: correct HTTPS_PROXY, or set NO_PROXY",
    413: "the request was too large: set max_document_tokens=, or raise the server's limit",
    422: "the request was not accepted: is dialect= right, and no document too long?",
    429: "the server has more work than it takes; it may be asked again",
    502: "a gateway got no answer from the server behind it",
    503: "the server is not ready, or has more work than it takes; it may be asked again",
    504: "a gateway got no answer from the server behind it in time",
}
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})
OF_SYSTEM = (ssl.SSLError, socket.gaierror)
"""Errors whose own words say more than that there was no connection."""
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
TRUST = (
    "Its certificate is not trusted here: let SSL_CERT_FILE name a file with its authority's, or "
    "give a client that trusts it as http_client="
)
WORDS = re.compile(r"[\w.-]{1,64}")


def unreachable(where: str, error: httpx.HTTPError | OSError) -> ScoringError:
    """Return the error of a request that got no whole answer."""
    if any(isinstance(one, OSError) and one.errno in EXHAUSTED for one in causes(error)):
        message = (
            f"{where}: no connection, as too many files and sockets are open here. Close those "
            "that are not used any more, or allow more: ulimit -n"
        )
        return RemoteError(message, transient=True)
    if isinstance(error, OSError):
        return RemoteError(f"{where}: no request can be sent from here: {error}")
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        return ScoringTimeoutError(f"{where}: no answer in the time that was left")
    again = isinstance(error, httpx.TransportError)
    message = f"{where}: the connection broke ({type(error).__name__})"
    if isinstance(error, httpx.ProxyError):
        status = WORDS.match(str(error))
        told = f" ({status[0]})" if status and status[0].isdigit() else ""
        message = f"{where}: the proxy lets nothing through{told}; correct HTTPS_PROXY or NO_PROXY"
    elif isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        root = next((one for one in causes(error) if isinstance(one, OF_SYSTEM)), error)
        advice = "Is the server running, and base_url right?"
        if isinstance(root, ssl.SSLError):
            again = root.reason != UNTRUSTED
            advice = TRUST if root.reason == UNTRUSTED else "Does it speak https:// at all?"
        kind = getattr(root, "reason", None) or getattr(root, "strerror", None)
        message = f"{where}: no connection ({kind or type(error).__name__}). {advice}"
    return RemoteError(message, transient=again)


def refused(where: str, got: "HttpResponse") -> RemoteError:
    """Return the error of an answer whose status is not 200."""
    request_id = _request_id(got.headers)
    named = f", request {request_id}" if request_id else ""
    where = f"{where} answered {got.status}{named}"
    if got.status in (401, 403):
        message = f"{where}: the server wants another key; give it as api_key="
        return RemoteAuthError(message, status=got.status, request_id=request_id)
    if 300 <= got.status < 400:
        message = (
            f"{where}, a redirect to {_origin(got.headers)}. Redirects are not followed; if that "
            "is the right server, make it the base_url"
        )
        return RemoteError(message, status=got.status, request_id=request_id)
    advice = ADVICE.get(got.status, "the server failed" if got.status >= 500 else "it refused")
    return RemoteError(
        f"{where}: {advice}",
        status=got.status,
        request_id=request_id,
        retry_after=retry_after(got.headers),
        transient=got.status in RETRIED,
    )


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3).

    What is not a sensible length of time counts as not said.
    """
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(text)
            seconds = max(0.0, date.timestamp() - (time.time() if now is None else now))
        except (ValueError, TypeError, OverflowError, OSError):
            return None
    known = math.isfinite(seconds) and 0 <= seconds <= LONGEST_RETRY_AFTER
    return seconds if known else None


def _request_id(headers: Mapping[str, str]) -> str | None:
    """Return the server's name for the request, if it is a harmless word."""
    text = headers.get("x-request-id", "")
    return text if WORDS.fullmatch(text) else None


def _origin(headers: Mapping[str, str]) -> str:
    try:
        target = httpx.URL(headers.get("location", ""))
    except httpx.InvalidURL:
        return "an invalid address"
    return f"{target.scheme}://{target.netloc.decode()}" if target.host else "the same server"
