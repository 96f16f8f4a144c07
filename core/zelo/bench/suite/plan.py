"""In which order a model is measured, and about how long each step takes.

What is worth most comes first. The times are estimates from the measured ceiling, and decide only
what is left out of a run that is short of time.
"""

from collections.abc import Callable, Iterator
from functools import partial

from zelo.bench.peers import ServerPeer
from zelo.bench.suite import workloads
from zelo.bench.suite.asked import ASKED
from zelo.bench.suite.budget import Step
from zelo.bench.suite.measuring import Counted
from zelo.bench.suite.results import BFLOAT16, Key, Measure, Result
from zelo.bench.suite.stage import Stage
from zelo.bench.suite.subject import SENTENCE_TRANSFORMERS, TRANSFORMERS

__all__ = ["steps_of"]

COMPARED = ("short", "rag", "instruction")
SERVED = ("polaria", "polaria-long-query", "short")
"""Workloads that a server is asked for; vLLM's published figures are of the first two."""
CURVE_OF_PEER = ("documents-10", "documents-100")

# assumed, all of them
LOADED_PER_S = 1e9  # bytes of weights, read or written
GETTING_READY_S = 20.0  # on a card, where layers are compiled
STARTING_S = 1.0
PROFILING_S = 10.0
ZELO_RATE, PEER_RATE = 0.5, 0.3  # shares of the ceiling


def steps_of(stage: Stage) -> Iterator[Step]:
    """Yield all measurements of a model in one number format."""
    at = _Estimates(stage)
    yield _step(stage, "loading", stage.load, at.loading + at.writing)
    for name in workloads.NAMED:
        yield _speed(stage, at, name)
    yield _step(stage, "stream", stage.stream, at.stream, workloads.STREAM)
    for name in COMPARED:
        yield _against(stage, at, SENTENCE_TRANSFORMERS, name)
    if stage.server is not None:
        for name in SERVED:
            work = partial(stage.against_server, name)
            yield _step(stage, "against", work, at.against(name), name, stage.server.name)
    for name in workloads.CURVES:
        yield _speed(stage, at, name)
    if stage.quantization == BFLOAT16:
        for name in CURVE_OF_PEER:
            yield _against(stage, at, SENTENCE_TRANSFORMERS, name)
        for name in COMPARED:
            yield _against(stage, at, TRANSFORMERS, name)
    yield _step(stage, "memory", stage.memory, at.memory, "pack-32k")


def _speed(stage: Stage, at: "_Estimates", name: str) -> Step:
    return _step(stage, "speed", partial(stage.speed, name), at.speed(name), name)


def _against(stage: Stage, at: "_Estimates", peer: str, name: str) -> Step:
    work = partial(stage.against, peer, name)
    return _step(stage, "against", work, at.against(name), name, peer)


def _step(
    stage: Stage,
    measure: Measure,
    work: Callable[[], Result],
    seconds: float,
    workload: str = "",
    peer: str = "",
) -> Step:
    key = Key(stage.subject.name, stage.quantization, measure, workload, peer)
    return Step(key, seconds, work, extra=not _necessary(key))


def _necessary(key: Key) -> bool:
    """Whether a figure that is asked for needs it, or a server that was named."""
    if key.measure == "loading":
        return any(asked.key[:2] == key[:2] for asked in ASKED)
    return key.peer == ServerPeer.name or any(asked.key == key for asked in ASKED)


class _Estimates:
    """Seconds that the steps of a stage may take."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._per_token = 2 * stage.subject.shape.projection_weights / stage.ceiling
        on_card = stage.device.type == "cuda"
        self.writing = stage.subject.bytes / LOADED_PER_S if stage.subject.is_to_be_written else 0.0
        self.loading = stage.subject.bytes / LOADED_PER_S
        self.loading += GETTING_READY_S if on_card else STARTING_S
        self._profiling = PROFILING_S if on_card else 0.0

    def speed(self, name: str) -> float:
        """Of a workload's row: the timed calls, and two before them."""
        return (2 + self._stage.calls(name)) * self._zelo(self._tokens(name).unique)

    def against(self, name: str) -> float:
        """Of a comparison: a warm run and one for each batch size, then the rounds."""
        rounds, sizes = self._stage.scale.rounds, len(self._stage.scale.peer_batch_sizes)
        tokens = self._tokens(name)
        peer = self._per_token * tokens.unshared / PEER_RATE
        return (1 + sizes + rounds) * peer + rounds * self._zelo(tokens.unique)

    @property
    def stream(self) -> float:
        """Of the stream, and of the half of it that is profiled."""
        tokens = sum(of.unique for of in self._stage.texts.stream_tokens)
        return 1.7 * self._zelo(tokens) + self._profiling

    @property
    def memory(self) -> float:
        """Of loading once more, and scoring twice."""
        return self.loading + 2 * self._zelo(sum(self._stage.texts.memory.document_tokens))

    def _zelo(self, tokens: int) -> float:
        return self._per_token * tokens / ZELO_RATE

    def _tokens(self, name: str) -> Counted:
        return self._stage.texts.named(name)[1]
