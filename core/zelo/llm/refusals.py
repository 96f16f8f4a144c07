"""What a refusal of OpenAI's API means, as one of our errors, in words of ours alone.

A server's own words are read, never repeated: they may quote what was sent.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from zelo.errors import RemoteError
from zelo.transport.failures import refused
from zelo.transport.messages import HttpResponse

__all__ = ["UnsupportedParameterError", "refusal"]

UNSUPPORTED = frozenset({"unsupported_parameter", "unsupported_value"})
UNSUPPORTED_IN_WORDS = re.compile(
    r"""(?:Unsupported (?:parameter|value): |Unknown name )['"](\w{1,40})['"]"""
)
"""OpenAI's words, which gateways keep where they lose `code` and `param`, and Google's."""
TOO_LONG = "a text is longer than the model reads; send shorter ones"
CODES = {
    "context_length_exceeded": TOO_LONG,
    "insufficient_quota": "the account has no credit left",
    "model_not_found": "it has no such model, or not for this key",
}
ANOTHER_KEY = (
    "the server wants another key. OPENAI_API_KEY goes to OpenAI, or to the server of "
    "OPENAI_BASE_URL, and to no other; another server's is named by --key NAME=VARIABLE (zelo "
    "train judge, zelo evaluate) or by keys in [judge] (zelo train run), and given as api_key= in "
    "Python"
)
STATUSES = {
    400: "it does not take the request: does it have this model, and is no text empty or too long?",
    401: ANOTHER_KEY,
    403: ANOTHER_KEY,
    404: "there is no such path or model: are base_url and the model's name right?",
    405: "the path takes no such request: is base_url right?",
    413: "the request was too large; send shorter texts",
    422: "it does not take the request: does it have this model, and is no text empty or too long?",
}


class UnsupportedParameterError(RemoteError):
    """The server, or the model behind it, does not take a parameter that was sent."""

    parameter: str | None = None
    """Its name, as it was sent."""


def refusal(where: str, got: HttpResponse, sent: Collection[str]) -> RemoteError:
    """Return the error of an answer whose status is not 200; `sent` names the parameters."""
    error = refused(where, got)
    told = _told(got)
    parameter = _parameter(told, sent) if error.status in (400, 422) else None
    if parameter is not None:
        message = f"{where} answered {got.status}: the model does not take {parameter!r} as sent"
        unsupported = UnsupportedParameterError(
            message, status=got.status, request_id=error.request_id
        )
        unsupported.parameter = parameter
        return unsupported
    code = told.get("code")
    advice = (CODES.get(code) if isinstance(code, str) else None) or STATUSES.get(got.status)
    if advice is None:
        return error
    named = f", request {error.request_id}" if error.request_id else ""
    message = f"{where} answered {got.status}{named}: {advice}"
    return type(error)(message, status=got.status, request_id=error.request_id)


def _told(got: HttpResponse) -> Mapping[str, Any]:
    """Return what the body says of the error, whether wrapped once, twice (Google) or bare."""
    told = got.json()
    if isinstance(told, list) and told:
        told = told[0]
    if isinstance(told, dict):
        told = told.get("error", told)
    return told if isinstance(told, dict) else {}


def _parameter(told: Mapping[str, Any], sent: Collection[str]) -> str | None:
    """Return the parameter that is not supported, if it is one that was sent."""
    code, name, message = told.get("code"), told.get("param"), told.get("message")
    if not (isinstance(code, str) and code in UNSUPPORTED and name is not None):
        found = UNSUPPORTED_IN_WORDS.search(message) if isinstance(message, str) else None
        name = None if found is None else found[1]
    return name if isinstance(name, str) and name in sent else None
