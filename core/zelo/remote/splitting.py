"""One query's documents in requests that a server accepts."""

import json
from collections.abc import Sequence

__all__ = ["split"]

FRAME_BYTES = 4_096
"""Room in each body for the query's instruction, the model's name and the members' names."""


def split(query: str, documents: Sequence[str], max_documents: int, max_bytes: int) -> list[range]:
    """Return consecutive runs of documents, each within both limits.

    A document that is larger than a body may be gets a request of its own: the server decides.
    """
    room = max_bytes - len(json.dumps(query)) - FRAME_BYTES
    parts: list[range] = []
    start, used = 0, 0
    for i, document in enumerate(documents):
        size = len(json.dumps(document)) + 2
        if i > start and (i - start >= max_documents or used + size > room):
            parts.append(range(start, i))
            start, used = i, 0
        used += size
    parts.append(range(start, len(documents)))
    return parts
