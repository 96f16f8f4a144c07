"""A load test of `zelo serve`: right answers, their times, and what HTTP costs beside the scorer.

The in-process scorer and the server take turns on the same cores with the same requests: the scorer
for half the time, the server for all of it, the scorer for the other half. Then the server alone
gets three times the requests that it can do.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from zelo.bench.http_load import Client, Work, keep_busy, overrun, score_alone
from zelo.bench.http_results import HttpReport, Load, Overload, Throughput
from zelo.bench.http_server import capacity_of, connections, started
from zelo.bench.machine import describe_machine
from zelo.bench.measure import TOLERANCES
from zelo.bench.models import read_tokenizer
from zelo.bench.workloads import LogNormal, log_normal_workload
from zelo.errors import InputError
from zelo.reranker import Reranker
from zelo.scoring.catalog import resolve
from zelo.server.admission import estimated_tokens

__all__ = ["HttpSettings", "run_http_bench"]

OVERLOAD = 3.0
"""Requests per second in the overload, as a multiple of what the server was measured to do."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What to measure."""

    model: str = "zelo-nano"
    """An alias or folder, scored here and served there."""
    base_url: str | None = None
    """A server that is there; None starts one that admits exactly the clients' requests."""
    api_key: str | None = None
    served_name: str | None = None
    """What the server calls the model; None for its first."""
    clients: int = 64
    seconds: float = 60.0
    """Of the server's turn, of the scorer's two turns together, and at least of the overload."""
    documents: int = 50
    """Documents of a request."""
    law: LogNormal = field(default_factory=lambda: LogNormal(median=200, sigma=0.3))
    """Tokens of a document: about 200, from 80 to 500."""
    dtype: str = "float32"


async def run_http_bench(
    settings: HttpSettings, on_step: Callable[[str], None] = lambda _: None
) -> HttpReport:
    """Measure, and tell `on_step` before each step what it is.

    Raises:
        InputError: a setting has no meaning.
        ModelError: the model cannot be loaded.
        ScoringError: the server cannot be started or reached.
    """
    _check(settings)
    machine = describe_machine()
    on_step("loading")
    with Reranker(settings.model, device="cpu", dtype=settings.dtype) as reranker:
        texts, mean = _texts(settings)
        on_step("expected scores")
        work = [Work(q, d, tuple(await reranker.ascore(q, d, scale="logit"))) for q, d in texts]
        cost = max(estimated_tokens(one.query, one.documents) for one in work)
        on_step("reaching the server")
        async with (
            _server(settings, cost) as address,
            connections(address, settings.api_key) as http,
        ):
            admitted = await capacity_of(http) // cost
            client = Client(http, work, settings.served_name, TOLERANCES[settings.dtype])
            before, load, after = await _turns(settings, reranker, work, client, on_step)
            overload = await _overload(settings, client, load, admitted, on_step)
    return HttpReport(
        model=settings.model,
        server=settings.base_url or "started for this test",
        machine=machine,
        clients=settings.clients,
        document_tokens_mean=mean,
        in_process=(before, after),
        load=load,
        overload=overload,
    )


@asynccontextmanager
async def _server(settings: HttpSettings, cost: int) -> AsyncIterator[str]:
    """Give the address of the server that is there, or of one that admits all clients at once."""
    if settings.base_url is not None:
        yield settings.base_url
        return
    async with started(settings.model, settings.dtype, settings.clients * cost) as address:
        yield address


async def _turns(
    settings: HttpSettings,
    reranker: Reranker,
    work: Sequence[Work],
    client: Client,
    on_step: Callable[[str], None],
) -> tuple[Throughput, Load, Throughput]:
    clients, seconds = settings.clients, settings.seconds
    on_step("in-process scorer, first half")
    before = await score_alone(reranker, work, clients, seconds / 2)
    on_step(f"server, {clients} clients")
    load = await keep_busy(client, clients, seconds, settings.documents)
    on_step("in-process scorer, second half")
    return before, load, await score_alone(reranker, work, clients, seconds / 2)


async def _overload(
    settings: HttpSettings,
    client: Client,
    load: Load,
    admitted: int,
    on_step: Callable[[str], None],
) -> Overload | None:
    """Send more than the server can do; None if it did nothing before."""
    speed = load.count("right") / load.seconds
    if not speed:
        return None
    on_step(f"server, {OVERLOAD:g} times what it can do")
    full = admitted / speed
    seconds = max(settings.seconds, full)  # the queue is full after half of `full`
    return await overrun(client, OVERLOAD * speed, seconds, settings.documents, full)


def _check(settings: HttpSettings) -> None:
    if settings.dtype not in TOLERANCES:
        raise InputError(f"dtype={settings.dtype!r}; choose one of {', '.join(TOLERANCES)}")
    for name in ("clients", "seconds", "documents"):
        value = getattr(settings, name)
        if not value > 0:
            raise InputError(f"{name}={value}; give a number above 0")


def _texts(settings: HttpSettings) -> tuple[list[tuple[str, tuple[str, ...]]], float]:
    """Return a request for each client, no text twice, and the mean tokens of a document."""
    folder = resolve(settings.model).folder
    if folder is None:
        message = f"{settings.model!r} is on the hub; give the folder of a local copy"
        raise InputError(message)
    size = settings.documents
    workload = log_normal_workload(read_tokenizer(folder), settings.clients * size, settings.law)
    requests = []
    for client in range(settings.clients):
        documents = workload.documents[client * size : (client + 1) * size]
        requests.append((f"{workload.query} {client}", documents))
    return requests, sum(workload.document_tokens) / len(workload.documents)
