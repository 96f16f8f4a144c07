"""What surrounds every request, whatever its path: its id, its log line, its key.

Plain ASGI, so that bodies and disconnects pass through untouched.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zelo.server.answering import dialect_at, refused
from zelo.server.exchange import Exchange, exchange_of
from zelo.server.logs import log_request, log_unexpected
from zelo.server.page import sign_in
from zelo.server.refusal import Refusal, refusal_of
from zelo.server.service import Service

__all__ = ["OPEN_PATHS", "Authentication", "Envelope"]

OPEN_PATHS = ("/health", "/ready")
"""What needs no key: a load balancer has none, and neither tells anything but yes or no."""


class Envelope:
    """Gives every request an id, counts and logs its answer, and answers what nobody foresaw."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._metrics = app, service.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange.begun(scope, Headers(scope=scope).get("x-request-id"))

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = exchange.request_id
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, marked)
        except Exception as error:
            log_unexpected(error, exchange)
            if not exchange.status:
                response = refused(exchange, refusal_of(error), dialect_at(scope["path"]))
                await response(scope, receive, marked)
        finally:
            self._count(exchange)
            log_request(exchange)

    def _count(self, exchange: Exchange) -> None:
        self._metrics.requests.labels(exchange.dialect, exchange.status).inc()
        if exchange.dialect != "none":
            self._metrics.seconds.labels(exchange.dialect).observe(exchange.seconds)
        if exchange.reason is not None:
            self._metrics.refusals.labels(exchange.reason).inc()


class Authentication:
    """Lets nobody through without a key, to any path that is not open."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._keys = app, service.keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401 before its body is read."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self._keys.admit(headers.get("authorization")):
            await self._app(scope, receive, send)
            return
        refusal = Refusal(401, "unauthorized", MESSAGE, {"WWW-Authenticate": "Bearer"})
        response = refused(exchange_of(scope), refusal, dialect_at(scope["path"]))
        if scope["path"] == "/" and "text/html" in headers.get("accept", ""):
            response = sign_in(refusal)
        await response(scope, receive, send)


MESSAGE = "this server wants an API key: send the header Authorization: Bearer KEY"
