"""What can be asked besides scores: is it alive, is it ready, what is it, how is it doing."""

import time

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict

import zelo
from zelo.server.answering import dialects_by_path
from zelo.server.page import page
from zelo.server.service import Service

__all__ = ["status_routes"]


class Described(BaseModel):
    """A value in an answer; pydantic's own prefix is free for the wire's names."""

    model_config = ConfigDict(protected_namespaces=())


class Health(Described):
    """How the server is."""

    status: str


class ListedModel(Described):
    """A served name, as OpenAI's clients list it."""

    id: str
    object: str = "model"
    created: int
    owned_by: str = "zelo"


class ModelList(Described):
    """All served names."""

    object: str = "list"
    data: list[ListedModel]


class ModelInfo(Described):
    """A served model."""

    name: str
    names: list[str]
    family: str | None
    scale: str = "probability"
    logit_scale: float | None
    """probability = sigmoid(logit / logit_scale)."""


class LimitsInfo(Described):
    """What one request may have."""

    max_bytes: int
    max_documents: int
    max_queued_tokens: int
    timeout_s: float


class Info(Described):
    """What this server is."""

    server: str = "zelo"
    version: str
    status: str
    models: list[ModelInfo]
    limits: LimitsInfo
    dialects: dict[str, list[str]]
    """The dialects' names by path."""
    model_id: str
    """As text-embeddings-inference calls the first model."""
    max_client_batch_size: int
    """As text-embeddings-inference calls max_documents."""


def status_routes(service: Service) -> APIRouter:
    """Return the routes of a service."""
    router = APIRouter()
    started = int(time.time())

    @router.get("/health", summary="Alive")
    async def health() -> Health:
        """Answer as long as the process can."""
        return Health(status="alive")

    @router.get("/ready", summary="Ready", responses={503: {"model": Health}})
    async def ready(response: Response) -> Health:
        """Score a known pair, and compare with the score it had when the model was loaded."""
        passed = await service.ready()
        response.status_code = 200 if passed else 503
        waits = service.state if service.state != "serving" else "failed"
        return Health(status="ready" if passed else waits)

    @router.get("/v1/models", summary="Served names")
    async def models() -> ModelList:
        """List the names that a request's `model` may be."""
        return ModelList(data=[ListedModel(id=name, created=started) for name in service.names])

    @router.get("/info", summary="What this server is")
    async def info() -> Info:
        """Tell models, limits and dialects, for clients that ask before they send."""
        return _info(service)

    @router.get("/metrics", summary="For Prometheus", response_class=Response)
    async def metrics() -> Response:
        """Return all counters."""
        return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    @router.get("/", summary="A page to try it", response_class=Response)
    async def try_it() -> Response:
        """Return a page that reranks what is typed in."""
        return page()

    return router


def _info(service: Service) -> Info:
    limits = service.limits
    return Info(
        version=zelo.__version__,
        status=service.state,
        models=[
            ModelInfo(
                name=model.names[0],
                names=list(model.names),
                family=model.family,
                logit_scale=model.scale,
            )
            for model in service.models
        ],
        limits=LimitsInfo(
            max_bytes=limits.max_bytes,
            max_documents=limits.max_documents,
            max_queued_tokens=limits.max_queued_tokens,
            timeout_s=limits.timeout_s,
        ),
        dialects={
            path: [dialect.name for dialect in dialects]
            for path, dialects in dialects_by_path().items()
        },
        model_id=service.names[0],
        max_client_batch_size=limits.max_documents,
    )
