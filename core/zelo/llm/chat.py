"""Completions by a chat model: messages in, one text out, with what it took.

Knows nothing of what is asked. Models differ in the parameters that they take: one that is refused
by name is left to the model's default (or, for `max_tokens`, sent under the name that newer models
want) from then on, which is logged.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, Field

from zelo._common.checks import check_text, instance_of, not_negative, positive
from zelo.llm.endpoint import MAX_RETRIES, Endpoint
from zelo.llm.refusals import UnsupportedParameterError

__all__ = ["Chat", "Completion", "Message"]

log = logging.getLogger("zelo")

PATH = "/chat/completions"
SUCCESSOR = {"max_tokens": "max_completion_tokens"}
"""Every server takes the first; OpenAI's reasoning models take the second alone."""

Message = Mapping[str, str]
"""`role` (system, user or assistant) and `content`."""


class Completion(NamedTuple):
    """What a model wrote."""

    text: str
    """Empty where it wrote nothing, or declined."""
    input_tokens: int
    """0 where the server does not tell."""
    output_tokens: int
    """Including those of reasoning that is not shown; 0 where the server does not tell."""
    finish_reason: str | None
    """Why it stopped, as the server says: `stop`; `length`, so that the text is cut off;
    `content_filter`. `refusal` where the model declined, whatever the server says."""


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


class Chat:
    """A chat model on a server that speaks OpenAI's API; safe for threads and event loops.

    Args:
        model: its name there.
        base_url: see `Endpoint`, as for `api_key`, `allow_http`, `timeout` and `max_retries`.
        temperature: 0 for the likeliest text; None for the model's default.
        max_tokens: the most that may be generated, unseen reasoning included; None for the
            server's own limit.
        seed: for servers that can repeat an answer; None sends none.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        temperature: float | None = 0.0,
        max_tokens: int | None = 4096,
        seed: int | None = None,
        allow_http: bool = False,
        timeout: float | None = 120.0,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        check_text("model", model)
        if temperature is not None:
            temperature = not_negative("temperature", temperature)
        self.model = model
        self._options = {
            "temperature": temperature,
            "max_tokens": positive("max_tokens", max_tokens),
            "seed": None if seed is None else instance_of("seed", seed, int),
        }
        self._refused: set[str] = set()
        self._endpoint = Endpoint(
            base_url,
            api_key=api_key,
            allow_http=allow_http,
            timeout=timeout,
            max_retries=max_retries,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What its answers depend on, as JSON, but for the messages; no key."""
        return {"model": self.model, "server": self._endpoint.url, **self._options}

    def complete(self, messages: Sequence[Message]) -> Completion:
        """Return the model's answer to the messages.

        Raises:
            ScoringError: there is none; see `Endpoint.post`. No message is repeated.
        """
        while True:
            body = self._body(messages)
            try:
                return self._completion(self._endpoint.post(PATH, body, _Answer))
            except UnsupportedParameterError as error:
                self._without(error)

    async def acomplete(self, messages: Sequence[Message]) -> Completion:
        """`complete` for event loops."""
        while True:
            body = self._body(messages)
            try:
                return self._completion(await self._endpoint.apost(PATH, body, _Answer))
            except UnsupportedParameterError as error:
                self._without(error)

    def close(self) -> None:
        """Close the connections; calling it twice is harmless."""
        self._endpoint.close()

    def __repr__(self) -> str:
        return f"Chat({self.model!r}, {self._endpoint.url!r})"

    def _body(self, messages: Sequence[Message]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "messages": [dict(one) for one in messages]}
        for name, value in self._options.items():
            known = SUCCESSOR.get(name) if name in self._refused else name
            if value is not None and known is not None and known not in self._refused:
                body[known] = value
        return body

    def _without(self, error: UnsupportedParameterError) -> None:
        """Do without the refused parameter, if it is an optional one; each is refused once."""
        name = error.parameter
        if name not in (*self._options, *SUCCESSOR.values()):
            raise error
        if name not in self._refused:
            instead = SUCCESSOR.get(name)
            now = f"sent as {instead}" if instead else "left to its default"
            log.warning(
                "%s at %s: %s is refused, and %s", self.model, self._endpoint.url, name, now
            )
        self._refused.add(name)

    def _completion(self, answer: _Answer) -> Completion:
        choice = answer.choices[0]
        refused = bool(choice.message.refusal)
        return Completion(
            text="" if refused else choice.message.content or "",
            input_tokens=self._endpoint.tokens(answer.usage, "prompt_tokens"),
            output_tokens=self._endpoint.tokens(answer.usage, "completion_tokens"),
            finish_reason="refusal" if refused else choice.finish_reason,
        )
