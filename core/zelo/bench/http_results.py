"""What a load test of a server found, as values. No server, no clock, no screen."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from zelo.bench.results import Machine

__all__ = ["Exchange", "HttpReport", "Latency", "Load", "Overload", "Throughput", "Verdict"]

Verdict = Literal["right", "wrong", "refused", "lost"]
"""Scores as expected; other scores; 429; anything else, such as no answer at all."""
LEAST_RATIO = 0.85
"""Documents per second over HTTP, as a share of the in-process scorer's: what HTTP may cost."""
LARGEST_REFUSAL = 0.1
"""Median refusal as a share of the median accepted request: a refusal must not wait its turn."""


class Exchange(NamedTuple):
    """One request and what became of it."""

    verdict: Verdict
    seconds: float
    """From the moment it was due to the end of its answer."""
    status: str
    """HTTP status, or the name of what broke."""


class Latency(NamedTuple):
    """Seconds by which this share of the requests was answered (nearest rank)."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Latency | None":
        """Summarise; None of nothing."""
        ordered = sorted(seconds)
        if not ordered:
            return None
        return cls(*(ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95, 0.99)))


class Throughput(NamedTuple):
    """Work done in a time, which ends with the last answer."""

    documents: int
    seconds: float

    @property
    def documents_per_second(self) -> float:
        """The quotient; 0 where nothing was done."""
        return self.documents / self.seconds if self.documents else 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that were sent, and what became of each."""

    exchanges: tuple[Exchange, ...]
    seconds: float
    """From the first request to the last answer."""
    documents_per_request: int

    def count(self, verdict: Verdict) -> int:
        """Return how many requests came to this."""
        return sum(exchange.verdict == verdict for exchange in self.exchanges)

    def latency(self, verdict: Verdict) -> Latency | None:
        """Summarise the seconds of the requests that came to this."""
        return Latency.of(e.seconds for e in self.exchanges if e.verdict == verdict)

    @property
    def throughput(self) -> Throughput:
        """Documents whose scores came, and were right."""
        return Throughput(self.count("right") * self.documents_per_request, self.seconds)

    @property
    def statuses(self) -> dict[str, int]:
        """How often each status came."""
        return dict(sorted(Counter(e.status for e in self.exchanges).items()))


@dataclass(frozen=True, slots=True)
class Overload(Load):
    """Requests at a fixed rate, above what the server can do; nobody waits for an answer."""

    requests_per_second: float
    """The rate at which requests were due."""
    full_queue_seconds: float
    """What the server needs for all that it admits at once, at the speed measured before."""

    @property
    def refused_share(self) -> float:
        """Share of all requests that were answered 429."""
        return self.count("refused") / len(self.exchanges)

    @property
    def refusal_ratio(self) -> float | None:
        """Median refusal over median accepted request; None where there is not both."""
        refused, accepted = self.latency("refused"), self.latency("right")
        return refused.p50 / accepted.p50 if refused and accepted else None


@dataclass(frozen=True, slots=True)
class HttpReport:
    """A whole load test."""

    model: str
    server: str
    """Its address, or that it was started for the test."""
    machine: Machine
    clients: int
    document_tokens_mean: float
    in_process: tuple[Throughput, Throughput]
    """The in-process scorer on the same requests: before the server's turn, and after it."""
    load: Load
    """As many clients as the server admits, each of which waits for its answer."""
    overload: Overload | None

    @property
    def ratio(self) -> float | None:
        """Documents per second over HTTP, as a share of the in-process scorer's."""
        documents = sum(of.documents for of in self.in_process)
        alone = Throughput(documents, sum(of.seconds for of in self.in_process))
        served = self.load.throughput.documents_per_second
        return served / alone.documents_per_second if documents else None

    @property
    def sound(self) -> bool:
        """Every request was answered, and every score was the expected one."""
        loads: Sequence[Load] = [self.load, self.overload] if self.overload else [self.load]
        failed = sum(load.count("lost") + load.count("wrong") for load in loads)
        return not failed and not self.load.count("refused")

    @property
    def misses(self) -> list[str]:
        """Return which targets of speed were missed."""
        missed = []
        if self.ratio is not None and self.ratio < LEAST_RATIO:
            missed.append(
                f"{self.ratio:.0%} of the in-process speed; the target is {LEAST_RATIO:.0%}"
            )
        ratio = self.overload.refusal_ratio if self.overload else None
        if ratio is not None and ratio > LARGEST_REFUSAL:
            missed.append(
                f"a refusal takes {ratio:.0%} of an accepted request; the target is "
                f"{LARGEST_REFUSAL:.0%}"
            )
        return missed

    def as_json(self) -> dict[str, Any]:
        """Return plain values, with what the properties say written out."""
        return {
            "model": self.model,
            "server": self.server,
            "machine": asdict(self.machine),
            "clients": self.clients,
            "documents_per_request": self.load.documents_per_request,
            "document_tokens_mean": self.document_tokens_mean,
            "in_process": [_throughput(of) for of in self.in_process],
            "load": _load(self.load),
            "ratio": self.ratio,
            "overload": _overload(self.overload) if self.overload else None,
            "sound": self.sound,
            "misses": self.misses,
        }


def _throughput(throughput: Throughput) -> dict[str, float]:
    return throughput._asdict() | {"documents_per_second": throughput.documents_per_second}


def _load(load: Load) -> dict[str, Any]:
    accepted = load.latency("right")
    verdicts: tuple[Verdict, ...] = ("right", "wrong", "refused", "lost")
    return {
        "requests": len(load.exchanges),
        **{verdict: load.count(verdict) for verdict in verdicts},
        "statuses": load.statuses,
        "seconds": load.seconds,
        "documents_per_second": load.throughput.documents_per_second,
        "accepted_seconds": accepted._asdict() if accepted else None,
    }


def _overload(overload: Overload) -> dict[str, Any]:
    refused = overload.latency("refused")
    return _load(overload) | {
        "requests_per_second": overload.requests_per_second,
        "full_queue_seconds": overload.full_queue_seconds,
        "refused_share": overload.refused_share,
        "refused_seconds": refused._asdict() if refused else None,
        "refusal_ratio": overload.refusal_ratio,
    }
