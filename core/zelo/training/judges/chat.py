"""A chat model as a judge: it reasons, then says which of two documents is better, and how much."""

from collections.abc import Mapping
from typing import Any

from zelo._common.checks import positive
from zelo.llm import Chat, Completion
from zelo.training.judges.answers import read_score
from zelo.training.judges.judge import Pair, PairwiseJudge, Vote
from zelo.training.judges.prompt import PROMPT, messages

__all__ = ["ChatJudge", "preference"]

ATTEMPTS = 2
"""How often a pair is asked for while the answers hold no score."""
UNFINISHED = frozenset(("length", "content_filter", "refusal"))
"""Reasons to stop after which a text is not what the model meant to say."""


class ChatJudge(PairwiseJudge):
    """A chat model that compares two documents.

    The documents are shown in the pair's order; that half of them are swapped is the sampling's
    work. An answer without a score (none on its last line, out of range, cut off, declined) is
    asked for once more, and is then no vote: it never counts for either document.

    Args:
        chat: closed by `release`.
        name: default, the model's name after `chat:`.
        max_document_characters: of each document; the rest is not read. Ours: 8,000 characters
            are some 2,000 tokens of English; longer ones would cost more than most answers need.
        concurrency: pairs under way at once.

    Raises:
        InputError: a number is below 1.
    """

    metered = True

    def __init__(
        self,
        chat: Chat,
        name: str | None = None,
        *,
        max_document_characters: int | None = 8_000,
        concurrency: int = 8,
    ) -> None:
        positive("max_document_characters", max_document_characters)
        positive("concurrency", concurrency)
        self.name = name or f"chat:{chat.model}"
        self.concurrency = concurrency
        self._chat = chat
        self._max_document_characters = max_document_characters

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model and server (without the key), and how it is asked."""
        return {
            "chat": self._chat.identity,
            "prompt": PROMPT,
            "max_document_characters": self._max_document_characters,
        }

    async def judge(self, pair: Pair) -> Vote:
        """Ask, and once more if the answer holds no score.

        Raises:
            ScoringError: the server did not answer, or refused.
        """
        asked = messages(pair, self._max_document_characters)
        read = wrote = 0
        for attempt in range(1, ATTEMPTS + 1):
            completion = await self._chat.acomplete(asked)
            read += completion.input_tokens
            wrote += completion.output_tokens
            score = _score(completion)
            if score is not None:
                return Vote(preference(score), read, wrote, attempt, attempt - 1)
        return Vote(None, read, wrote, ATTEMPTS, ATTEMPTS)

    def release(self) -> None:
        """Close the connections."""
        self._chat.close()


def preference(score: float) -> float:
    """Map a score, from -1 for the first document to 1 for the second, to a preference.

    It is clamped to -1, 0 or 1 and mapped by (1 - score) / 2, as in the zELO paper. The paper does
    not say how it clamps; here the sign decides, as in zbench's fit, so that no threshold has to
    be chosen for models that use the scale differently. Unlike there, 0 is a tie.
    """
    return (1 - ((score > 0) - (score < 0))) / 2


def _score(completion: Completion) -> float | None:
    if completion.finish_reason in UNFINISHED:
        return None
    return read_score(completion.text)
