"""A model as the server sees it: names, rerankers over one copy of the weights, a known pair."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from zelo.errors import InputError, ScoringError
from zelo.reranker import Reranker
from zelo.results import RankedDocument, Stats
from zelo.scoring.catalog import resolve
from zelo.scoring.families import FAMILIES
from zelo.wire import RerankCall

__all__ = ["Outcome", "ServedModel"]

CANARY = ("what is the capital of France?", "Paris is the capital of France.")
CANARY_TOLERANCE = 0.25
"""In logits: what batch size and number type alone may change in bfloat16 (measured for zerank-2
by its users: up to 0.19 between batches of 1 and of 8)."""
READERS = 64
"""How many document lengths are remembered, each with a reranker that shares the weights."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to."""

    ranking: list[RankedDocument]
    """Best first, no more than were asked for."""
    tokens: int
    """Sum over all documents of the length of their whole prompts."""
    truncated: int
    """How many documents were cut, also among those that were not asked for."""
    seconds: float
    """From handing the texts to the model to its last score."""


class ServedModel:
    """A reranker under the names that requests may say.

    Args:
        reranker: one whose model runs in this process, without a fallback.
        names: what a request's `model` may be, the first of which stands in answers that were
            asked without one; default, the name the reranker was made with.

    Raises:
        InputError: the reranker is another one, or a name is blank or said twice.
    """

    def __init__(self, reranker: Reranker, names: Sequence[str] = ()) -> None:
        settings = reranker.settings
        if "device" not in settings or "fallback" in settings:
            raise InputError(NOT_HERE)
        self._reranker = reranker
        self._source = resolve(settings["model"], settings["revision"])
        folder = self._source.folder  # answers name it without its path
        self.names = tuple(names) or (folder.name if folder else self._source.name,)
        if len(set(self.names)) < len(self.names) or not all(map(str.strip, self.names)):
            raise InputError("served model names must differ, and not be blank")
        self.family: str | None = settings["family"] or self._source.family
        """The kind of model; of a folder, known once it is loaded, else None."""
        self._expected = 0.0
        self._reader = lru_cache(READERS)(self._make_reader)

    def load(self) -> None:
        """Load the model, warm it up and remember the known pair's score. Blocks.

        Raises:
            ZeloError: the model cannot be loaded, or gives the pair no score.
        """
        self._reranker.warmup()
        query, document = CANARY
        (self._expected,) = self._reranker.score(query, [document], scale="logit")
        if self.family is None and self._source.folder is not None:
            from zelo.local.instances import open_checkpoint
            from zelo.scoring.options import InstanceKey

            settings = self._reranker.settings
            told = {name: settings[name] for name in ("head", "cache_dir", "local_files_only")}
            self.family = open_checkpoint(InstanceKey(self._source, **told)).family.name

    async def check(self) -> None:
        """Score the known pair again.

        Raises:
            ScoringError: there is no score, or another one than when the model was loaded.
        """
        query, document = CANARY
        (logit,) = await self._reranker.ascore(query, [document], scale="logit")
        if not abs(logit - self._expected) <= CANARY_TOLERANCE:
            message = f"the known pair's logit is {logit:.3f}, and was {self._expected:.3f}"
            raise ScoringError(message)

    async def rank(self, call: RerankCall) -> Outcome:
        """Rank a call's documents; cancelling it drops what is not yet computed.

        Raises:
            InputError: a text cannot be scored, or a document is too long and may not be cut.
            ScoringError: the model gave no scores.
        """
        started = time.perf_counter()
        reranker = self._reader(call.max_document_tokens)
        ranking = await reranker.arank(call.query, call.documents, instruction=call.instruction)
        seconds = time.perf_counter() - started
        truncated = sum(ranked.truncated for ranked in ranking)
        if truncated and not call.truncate:
            message = (
                f"{truncated} document(s) are too long, and truncate is false; send shorter ones, "
                "or let them be cut"
            )
            raise InputError(message)
        tokens = sum(ranked.tokens for ranked in ranking)
        return Outcome(ranking[: call.top_n], tokens, truncated, seconds)

    def stats(self) -> Stats:
        """Return the model's counters."""
        return self._reranker.stats()

    @property
    def scale(self) -> float | None:
        """What a logit is divided by before the sigmoid; None where the family is not known."""
        if self._reranker.settings["head"] == "trained":
            return 1.0
        return FAMILIES[self.family].scale if self.family else None

    def close(self) -> None:
        """Give the model back."""
        self._reader.cache_clear()
        self._reranker.close()

    def __repr__(self) -> str:
        return f"ServedModel({', '.join(self.names)}: {self._reranker!r})"

    def _make_reader(self, max_document_tokens: int | None) -> Reranker:
        own = self._reranker.settings["max_document_tokens"]
        if max_document_tokens is None or (own is not None and own <= max_document_tokens):
            return self._reranker
        settings = self._reranker.settings | {"max_document_tokens": max_document_tokens}
        return Reranker(**settings)


NOT_HERE = (
    "what is served must run in this process, and this reranker asks another server or a scorer of "
    "its own: leave out base_url and fallback, and unset ZELO_BASE_URL and ZEROENTROPY_BASE_URL"
)
