"""The prompt of two documents: zerank's frame, twice, with one answer.

The paper does not publish its prompt; this one is ours. Each side stands as zerank is shown it, the
query in the system's turn and the document in the user's, and the model's `Yes` says that the
first document is the better answer to its query:

    <|im_start|>system
    {first query}<|im_end|>
    <|im_start|>user
    {first document}<|im_end|>
    <|im_start|>system
    {second query}<|im_end|>
    <|im_start|>user
    {second document}<|im_end|>
    <|im_start|>assistant

A query of both documents is written once: the second one's turn is left out. No words say what is
asked, as none do in zerank's frame: training does, and words would cost tokens in every prompt.

Control tokens are written by id, by `zelo.local.prompt`, so that no text can forge one. All that
stands up to the end of the first document depends on the first side alone, so the prompts of one
first document share it as their prefix. Knows nothing of models or preferences.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from zelo._common.checks import positive
from zelo.local.packing import Part
from zelo.local.prompt import PromptEncoder
from zelo.scoring.options import Limits
from zelo.training.judges.judge import Pair

__all__ = ["PairEncoder", "Reading", "Shown", "ShownPair"]

KEPT = 1_024
"""Encoded sides in memory: of a query's hundred documents, each is shown in many pairs."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How much of the texts is read, in tokens.

    Raises:
        InputError: a limit is no whole number of at least 1.
    """

    max_tokens: int
    """Longest whole prompt."""
    max_document_tokens: int | None = None
    """Longest document, where that is to be shorter than what the prompt leaves."""

    def __post_init__(self) -> None:
        """Check."""
        positive("max_tokens", self.max_tokens)
        positive("max_document_tokens", self.max_document_tokens)


class Shown(NamedTuple):
    """What a model is shown of one side."""

    query: str
    document: str


class ShownPair(NamedTuple):
    """What a model is shown of a pair, in its order."""

    first: Shown
    second: Shown

    @classmethod
    def of(cls, pair: Pair) -> "ShownPair":
        """Leave out what judges are not shown: ids and grades."""
        return cls(*(Shown(side.query, side.document) for side in pair))


class _Turns(NamedTuple):
    query: list[int]
    document: list[int]
    truncated: bool


class PairEncoder:
    """Encodes pairs of documents with one tokenizer. For one thread at a time.

    Args:
        encoder: of that tokenizer, in zerank's frame.
        reading: how much of the texts is read; each side has half of a prompt.
    """

    def __init__(self, encoder: PromptEncoder, reading: Reading) -> None:
        self._encoder = encoder
        self._limits = Limits(reading.max_tokens // 2, reading.max_document_tokens)
        self._turns = functools.lru_cache(maxsize=KEPT)(self._encode)
        frame = encoder.prompt_ids("", "")
        self._start = frame[0]  # <|im_start|>, which begins every turn and stands nowhere else
        self._answer = self._cut(frame)[-1]

    def part(self, first: Shown, seconds: Sequence[Shown]) -> Part:
        """Encode one document against others, in this order.

        The prompts are `prefix + suffix`, and they are what they would be each on its own.

        Raises:
            QueryTooLongError: a query leaves no room for a document.
        """
        own = self._turns(first)
        suffixes = []
        for second in seconds:
            other = self._turns(second)
            query = [] if second.query == first.query else other.query
            suffixes.append(query + other.document + self._answer)
        return Part(own.query + own.document, suffixes)

    def truncated(self, side: Shown) -> bool:
        """Whether the end of its document is not read."""
        return self._turns(side).truncated

    def _encode(self, side: Shown) -> _Turns:
        encoded = self._encoder.encode(side.query, [side.document], None, self._limits)
        query, document, _ = self._cut(encoded.prefix + encoded.suffixes[0])
        return _Turns(query, document, encoded.slots[0].truncated)

    def _cut(self, ids: list[int]) -> list[list[int]]:
        """Cut a prompt into its turns."""
        starts = [place for place, token in enumerate(ids) if token == self._start]
        return [ids[start:end] for start, end in zip(starts, [*starts[1:], len(ids)], strict=True)]
