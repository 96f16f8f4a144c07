"""How much work may be under way: a bound in tokens, kept before anything is computed.

A request is admitted or refused as a whole. Until its body is parsed its bytes stand for tokens,
afterwards its texts do; the model's own queue has no other bound. For one event loop.
"""

import math
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from zelo.local.scorer import DEFAULT_MAX_TOKENS
from zelo.server.refusal import Refusal

__all__ = ["BYTES_PER_TOKEN", "Admission", "Ticket", "estimated_tokens"]

BYTES_PER_TOKEN = 4
"""English prose has 4 to 5 bytes per token of Qwen3's tokenizer; digits and rare scripts fewer."""
FRAME_TOKENS = 13
"""Control tokens and role names around one query and document in zerank's prompt."""
LONGEST_PAUSE_S = 60
"""The longest Retry-After; clients of the openai family ignore longer ones."""


def estimated_tokens(query: str, documents: Iterable[str]) -> int:
    """Return about how many tokens a request costs: its query is computed once, not per document.

    A document counts no more than the longest prompt, beyond which it is cut.
    """
    return _estimate(query) + sum(FRAME_TOKENS + _estimate(text) for text in documents)


def _estimate(text: str) -> int:
    size = len(text.encode("utf-8", "surrogatepass"))
    return min(math.ceil(size / BYTES_PER_TOKEN), DEFAULT_MAX_TOKENS)


class Admission:
    """Counts the tokens of all requests under way, and refuses what would exceed the capacity."""

    def __init__(self, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.capacity = capacity
        self.in_use = 0
        """Estimated tokens of all requests under way."""
        self._clock = clock
        self._done = 0
        self._busy_s = 0.0
        self._since = clock()

    def ticket(self) -> "Ticket":
        """Return the claim of one request, to be used as a context manager."""
        return Ticket(self)

    def claim(self, change: int) -> None:
        """Add to what is in use.

        Raises:
            Refusal: 429, for as long as it would not fit.
        """
        excess = self.in_use + change - self.capacity
        if change > 0 and excess > 0:
            message = (
                f"the server is busy: {self.in_use} of {self.capacity} tokens are under way, and "
                "nothing of this request was computed; send it again after Retry-After seconds"
            )
            raise Refusal(429, "overload", message, {"Retry-After": str(self._pause(excess))})
        self._advance()
        self.in_use += change

    def finish(self, tokens: int) -> None:
        """Give back what an answered request had claimed; its speed tells others their pause."""
        self._done += tokens
        self._advance()
        self.in_use -= tokens

    def _advance(self) -> None:
        now = self._clock()
        if self.in_use:
            self._busy_s += now - self._since
        self._since = now

    def _pause(self, excess: int) -> int:
        """Return whole seconds in which that many tokens are done at the speed so far."""
        if not self._done or not self._busy_s:
            return 1
        seconds = math.ceil(excess * self._busy_s / self._done)
        return max(1, min(seconds, LONGEST_PAUSE_S))


class Ticket:
    """What one request has claimed; given back when its block ends."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._tokens = 0

    def hold_bytes(self, size: int) -> None:
        """Claim what a body of this size stands for, before it is known what is in it."""
        self._hold(min(size // BYTES_PER_TOKEN, self._admission.capacity))

    def hold_tokens(self, tokens: int) -> None:
        """Claim this many tokens instead of what was claimed before.

        Raises:
            Refusal: 413 if they would never fit, 429 if they do not fit now.
        """
        if tokens > self._admission.capacity:
            message = (
                f"the request is of about {tokens} tokens, and the server takes "
                f"{self._admission.capacity} at once; send fewer documents at a time"
            )
            raise Refusal(413, "too_large", message)
        self._hold(tokens)

    def _hold(self, tokens: int) -> None:
        self._admission.claim(tokens - self._tokens)
        self._tokens = tokens

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is None:
            self._admission.finish(self._tokens)
        else:
            self._admission.claim(-self._tokens)
