"""What one request may ask for, and how much may be under way at once."""

from dataclasses import dataclass

from zelo._common.checks import positive, positive_seconds

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a server.

    Raises:
        InputError: a bound is not above zero.
    """

    max_bytes: int = 5_000_000
    """Largest body in bytes; the default is what the vendor's API took."""
    max_documents: int = 1_000
    """Most documents of one request; the default is what Cohere's and Voyage's APIs take."""
    max_queued_tokens: int = 2_000_000
    """Most tokens, as estimated, of all requests under way; the default admits one largest body."""
    timeout_s: float = 60.0
    """Seconds from a request's arrival to its answer, unless it asks for fewer; the default is what
    the vendor's own client waits."""

    def __post_init__(self) -> None:
        positive("max_bytes", self.max_bytes)
        positive("max_documents", self.max_documents)
        positive("max_queued_tokens", self.max_queued_tokens)
        positive_seconds("timeout_s", self.timeout_s)
