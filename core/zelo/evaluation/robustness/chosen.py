"""Which document of a query is attacked, and which relevant passage is hidden.

The same for the same seed and query, whatever other queries are evaluated.
"""

import random
from dataclasses import dataclass, replace

from zelo.corpora import Collection, normal_text
from zelo.retrieval.stage import Retrieved

__all__ = ["LONGEST", "Chosen", "choose", "draw"]

LONGEST = 2_000
"""Characters of an attacked document or a hidden passage, at most, so that models read it whole."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One query with the documents that are measured on it."""

    query_id: str
    query: str
    candidates: dict[str, str]
    """Texts by id, in the first stage's order; none of them blank."""
    victim: str | None
    """Id of a candidate that is not relevant, from the middle half of the list: it is attacked."""
    passage: str | None
    """Id of a relevant document, which need not be a candidate: it is hidden."""
    relevant: frozenset[str]
    """Normal texts (see `normal_text`) of the relevant documents."""

    @property
    def irrelevant(self) -> dict[str, str]:
        """The candidates that are not judged relevant and do not repeat a relevant text."""
        return {d: text for d, text in self.candidates.items() if not self.repeats(text)}

    def repeats(self, text: str) -> bool:
        """Whether a text is that of a relevant document."""
        return normal_text(text) in self.relevant


def choose(collection: Collection, query_id: str, retrieved: list[Retrieved], seed: int) -> Chosen:
    """Choose the documents of one query; None stands where no document is short enough."""
    texts, grades = collection.documents, collection.qrels[query_id]
    relevant = [d for d, grade in grades.items() if grade > 0 and texts.get(d, "").strip()]
    chosen = Chosen(
        query_id,
        collection.queries[query_id],
        {one.doc_id: texts[one.doc_id] for one in retrieved if texts[one.doc_id].strip()},
        victim=None,
        passage=_one([d for d in relevant if len(texts[d]) <= LONGEST], seed, query_id),
        relevant=frozenset(normal_text(texts[d]) for d in relevant),
    )
    return replace(chosen, victim=_one(_middle(chosen), seed, query_id))


def draw(seed: int, query_id: str) -> random.Random:
    """Return the source of a query's random choices."""
    return random.Random(f"{seed}/{query_id}")  # noqa: S311 - reproducible, not secret


def _middle(chosen: Chosen) -> list[str]:
    """Return the ids of irrelevant documents in the middle half of the candidates."""
    quarter = len(chosen.candidates) // 4
    middle = list(chosen.candidates)[quarter : len(chosen.candidates) - quarter]
    irrelevant = chosen.irrelevant
    return [d for d in middle if d in irrelevant and len(irrelevant[d]) <= LONGEST]


def _one(doc_ids: list[str], seed: int, query_id: str) -> str | None:
    return draw(seed, query_id).choice(doc_ids) if doc_ids else None
