"""What Prometheus is told: every server counts for itself, in a registry of its own."""

from collections.abc import Iterator, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from zelo.server.admission import Admission
from zelo.server.served import ServedModel

__all__ = ["Metrics"]

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: from a refusal to the default timeout."""


class Metrics:
    """The counters of one server."""

    def __init__(self, models: Sequence[ServedModel], admission: Admission) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "zelo_requests", "Requests answered.", ["dialect", "status"], registry=registry
        )
        self.seconds = Histogram(
            "zelo_request_seconds",
            "Seconds from a rerank request's arrival to its answer.",
            ["dialect"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.documents = Counter("zelo_documents", "Documents scored.", registry=registry)
        self.tokens = Counter(
            "zelo_prompt_tokens", "Tokens of all documents' whole prompts.", registry=registry
        )
        self.truncations = Counter(
            "zelo_truncated_documents", "Documents whose end was not read.", registry=registry
        )
        self.refusals = Counter(
            "zelo_refusals", "Requests without scores.", ["reason"], registry=registry
        )
        self.non_finite = Counter(
            "zelo_non_finite", "Requests that got NaN or infinity.", registry=registry
        )
        self.under_way = Gauge(
            "zelo_requests_under_way", "Requests accepted and not answered.", registry=registry
        )
        self.ready = Gauge("zelo_ready", "1 if the last check was passed.", registry=registry)
        queue = Gauge(
            "zelo_queue_tokens", "Estimated tokens of requests under way.", registry=registry
        )
        queue.set_function(lambda: admission.in_use)
        registry.register(_ModelCounters(models))
        ProcessCollector(registry=registry)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _ModelCounters(Collector):
    """The models' own counters, read when they are asked for."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Yield each counter with a sample per model."""
        told = [(model, model.stats()) for model in self._models]
        for name, meaning in COUNTERS.items():
            family = CounterMetricFamily(f"zelo_model_{name}", meaning, labels=["model"])
            for model, stats in told:
                family.add_metric([model.names[0]], getattr(stats, name))
            yield family
        fill = GaugeMetricFamily(
            "zelo_pack_fill_ratio",
            "Tokens of all forward passes, as a share of the most they might have had.",
            labels=["model"],
        )
        for model, stats in told:
            if stats.room:
                fill.add_metric([model.names[0]], stats.tokens / stats.room)
        yield fill


COUNTERS = {
    "calls": "Scoring calls finished.",
    "packs": "Forward passes.",
    "tokens": "Tokens that went through the model, shared queries counted once per pass.",
    "documents": "Token sequences scored.",
    "prefix_tokens_saved": "Query tokens that documents of a pass shared.",
    "merged_callers": "Calls that shared a forward pass with another one.",
    "out_of_memory": "Forward passes for which memory ran out; computed again in halves.",
}
"""Members of `Stats`, with what they count."""
