"""One model in one number format: each of its measurements as a method that makes it.

Knows nothing of time and order; `plan` does.
"""

import time
from dataclasses import dataclass, field, replace
from statistics import pstdev

import torch

from zelo.bench.measure import TOLERANCES, compare, timed
from zelo.bench.peers import ServerPeer, ZeloPeer
from zelo.bench.suite import workloads
from zelo.bench.suite.measuring import (
    Counted,
    compiled_graphs,
    counted,
    measure_peak,
    measure_speed,
    measure_stream,
)
from zelo.bench.suite.results import (
    BFLOAT16,
    Against,
    Loading,
    PeakMemory,
    Speed,
    Stream,
)
from zelo.bench.suite.scale import Scale
from zelo.bench.suite.subject import TRANSFORMERS, Subject
from zelo.bench.workloads import Workload, Writer
from zelo.errors import ScoringError
from zelo.local.prompt import PromptEncoder

__all__ = ["Stage", "Texts"]

SMALL = "small"
ROUNDED = "weights are rounded here and not there: times alone are compared"
OTHER_WEIGHTS = "the server has weights of its own: times alone are compared"
SAME_WORK = 0.5
"""Largest difference of logits in half precision, as a share of their standard deviation. Rounding
alone came to 0.16 of it in a random model of 36 layers, 256 wide (24 documents, float32 against
bfloat16); another prompt or mask changes the largest of 100 logits by several times the whole."""

Probes = dict[int, float]
"""Seconds of one run at each batch size."""


class Texts:
    """The suite's workloads for one model's tokenizer, each written and counted once."""

    def __init__(self, writer: Writer, scale: Scale, encoder: PromptEncoder) -> None:
        self._writer, self._scale, self._encoder = writer, scale, encoder
        self._frame = workloads.frame_of(encoder)
        self._named: dict[str, tuple[Workload, Counted]] = {}
        self.stream = workloads.stream(writer, scale, self._frame)
        self.stream_tokens = [counted(self._encoder, one, times=1) for one in self.stream]
        self.memory = workloads.memory_workload(writer, scale, self._frame)

    def named(self, name: str) -> tuple[Workload, Counted]:
        """Return a workload and its tokens."""
        if name not in self._named:
            workload = workloads.workload_named(name, self._writer, self._scale, self._frame)
            self._named[name] = workload, counted(self._encoder, workload)
        return self._named[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One model in one number format."""

    subject: Subject
    quantization: str
    scale: Scale
    texts: Texts
    device: torch.device
    ceiling: float
    """Floating-point operations per second."""
    probes: dict[tuple[str, str], Probes] = field(default_factory=dict)
    """By peer and workload; the stages of a model share them."""
    server: ServerPeer | None = None

    @property
    def _zelo(self) -> ZeloPeer:
        return self.subject.zelo(self.quantization)

    def load(self) -> Loading:
        """Load zelo in this number format, in place of what was loaded before."""
        self.subject.folder()  # written now, where it is to be written, and not timed
        start, before = time.perf_counter(), compiled_graphs()
        self.subject.load_zelo(self.quantization)
        return Loading(time.perf_counter() - start, compiled_graphs() - before)

    def calls(self, name: str) -> int:
        """Return how many calls of a workload are timed."""
        return self.scale.small_calls if name == SMALL else self.scale.calls

    def speed(self, name: str) -> Speed:
        """Time zelo on a workload."""
        workload, tokens = self.texts.named(name)
        return measure_speed(
            self._zelo,
            workload,
            tokens,
            calls=self.calls(name),
            projection_weights=self.subject.shape.projection_weights,
            ceiling=self.ceiling,
        )

    def stream(self) -> Stream:
        """Let many calls come at once."""
        return measure_stream(self._zelo, self.texts.stream, self.texts.stream_tokens)

    def against(self, peer: str, name: str) -> Against:
        """Compare with a peer at its best batch size."""
        workload, zelo = self.texts.named(name)[0], self._zelo
        probes = self._probed(peer, name, workload)
        side = self.subject.peer(peer, min(probes, key=probes.__getitem__))
        (found,), logits = compare(zelo, [side], workload, rounds=self.scale.rounds, tolerance=None)
        spread = pstdev(logits)
        if self.quantization != BFLOAT16:
            return Against(found, dict(probes), spread, ROUNDED)
        return Against(replace(found, tolerance=self._tolerance(spread)), dict(probes), spread)

    def against_server(self, name: str) -> Against:
        """Compare the times of a server, which has weights of its own."""
        if self.server is None:
            raise ScoringError("no server was named")
        workload = self.texts.named(name)[0]
        timed(self.server, workload)  # warm
        (found,), logits = compare(
            self._zelo, [self.server], workload, rounds=self.scale.rounds, tolerance=None
        )
        found = replace(found, max_logit_difference=None)  # it would be of two models
        return Against(found, {}, pstdev(logits), OTHER_WEIGHTS)

    def memory(self) -> PeakMemory:
        """Load zelo anew with large packs, and see what they take."""
        self.subject.unload_peer(TRANSFORMERS)
        zelo = self.subject.load_zelo(self.quantization, self.scale.pack_tokens)
        try:
            return measure_peak(zelo, self.texts.memory, self.scale.pack_tokens, self.device)
        finally:
            self.subject.unload_zelo()  # nobody may take it for one with packs as they come

    def close(self) -> None:
        """Free what is loaded for any of the model's stages, and the server's connections."""
        self.subject.close()
        if self.server is not None:
            self.server.close()

    def _tolerance(self, spread: float) -> float:
        exact = TOLERANCES[self.scale.dtype]
        return exact if self.scale.dtype == "float32" else max(exact, SAME_WORK * spread)

    def _probed(self, peer: str, name: str, workload: Workload) -> Probes:
        """Time a peer once at each batch size, unless that was done in another number format.

        A batch size that it cannot do, as for want of memory, is left out.
        """
        key = (peer, name)
        if key in self.probes:
            return self.probes[key]
        found: Probes = {}
        failed: Exception | None = None
        for size in self.scale.peer_batch_sizes:
            try:
                side = self.subject.peer(peer, size)
                if not found:
                    timed(side, workload)  # warm
                found[size], _ = timed(side, workload)
            except Exception as error:
                failed = error
        if not found and failed is not None:
            raise failed
        self.probes[key] = found
        return found
