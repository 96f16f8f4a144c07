"""Packs of each kind, for what is slow the first time: torch.compile makes a graph per kind.

Knows how packs differ, nothing of texts or of what compiles.
"""

from zelo.local.packing import COPIES_THAT_MATTER, Part

__all__ = ["kinds_of_packs"]

LENGTHS = (5, 3, 4)
"""Tokens of documents. They differ, as prefixes do, because torch.compile takes for one what is
equal in the first pack."""
SHORT_PREFIX, LONG_PREFIX = 7, 600


def kinds_of_packs(token_id: int) -> list[list[Part]]:
    """Return packs of one document and of several, of one query and of several, with a prefix
    that is copied for each document and with one that is too long for that.
    """
    documents = COPIES_THAT_MATTER // LONG_PREFIX + 2
    return [
        [_part(token_id, SHORT_PREFIX, 2), _part(token_id, SHORT_PREFIX + 4, 3)],
        [_part(token_id, SHORT_PREFIX, 3)],
        [_part(token_id, 0, 1)],
        [_part(token_id, 0, 1), _part(token_id, 0, 1)],
        [_part(token_id, LONG_PREFIX, documents), _part(token_id, LONG_PREFIX + 4, documents + 1)],
        [_part(token_id, LONG_PREFIX, documents)],
    ]


def _part(token_id: int, prefix: int, documents: int) -> Part:
    lengths = (LENGTHS[i % len(LENGTHS)] for i in range(documents))
    return Part([token_id] * prefix, [[token_id] * length for length in lengths])
