"""`zelo serve` on many cards: its application in replicas under Ray Serve, one card each.

    pip install -c tests/constraints.txt -e ".[ray]"
    cd examples
    export PYTHONPATH=$PWD RAY_AUTH_MODE=token     # both also for `serve status`, `serve shutdown`
    export ZELO_API_KEYS=...                       # before Ray starts; else no key is wanted
    ray start --head --disable-usage-stats
    serve start --http-host 0.0.0.0                # else this machine alone is served
    serve run --non-blocking --working-dir . ray_serve:build model=zerank-2 max_replicas=8

Every client of `zelo serve` works unchanged, at port 8000 of every machine with a replica. Further
machines join by `ray start --address=FIRST:6379`, with zelo installed, the same keys and a copy of
the first one's ~/.ray/auth_token.

- Replicas come and go with the tokens under way, as the server counts them, not with requests: one
  request may have a document or a thousand.
- A replica serves once its model is loaded, and is replaced when it no longer scores the known pair
  as it did at first: its health check is the server's own /ready.
- What dies with a replica is answered 500 by Ray, and `zelo.Reranker` asks again (`max_retries`).
- The same `serve run` with other options updates one replica after the other, and each of them
  finishes what it has accepted. Where there is only one, requests wait until the next is ready.
"""

import asyncio
import math
from typing import Any

import torch
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from zelo import Reranker
from zelo.server import ApiKeys, Limits, ServedModel, create_app

QUEUED_TOKENS = "queued_tokens"
MOST_REQUESTS = 10_000
"""Of one replica, for Ray, which counts requests: far more than the server's bound in tokens, so
that the server refuses, with 429 and the seconds after which to ask again."""
HEALTH_S = 2.0
"""Between two checks, each of which scores one short pair."""


class Options(BaseModel):
    """What `serve run ray_serve:build NAME=VALUE ...` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "zelo-nano"
    """Alias, hub id or folder."""
    served_model_name: str | None = None
    """What requests call it; give one if the model is to change while clients stay."""
    min_replicas: PositiveInt = 1
    max_replicas: PositiveInt = 2
    gpus_per_replica: NonNegativeFloat | None = None
    """Cards, or a part of one; default, one if the machine where `serve run` is called has any."""
    cpus_per_replica: PositiveInt = 1
    """Cores, which are also the threads of a replica that has no card."""
    tokens_per_replica: PositiveInt = 100_000
    """Tokens under way from which on a replica has enough: one more is started for each multiple.
    By `zelo plan`, an H200 takes about two seconds for as many with zerank-2."""
    timeout_s: PositiveFloat = 60.0
    """From a request to its answer; how long a replica may take to end is bound by it."""


@serve.ingress()
class Replica:
    """One copy of the server, with its model."""

    def __init__(self, options: Options) -> None:
        names = [options.served_model_name] if options.served_model_name else []
        served = ServedModel(Reranker(options.model), names)
        limits = Limits(timeout_s=options.timeout_s)
        self._application = create_app([served], limits, ApiKeys.gathered((), None))
        self._service = self._application.state.service

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return what answers requests; Ray runs its lifespan, which loads the model."""
        return self._application

    async def check_health(self) -> None:
        """Raise unless the model scores as it should; the first time, wait until it is loaded."""
        while self._service.state == "loading":
            await asyncio.sleep(0.05)
        if self._service.failure is not None:
            raise self._service.failure
        if not await self._service.ready():
            raise RuntimeError("the known pair did not get its score; the log tells why")

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Tell Ray how many tokens are under way."""
        return {QUEUED_TOKENS: self._service.admission.in_use}


class ByQueuedTokens:
    """As many replicas as the tokens under way need; Ray applies bounds and delays."""

    def __init__(self, tokens_per_replica: int) -> None:
        self._tokens = tokens_per_replica

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """Return how many are wanted, and no state."""
        queued = (context.aggregated_metrics or {}).get(QUEUED_TOKENS, {})
        return math.ceil(sum(queued.values()) / self._tokens), {}


def build(options: Options) -> serve.Application:
    """Return the application to run."""
    gpus = options.gpus_per_replica
    if gpus is None:
        gpus = 1.0 if torch.cuda.is_available() else 0.0
    policy = AutoscalingPolicy(
        policy_function=ByQueuedTokens,
        policy_kwargs={"tokens_per_replica": options.tokens_per_replica},
    )
    deployment = serve.deployment(
        Replica,
        name="zelo",
        max_ongoing_requests=MOST_REQUESTS,
        ray_actor_options={"num_gpus": gpus, "num_cpus": options.cpus_per_replica},
        autoscaling_config=AutoscalingConfig(
            min_replicas=options.min_replicas,
            max_replicas=options.max_replicas,
            look_back_period_s=10.5,  # over which tokens are averaged; Ray measures every 10 s
            upscale_delay_s=0.0,  # the average is delay enough
            downscale_delay_s=300.0,
            policy=policy,
        ),
        health_check_period_s=HEALTH_S,
        graceful_shutdown_timeout_s=options.timeout_s + 10,
    )
    return deployment.bind(options)
