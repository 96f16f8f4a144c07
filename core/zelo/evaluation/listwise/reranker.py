"""A chat model as a reranker: sliding windows over the candidates, from the last to the first.

The method is RankGPT's (Sun et al., "Is ChatGPT Good at Search?", EMNLP 2023, arXiv:2304.09542):
the model orders `window` candidates at a time, and each window begins `stride` above the one
before, so that the best of a window take part in the next. If the model always orders rightly,
the best `window - stride` candidates of all end up first, in order; what comes after them may not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zelo._common.checks import positive
from zelo.errors import InputError
from zelo.evaluation.listwise.answers import Order, read_order
from zelo.evaluation.listwise.prompt import PROMPT, messages
from zelo.evaluation.systems import Case, Ordered, Scores
from zelo.llm import Chat, Completion

__all__ = ["Listwise", "windows"]

ATTEMPTS = 2
"""How often a window is asked for while the answers hold no usable number."""


class Listwise:
    """A chat model that orders candidates, window by window.

    Args:
        chat: closed by `release`.
        name: what tables call it; default, the model's name after `listwise:`.
        window: candidates that the model sees at once.
        stride: how many candidates the next window goes up; less than `window`.
        max_document_characters: of each document; the rest is not read. RankGPT gives 300 words,
            about 2,000 characters of English, and a window of 20 is then some 10,000 tokens,
            which small models hold too. The vendor's evaluations cut at 4,096 tokens.
        concurrency: queries under way at once.

    Raises:
        InputError: a number is out of its range.
    """

    pointwise = False

    def __init__(
        self,
        chat: Chat,
        name: str | None = None,
        *,
        window: int = 20,
        stride: int = 10,
        max_document_characters: int = 2_000,
        concurrency: int = 4,
    ) -> None:
        for option, value in {
            "stride": stride,
            "max_document_characters": max_document_characters,
            "concurrency": concurrency,
        }.items():
            positive(option, value)
        if stride >= window:
            message = (
                f"stride={stride} with window={window}: windows must overlap, or nothing rises "
                "from one to the next; give a smaller stride"
            )
            raise InputError(message)
        self.name = name or f"listwise:{chat.model}"
        self.concurrency = concurrency
        self._chat = chat
        self._window, self._stride = window, stride
        self._max_document_characters = max_document_characters

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model and server (without the key), how it is asked, and the windows."""
        return {
            "listwise": self._chat.identity,
            "prompt": PROMPT,
            "window": self._window,
            "stride": self._stride,
            "max_document_characters": self._max_document_characters,
        }

    def prepare(self) -> None:
        """Nothing is loaded here; connections open in the event loop that uses them."""

    async def reorder(self, case: Case) -> Scores:
        """Put the candidates in order; their scores only count down.

        Raises:
            ScoringError: the server did not answer, or refused.
        """
        order, took = list(range(len(case.documents))), _Took()
        texts = [text[: self._max_document_characters] for text in case.documents]
        for window in windows(len(order), self._window, self._stride):
            shown = order[window]
            answer = await self._ask(case.query, [texts[place] for place in shown], took)
            order[window] = [shown[place] for place in answer.complete(len(shown))]
        ordered = (Ordered(place, float(-rank)) for rank, place in enumerate(order))
        return Scores(
            tuple(ordered), took.input_tokens, took.output_tokens, took.requests, took.malformed
        )

    def release(self) -> None:
        """Close the connections."""
        self._chat.close()

    async def _ask(self, query: str, passages: list[str], took: "_Took") -> Order:
        """Return the model's order; an empty one where no answer held a usable number."""
        asked = messages(query, passages)
        for _ in range(ATTEMPTS):
            completion = await self._chat.acomplete(asked)
            order = read_order(completion.text, len(passages))
            took.count(completion, order)
            if order.places:
                break
        return order


@dataclass
class _Took:
    """What the windows of one case took."""

    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    malformed: int = 0

    def count(self, completion: Completion, order: Order) -> None:
        self.input_tokens += completion.input_tokens
        self.output_tokens += completion.output_tokens
        self.requests += 1
        self.malformed += not order.exact


def windows(count: int, window: int, stride: int) -> Iterator[slice]:
    """Yield windows over `count` candidates, the last first; none where nothing is to be ordered.

    The first begins at 0 whatever the stride, so every candidate is seen.
    """
    end = count
    while end > 1:
        start = max(0, end - window)
        yield slice(start, end)
        end = end - stride if start else 0
