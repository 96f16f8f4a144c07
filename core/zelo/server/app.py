"""The application: routes from the dialects' table, around one service."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from zelo.server.answering import dialect_at, dialects_by_path, refused
from zelo.server.body import TIMEOUT_HEADER
from zelo.server.exchange import exchange_of
from zelo.server.keys import ApiKeys
from zelo.server.limits import Limits
from zelo.server.middleware import Authentication, Envelope
from zelo.server.openapi import describe
from zelo.server.refusal import Refusal
from zelo.server.rerank import rerank_at
from zelo.server.served import ServedModel
from zelo.server.service import Service
from zelo.server.status import status_routes

__all__ = ["create_app"]


def create_app(
    models: Sequence[ServedModel],
    limits: Limits | None = None,
    keys: ApiKeys | None = None,
    *,
    cors_origins: Sequence[str] = (),
) -> FastAPI:
    """Return an ASGI application that serves models in every dialect of `zelo.wire`.

    The models are loaded while it runs, and until then requests are answered 503. Its
    `state.service` is the `Service` behind it.

    Args:
        models: what is served; a request that names none gets the first.
        limits: bounds; default, those of `Limits`.
        keys: who may use it; default, everybody who can reach it.
        cors_origins: origins whose web pages may use it; default, none.

    Raises:
        InputError: there is no model, or two have a name in common.
    """
    service = Service(models, limits or Limits(), keys or ApiKeys())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(service.load())
        try:
            yield
            await service.drained()
        finally:
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading
            service.close()

    # no page of documentation: its scripts would come from another host
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.service = service
    app.include_router(status_routes(service))
    for path, dialects in dialects_by_path().items():
        app.add_api_route(
            path,
            rerank_at(dialects, service),
            methods=["POST"],
            response_class=Response,
            include_in_schema=False,  # `describe` writes them
        )
    app.exception_handler(HTTPException)(_not_found)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    app.add_middleware(Authentication, service=service)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id", TIMEOUT_HEADER],
            expose_headers=["Retry-After", "X-Request-Id"],
        )
    app.add_middleware(Envelope, service=service)
    return app


async def _not_found(request: Request, error: HTTPException) -> Response:
    """Answer what no route does, in the dialect of the path if it has one."""
    reasons = {404: "not_found", 405: "method_not_allowed"}
    reason = reasons.get(error.status_code, "invalid")
    refusal = Refusal(error.status_code, reason, str(error.detail), error.headers)
    return refused(exchange_of(request.scope), refusal, dialect_at(request.url.path))
