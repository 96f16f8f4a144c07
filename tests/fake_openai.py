"""A server that speaks OpenAI's API on the loopback: embeddings and chat, well-behaved or broken.

Written from the published schemas. It refuses what they refuse (empty texts, unknown parameters),
answers with functions of the test's own, and its `script` lets single requests fail.
"""

import asyncio
import base64
import json
import re
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fakes_serving import Asked, listening
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

__all__ = ["FakeOpenAI", "by_words", "completion", "judge", "passages", "query_of", "vector"]

Messages = list[dict[str, str]]
CHAT = {"model", "messages", "temperature", "seed", "max_tokens", "max_completion_tokens"}
EMBEDDINGS = {"model", "input", "encoding_format", "dimensions"}


class Refused(Exception):
    """The request is not one of the API."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        kind = "invalid_request_error"
        self.error = {"message": message, "type": kind, "param": param, "code": code}


def vector(text: str) -> list[float]:
    """A text's embedding: four small numbers that float32 holds exactly."""
    letters = text.lower()
    return [float(len(text)), *(letters.count(one) / 4 for one in "aei")]


def completion(text: str | None, reason: str = "stop", **message: Any) -> dict[str, Any]:
    """An answer of the chat model, its tokens being words."""
    said = {"role": "assistant", "content": text, **message}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": said, "finish_reason": reason}],
    }


@dataclass
class FakeOpenAI:
    """A server with an embedding model and a chat model; neither looks at the model's name."""

    chat: Callable[[Messages], str | dict[str, Any]] = lambda messages: "yes"
    """What is answered: a text, or a whole answer."""
    embed: Callable[[str], Sequence[float]] = vector
    key: str | None = None
    unsupported: frozenset[str] = frozenset()
    """Parameters that the models do not take, refused as OpenAI does."""
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    script: deque[Callable[[Asked], Response | None]] = field(default_factory=deque)
    """What the next requests meet instead of an answer; None answers after all."""
    pause: float = 0.0
    """Seconds that each answer takes."""
    most: int = 0
    """The most requests that were under way at once."""
    _under_way: int = 0

    @property
    def bodies(self) -> list[Any]:
        """What was asked, as JSON."""
        return [one.body for one in self.asked]

    def fail(self, status: int, times: int = 1, body: Any = None, **headers: str) -> None:
        """Answer the next requests with a status."""
        content = body if isinstance(body, str) else json.dumps(body or {"error": {"message": ""}})
        self.script.extend([lambda asked: Response(content, status, headers)] * times)

    def answer(self, body: Any) -> None:
        """Answer the next request with 200 and this JSON, or this text."""
        content = body if isinstance(body, str) else json.dumps(body)
        self.script.append(lambda asked: Response(content))

    @contextmanager
    def running(self) -> Iterator["FakeOpenAI"]:
        """Serve, and stop in the end."""
        routes = [
            Route("/v1/embeddings", self._handle, methods=["POST"]),
            Route("/v1/chat/completions", self._handle, methods=["POST"]),
        ]
        with listening(Starlette(routes=routes)) as self.url:
            yield self

    async def _handle(self, request: Request) -> Response:
        content = await request.body()
        body = json.loads(content)
        asked = Asked("POST", request.url.path, dict(request.headers), body, size=len(content))
        self.asked.append(asked)
        if self.key is not None and asked.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": {"message": "no", "code": "invalid_api_key"}}, 401)
        if self.script and (scripted := self.script.popleft()(asked)) is not None:
            return scripted
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        await asyncio.sleep(self.pause)
        self._under_way -= 1
        try:
            answer = self._embedded if asked.path == "/v1/embeddings" else self._completed
            return JSONResponse(answer(body))
        except Refused as refused:
            return JSONResponse({"error": refused.error}, 400)

    def _check(self, body: dict[str, Any], known: set[str]) -> None:
        for name in body.keys() - known:
            raise Refused(f"Unrecognized request argument supplied: {name}")
        for name in sorted(body.keys() & self.unsupported):
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            raise Refused(message, name, "unsupported_parameter")

    def _completed(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check(body, CHAT)
        for message in body["messages"]:
            if message.keys() != {"role", "content"} or not message["content"]:
                raise Refused("Invalid message", "messages")
        answer = self.chat(body["messages"])
        if not isinstance(answer, str):
            return answer
        read = sum(len(message["content"].split()) for message in body["messages"])
        wrote = len(answer.split())
        usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
        return completion(answer) | {"model": body["model"], "usage": usage}

    def _embedded(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check(body, EMBEDDINGS)
        texts = body["input"]
        if not texts or not all(texts) or len(texts) > 2048:
            raise Refused("'$.input' is invalid.", "input")
        data = [
            {"object": "embedding", "index": i, "embedding": self._coded(text, body)}
            for i, text in enumerate(texts)
        ]
        read = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": read, "total_tokens": read}
        return {"object": "list", "data": data, "model": body["model"], "usage": usage}

    def _coded(self, text: str, body: dict[str, Any]) -> str | list[float]:
        found = list(self.embed(text))[: body.get("dimensions")]
        if body.get("encoding_format", "float") == "float":
            return found
        return base64.b64encode(struct.pack(f"<{len(found)}f", *found)).decode()


def passages(messages: Messages) -> list[str]:
    """The numbered passages of a listwise prompt."""
    lines = re.findall(r'^\[(\d+)\] (".*")$', messages[-1]["content"], re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1))
    return [json.loads(text) for _, text in lines]


def query_of(messages: Messages) -> str:
    """The query of a listwise prompt."""
    line = messages[-1]["content"].partition("\n")[0]
    return str(json.loads(line.removeprefix("Query: ")))


def judge(worth: Callable[[str, str], float]) -> Callable[[Messages], str]:
    """A chat model that orders passages perfectly by their worth for the query."""

    def answer(messages: Messages) -> str:
        query, texts = query_of(messages), passages(messages)
        order = sorted(range(len(texts)), key=lambda place: -worth(query, texts[place]))
        return " > ".join(f"[{place + 1}]" for place in order)

    return answer


def by_words(query: str, text: str) -> float:
    """How many of the query's words a text holds."""
    return len(set(query.lower().split()) & set(re.findall(r"\w+", text.lower())))
