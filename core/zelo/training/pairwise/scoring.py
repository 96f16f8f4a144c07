"""Asking a pairwise model: pairs in, preferences out, many pairs in one forward pass.

Every pair is asked in both orders. Knows weights and prompts, nothing of judges or training.
"""

import math
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from zelo.errors import ScoringError
from zelo.local.engine import Engine, Logits
from zelo.local.loading.checkpoint import Checkpoint
from zelo.local.loading.device import choose_batch_tokens, choose_device, choose_dtype
from zelo.local.loading.score_head import read_score_row
from zelo.local.model import ScoringModel, load_backbone
from zelo.local.prompt import PromptEncoder
from zelo.scoring.families import FAMILIES, sigmoid
from zelo.training.pairwise.folder import FRAME, PairwiseFolder
from zelo.training.pairwise.prompt import PairEncoder, Shown, ShownPair

__all__ = ["Asked", "Asking", "PairScorer", "load_scorer"]


class Asked(NamedTuple):
    """What the model says of a pair."""

    kept: float
    """P(first better), shown in the pair's order."""
    turned: float
    """P(second better), shown the other way around."""
    tokens: int = 0
    """Of both prompts, each counted whole, where they are counted."""

    @property
    def preference(self) -> float:
        """P(first better): the mean of both, for which the order does not count.

        The same pair turned around has exactly 1 minus this: only the larger of the two is
        rounded, and the difference of 1 and a number from 0.5 to 1 is exact in binary.
        """
        margin = (self.kept - self.turned) / 2
        larger = 0.5 + abs(margin)
        return larger if margin >= 0 else 1 - larger


class Prompts(NamedTuple):
    """The prompts of one first document, under way."""

    first: Shown
    seconds: list[Shown]
    lengths: list[int]
    """Tokens of each prompt, counted whole."""
    logits: "Future[list[float]]"


@dataclass(frozen=True, slots=True)
class Asking:
    """Pairs that were asked about; each prompt once, whatever number of pairs need it."""

    pairs: Sequence[ShownPair]
    prompts: list[Prompts]

    def cancel(self) -> None:
        """Drop what was not computed."""
        for one in self.prompts:
            one.logits.cancel()

    def answers(self) -> list[Asked]:
        """Wait for the answers, in the order of the pairs.

        Raises:
            ScoringError: the model failed, or gave NaN or infinity.
        """
        found = {
            (one.first, second): (logit, length)
            for one in self.prompts
            for second, logit, length in zip(
                one.seconds, one.logits.result(), one.lengths, strict=True
            )
        }
        _check(logit for logit, _ in found.values())
        asked = []
        for first, second in self.pairs:
            (kept, tokens), (turned, others) = found[first, second], found[second, first]
            asked.append(Asked(sigmoid(kept), sigmoid(turned), tokens + others))
        return asked


class PairScorer:
    """A pairwise model at work. Threads may share it; what they ask is computed in common packs.

    Args:
        encoder: makes the prompts.
        model: gives a prompt's logit, of which the sigmoid is P(first better).
        max_batch_tokens: most tokens of one pack.
    """

    def __init__(self, encoder: PairEncoder, model: Logits, max_batch_tokens: int) -> None:
        self._encoder = encoder
        self._encoding = threading.Lock()
        self._engine = Engine([model], max_batch_tokens)

    def submit(self, pairs: Sequence[ShownPair]) -> Asking:
        """Ask about pairs, in both orders; the more at once, the more prefixes are shared.

        Two documents of one text, for one query, are exactly a tie: their prompts are one.

        Raises:
            QueryTooLongError: a query leaves no room for a document.
            ClosedError: the scorer was closed.
        """
        wanted: dict[Shown, dict[Shown, None]] = {}
        for first, second in pairs:
            wanted.setdefault(first, {})[second] = None
            wanted.setdefault(second, {})[first] = None
        asking = Asking(pairs, [])
        try:
            for first, seconds in wanted.items():
                asking.prompts.append(self._submit(first, [*seconds]))
        except BaseException:
            asking.cancel()
            raise
        return asking

    def ask(self, pairs: Sequence[ShownPair]) -> list[Asked]:
        """Ask about pairs, and wait; see `submit` and `Asking.answers`."""
        asking = self.submit(pairs)
        try:
            return asking.answers()
        finally:
            asking.cancel()  # without effect on what was answered

    def close(self) -> None:
        """Let go of the model."""
        self._engine.close()

    def _submit(self, first: Shown, seconds: list[Shown]) -> Prompts:
        with self._encoding:
            prefix, suffixes = self._encoder.part(first, seconds)
        lengths = [len(prefix) + len(suffix) for suffix in suffixes]
        prompts = Prompts(first, seconds, lengths, Future())
        self._engine.submit(prefix, suffixes, prompts.logits)
        return prompts


def load_scorer(
    folder: PairwiseFolder,
    *,
    device: str | None = None,
    dtype: str | None = None,
    max_batch_tokens: int | None = None,
) -> PairScorer:
    """Load a pairwise model, from safetensors only.

    Raises:
        ModelError: the folder cannot be read, or holds another model than its mark says.
        InputError: device or dtype cannot be used here.
    """
    where = choose_device(device)
    encoder = PromptEncoder(folder.files.tokenizer_json, FAMILIES[FRAME])
    checkpoint = Checkpoint(folder.files, FAMILIES[FRAME], converted=False)
    row = read_score_row(checkpoint, encoder.positive_id, encoder.negative_id)
    number_type = choose_dtype(dtype, where, folder.files)
    backbone = load_backbone(folder.files, where, number_type)
    batch_tokens = choose_batch_tokens(max_batch_tokens, backbone)
    pairs = PairEncoder(encoder, folder.reading)
    return PairScorer(pairs, ScoringModel(backbone, row), batch_tokens)


def _check(logits: Iterable[float]) -> None:
    wrong = sum(not math.isfinite(logit) for logit in logits)
    if wrong:
        message = (
            f"the pairwise model returned NaN or infinity for {wrong} prompt(s), so there is no "
            "preference. Check the weights, or try dtype='float32'."
        )
        raise ScoringError(message)
