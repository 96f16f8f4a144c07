"""From a workload to tokens and floating-point operations, as the packed path does them.

The query's prefix is computed once per pack; the last layer computes keys and values of every
token, and all else of the last token of each prompt (`zelo.local.model.LastLayer`). Knows nothing
of cards and seconds.

Notation: h hidden size, Hd and Kd widths of all query and key heads, i MLP width, L layers; N
documents of d tokens behind a prefix of p.
"""

from dataclasses import dataclass
from typing import NamedTuple

from zelo._common.checks import at_least_zero, positive
from zelo.bulk.plan.frames import Frame
from zelo.bulk.plan.models import ModelShape
from zelo.errors import InputError
from zelo.local.schedule import PREFIX_SHARE

__all__ = ["Operations", "Tokens", "Workload", "operations_of", "tokens_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is to be scored. Lengths are means, in the model's tokens.

    Raises:
        InputError: a number is negative, or one that must be positive is 0.
    """

    pairs: int
    """Query and document, each with its score."""
    query_tokens: int
    document_tokens: int
    documents_per_query: int = 100
    """Documents that are scored for one query in one call, and share its prefix."""
    instruction_tokens: int = 0

    def __post_init__(self) -> None:
        for name in ("pairs", "documents_per_query"):
            positive(name, getattr(self, name))
        for name in ("query_tokens", "document_tokens", "instruction_tokens"):
            at_least_zero(name, getattr(self, name))
        if self.documents_per_query > self.pairs:
            message = (
                f"documents_per_query={self.documents_per_query} of {self.pairs} pairs in all; "
                "it cannot be more"
            )
            raise InputError(message)


class Tokens(NamedTuple):
    """How one query's prompts lie in packs. All documents are taken to be of the mean length."""

    prefix: int
    """p: query, instruction and frame before the document."""
    own: int
    """d: a document with the frame behind it."""
    documents: int
    """N."""
    packs: int
    """Forward passes that one query's documents take; the prefix is in each of them."""

    @property
    def unique(self) -> int:
        """Tokens that go through the model for one query."""
        return self.packs * self.prefix + self.documents * self.own

    @property
    def unshared(self) -> int:
        """What would go through it if every prompt were computed whole."""
        return self.documents * (self.prefix + self.own)

    @property
    def longest_pack(self) -> int:
        """Tokens of the fullest pack."""
        each = -(-self.documents // self.packs)
        return self.prefix + each * self.own


class Operations(NamedTuple):
    """Floating-point operations; a multiplication with its addition counts two."""

    projections: int
    attention: int

    @property
    def total(self) -> int:
        """Both."""
        return self.projections + self.attention


def tokens_of(workload: Workload, frame: Frame, pack_tokens: int, longest: int) -> Tokens:
    """Return how a query's prompts are packed, alone, into packs of so many tokens.

    Raises:
        InputError: a prompt is longer than the model reads.
    """
    prefix = workload.query_tokens + workload.instruction_tokens + frame.shared
    own = workload.document_tokens + frame.own
    if prefix + own > longest:
        message = (
            f"a prompt of {prefix + own:,} tokens; the model reads {longest:,}, and a longer "
            "document is cut"
        )
        raise InputError(message)
    room = max(pack_tokens, int(prefix / PREFIX_SHARE)) - prefix
    documents = workload.documents_per_query
    packs = -(-documents // max(1, room // own))
    return Tokens(prefix, own, documents, packs)


def operations_of(shape: ModelShape, tokens: Tokens) -> Operations:
    """Return what one query costs, with T unique tokens.

    Projections: 2 (h Kd + h Kd) T in each layer, and 2 (h Hd + Hd h + 3 h i) for every token in
    all layers but the last, there for N. Attention: 4 Hd for each pair of a token and one that it
    sees, p (p + 1) / 2 for each prefix and d p + d (d + 1) / 2 for each document; in the last
    layer p + d for each document, whose last token alone asks. The score is a product of two
    vectors, and counts as 2 h.

    A multiplication of matrices costs two operations per weight and token (Kaplan et al. 2020,
    arXiv:2001.08361, section 2.1); attention is counted as causal, without what is masked.
    """
    layers, rows = shape.layers, tokens.documents
    projections = 2 * (
        layers * shape.key_value_weights * tokens.unique
        + (layers - 1) * shape.other_weights * tokens.unique
        + shape.other_weights * rows
        + shape.hidden * rows
    )
    prefix, own = tokens.prefix, tokens.own
    seen = tokens.packs * prefix * (prefix + 1) // 2
    seen += rows * (own * prefix + own * (own + 1) // 2)
    seen_last = rows * (prefix + own)
    attention = 4 * shape.query_width * ((layers - 1) * seen + seen_last)
    return Operations(projections, attention)
