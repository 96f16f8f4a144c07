"""A server that speaks OpenAI's API: requests with retries and a deadline, answers checked.

Knows nothing of embeddings or chat, only that JSON goes out and JSON of a known shape comes back.
"""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from zelo._common.checks import at_least_zero, positive_seconds, true_or_false
from zelo.errors import ClosedError, InputError, RemoteAnswerError, ScoringTimeoutError
from zelo.llm.refusals import refusal
from zelo.llm.server import prefix_of, server_and_key
from zelo.scoring.retrying import Patience, Retries
from zelo.transport.address import Address
from zelo.transport.client import Http
from zelo.transport.messages import HttpRequest, HttpResponse, where

__all__ = ["MAX_RETRIES", "Endpoint"]

log = logging.getLogger("zelo")
Answer = TypeVar("Answer", bound=BaseModel)

MAX_RETRIES = 5
"""More than a reranker's 2: evaluation runs for hours against limits that count by the minute."""


class Endpoint:
    """One server, by its base URL; safe to use from many threads and event loops at once.

    Args:
        base_url: as SDKs take it; `/v1` may be left out after a bare host. Default, the
            environment's `OPENAI_BASE_URL`, or OpenAI.
        api_key: default, `OPENAI_API_KEY`, if the server is the one of the default `base_url`.
        allow_http: send the key in clear text, through a network that is yours.
        timeout: seconds for a call, with all its attempts and pauses. A blocking call may
            overrun it by one read where a server trickles its headers.
        max_retries: further attempts after a failure that may pass.

    Raises:
        InputError: an option has no meaning, or the key would travel in clear text.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        allow_http: bool = False,
        timeout: float | None = 60.0,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        true_or_false("allow_http", allow_http)
        base_url, self._key = server_and_key(base_url, api_key)
        address = Address.of(base_url, self._key is not None, allow_http)
        self._prefix = prefix_of(base_url, address)
        self._http = Http(address)
        self._patience = Patience(
            positive_seconds("timeout", timeout), at_least_zero("max_retries", max_retries)
        )
        self._retries = Retries(self.url)
        self._closed = False
        self._uncounted = False

    @property
    def url(self) -> str:
        """The server's URL with its version; it holds no secret."""
        return self._http.address.root + self._prefix

    def post(self, path: str, body: Mapping[str, Any], shape: type[Answer]) -> Answer:
        """Send a request to a path such as `/embeddings`, and return its answer.

        Raises:
            InputError: a text is not valid Unicode.
            RemoteAuthError: the server wants another key.
            RemoteError: the server could not be reached, or refused.
            RemoteAnswerError: its answer is not of the shape.
            ScoringTimeoutError: there was no answer in time.
            ClosedError: `close` was called.
        """
        ask = self._ask(path, body)

        def attempt(seconds: float | None) -> Answer:
            return self._read(self._http.send(ask, self._headers(), seconds), shape)

        return self._patience.call(attempt, retries=self._retries)

    async def apost(self, path: str, body: Mapping[str, Any], shape: type[Answer]) -> Answer:
        """`post` for event loops; cancelling drops what is under way."""
        ask, since = self._ask(path, body), time.monotonic()

        async def attempt(seconds: float | None) -> Answer:
            return self._read(await self._http.asend(ask, self._headers(), seconds), shape)

        try:
            async with asyncio.timeout(self._patience.timeout):  # httpx bounds each read alone
                return await self._patience.acall(attempt, since, self._retries)
        except TimeoutError:
            message = f"{self._where(ask)}: no answer within {self._patience.timeout:g} s"
            raise ScoringTimeoutError(message) from None

    def tokens(self, usage: object, name: str) -> int:
        """Return a number of an answer's `usage`; 0 where it is not told, which is logged once."""
        count = usage.get(name) if isinstance(usage, Mapping) else None
        if type(count) is int and count >= 0:
            return count
        if not self._uncounted:
            self._uncounted = True
            log.warning("%s does not tell %s; they count as 0", self.url, name)
        return 0

    def close(self) -> None:
        """Close the connections; calling it twice is harmless."""
        self._closed = True
        self._http.close()
        self._retries.sum_up()

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    def _ask(self, path: str, body: Mapping[str, Any]) -> HttpRequest:
        if self._closed:
            raise ClosedError(f"the connections to {self.url} were closed; make new ones")
        if not _encodable(body):
            raise InputError("a text holds a lone surrogate, which is not valid Unicode; mend it")
        return HttpRequest("POST", self._prefix + path, body)

    def _headers(self) -> dict[str, str]:
        return {} if self._key is None else {"Authorization": f"Bearer {self._key.reveal()}"}

    def _where(self, ask: HttpRequest) -> str:
        return where(self._http.address, ask)

    def _read(self, got: HttpResponse, shape: type[Answer]) -> Answer:
        if got.status != 200:
            raise refusal(self._where(got.ask), got, got.ask.body)
        try:
            return shape.model_validate(got.json())
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            at = ".".join(map(str, first["loc"])) or "the whole"
            problem = f"the answer is not of the API's form, at {at}: {first['msg']}"
        # not inside `except`: that error holds what the server sent, which may be what we sent
        raise RemoteAnswerError(f"{self._where(got.ask)}: {problem}")


def _encodable(body: Mapping[str, Any]) -> bool:
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
