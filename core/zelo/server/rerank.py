"""From a request's bytes to a dialect's answer: the course of every rerank request.

A request is read, told apart, admitted and scored, in this order, and each step may refuse it.
While it is scored, a client that goes away takes its work with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from zelo.errors import NonFiniteScoreError, ScoringError
from zelo.server.admission import Ticket, estimated_tokens
from zelo.server.answering import Dialects, refused, scored
from zelo.server.body import deadline_of, object_in, read_body
from zelo.server.exchange import Exchange, exchange_of
from zelo.server.logs import log_failed, log_unexpected
from zelo.server.refusal import ClientGoneError, Refusal, refusal_of
from zelo.server.served import Outcome
from zelo.server.service import Service
from zelo.wire import RerankCall, RerankReply, Result, ServedDialect

__all__ = ["Handler", "rerank_at"]

Handler = Callable[[Request], Awaitable[Response]]
Answer = TypeVar("Answer")
BYTES_PER_PAIR = 150
"""What the vendor's API counted for every document, beside its bytes and the query's."""


def rerank_at(dialects: Dialects, service: Service) -> Handler:
    """Return what answers requests at the path of these dialects."""

    async def rerank(request: Request) -> Response:
        course = _Course(request, dialects, service)
        try:
            return await course.run()
        except Exception as error:
            refusal = refusal_of(error)
            if refusal.reason == "internal":
                log_unexpected(error, course.exchange)
            if isinstance(error, ScoringError):
                log_failed(error, course.exchange)
            if isinstance(error, NonFiniteScoreError):
                service.metrics.non_finite.inc()
            return refused(course.exchange, refusal, course.dialect)

    return rerank


class _Course:
    """One request on its way."""

    def __init__(self, request: Request, dialects: Dialects, service: Service) -> None:
        self._request, self._dialects, self._service = request, dialects, service
        self.exchange: Exchange = exchange_of(request.scope)
        self.dialect: ServedDialect[Any] = dialects[0]
        self.exchange.dialect = self.dialect.name

    async def run(self) -> Response:
        """Answer with scores within the deadline, or raise why not."""
        limits = self._service.limits
        seconds = deadline_of(self._request.headers, limits.timeout_s)
        waiting_for = Refusal(408, "timeout", f"the body did not arrive within {seconds:g} s")
        try:
            async with asyncio.timeout(seconds):
                with self._service.accepted(), self._service.admission.ticket() as ticket:
                    body = await read_body(self._request, limits.max_bytes, ticket)
                    waiting_for = Refusal(504, "timeout", _late(seconds))
                    return await self._answer(body, ticket)
        except TimeoutError:
            raise waiting_for from None
        except ClientDisconnect:
            raise ClientGoneError from None

    async def _answer(self, body: bytes, ticket: Ticket) -> Response:
        members = object_in(body)
        self.dialect = told_apart(self._dialects, members)
        self.exchange.dialect = self.dialect.name
        call = self.dialect.call(self.dialect.request_model.model_validate(members, strict=True))
        self.exchange.documents = len(call.documents)
        name, model = self._service.model(call.model)
        self._check_size(call)
        ticket.hold_tokens(estimated_tokens(call.query, call.documents))
        outcome = await unless_gone(self._request, model.rank(call))
        self._count(outcome)
        reply = _reply(call, name, outcome, self.exchange)
        return scored(self.dialect, self.dialect.answer(call, reply))

    def _check_size(self, call: RerankCall) -> None:
        most = self._service.limits.max_documents
        if len(call.documents) > most:
            message = f"{len(call.documents)} documents; this server takes {most} in one request"
            raise Refusal(413, "too_large", message)

    def _count(self, outcome: Outcome) -> None:
        metrics = self._service.metrics
        self.exchange.tokens = outcome.tokens
        metrics.documents.inc(self.exchange.documents)
        metrics.tokens.inc(outcome.tokens)
        metrics.truncations.inc(outcome.truncated)


def told_apart(dialects: Dialects, members: dict[str, Any]) -> ServedDialect[Any]:
    """Return the dialect most of whose required members a body has; of equals, the first."""

    def present(dialect: ServedDialect[Any]) -> int:
        fields = dialect.request_model.model_fields
        return sum(name in members for name, field in fields.items() if field.is_required())

    return max(dialects, key=present)


async def unless_gone(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Return what comes of the work, unless the client goes away, which cancels it.

    Raises:
        ClientGoneError: it went away first.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _reply(call: RerankCall, name: str, outcome: Outcome, exchange: Exchange) -> RerankReply:
    size = BYTES_PER_PAIR + len(call.query.encode())
    return RerankReply(
        id=exchange.request_id,
        model=name,
        results=[Result(r.index, r.score, r.logit, r.truncated) for r in outcome.ranking],
        documents=call.documents,
        tokens=outcome.tokens,
        total_bytes=sum(size + len(text.encode()) for text in call.documents),
        inference_s=outcome.seconds,
        e2e_s=exchange.seconds,
    )


def _late(seconds: float) -> str:
    return (
        f"no scores within {seconds:g} s, and what was not computed by then was dropped; send "
        "fewer or shorter documents, or ask again later"
    )
