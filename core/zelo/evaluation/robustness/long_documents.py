"""Long documents with a passage at a wanted depth, made of a collection's own irrelevant texts.

Lengths are counted in characters, about four to a token of English: a server does not show its
tokenizer, and every reranker is to get the same documents.
"""

from collections.abc import Iterator

from zelo.corpora import Collection
from zelo.evaluation.robustness.chosen import Chosen, draw

__all__ = ["around", "surrounded"]

BREAK = "\n\n"


def around(collection: Collection, chosen: Chosen, length: int, seed: int) -> str:
    """Return `length` characters of irrelevant documents, no candidates of the query among them.

    A shorter one is the beginning of a longer one. Where the collection is smaller than that, its
    documents come again; empty where it has no other document.
    """
    texts = list(_others(collection, chosen, length, seed))
    if not texts:
        return ""
    size = sum(len(text) + len(BREAK) for text in texts)
    return BREAK.join(texts * (length // size + 1))[:length]


def surrounded(passage: str, text: str, depth: float) -> str:
    """Return the text with the passage in it, at `depth` from 0 (start) to 1 (end).

    The place is moved back to the nearest blank; nothing of either is lost but white space there.
    """
    at = len(text) if depth >= 1 else max(text.rfind(" ", 0, round(depth * len(text)) + 1), 0)
    parts = (text[:at].strip(), passage, text[at:].strip())
    return BREAK.join(part for part in parts if part)


def _others(collection: Collection, chosen: Chosen, length: int, seed: int) -> Iterator[str]:
    """Yield texts in random order until they fill the length, or there are no more."""
    doc_ids = [d for d in collection.documents if d not in chosen.candidates]
    draw(seed, chosen.query_id).shuffle(doc_ids)
    for doc_id in doc_ids:
        text = collection.documents[doc_id].strip()
        if text and not chosen.repeats(text):
            yield text
            length -= len(text) + len(BREAK)
            if length <= 0:
                return
