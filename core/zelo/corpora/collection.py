"""What a test collection is, whatever files it came from."""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from zelo._common.checks import positive
from zelo.errors import InputError

__all__ = ["Collection", "Qrels", "evenly", "join_title", "normal_text"]

Qrels = Mapping[str, Mapping[str, float]]
"""Per query id, the relevance grade of each judged document id; 0 and below is not relevant."""


@dataclasses.dataclass(frozen=True, slots=True)
class Collection:
    """Documents, the queries of one split, and the judgements between them."""

    name: str
    documents: Mapping[str, str]
    """Per document id, the text that every system sees: the title, if any, on a line before."""
    queries: Mapping[str, str]
    qrels: Qrels
    """One entry per query of `queries`; an empty one where nothing is relevant."""
    given: Mapping[str, Sequence[str]] | None = None
    """Per query id, the candidates that came with the collection, in the order of its file."""

    @property
    def answerable(self) -> list[str]:
        """Ids of the queries with at least one relevant document: those that measures average."""
        return [q for q in self.queries if any(grade > 0 for grade in self.qrels[q].values())]

    def sample(self, count: int | None) -> "Collection":
        """The collection with at most `count` of its answerable queries, evenly spaced.

        The documents stay, so that the first stage's task does not become easier.
        """
        kept = evenly(self.answerable, positive("count", count))
        return dataclasses.replace(
            self,
            queries={q: self.queries[q] for q in kept},
            qrels={q: self.qrels[q] for q in kept},
        )

    def fingerprint(self) -> str:
        """A digest of the documents, their ids and their order; for caches."""
        digest = hashlib.blake2b(digest_size=16)
        for doc_id, text in self.documents.items():
            for part in (doc_id, text):
                content = part.encode()
                digest.update(len(content).to_bytes(8, "little"))
                digest.update(content)
        return digest.hexdigest()

    def itself(self, query_id: str, doc_id: str) -> bool:
        """Whether a document is the query itself, as in collections made of their own documents.

        Both ids and texts must say so: numbered queries and documents share ids by accident.
        """
        if query_id != doc_id:
            return False
        return normal_text(self.queries[query_id]) in normal_text(self.documents.get(doc_id, ""))


def join_title(title: str, text: str) -> str:
    """The scored text of a document: its title, where it has one, on a line before the text."""
    return f"{title}\n{text}" if title.strip() else text


def normal_text(text: str) -> str:
    """Lower-cased words only: two texts that agree in this form count as the same text."""
    return " ".join(re.findall(r"\w+", text.lower()))


def evenly(items: Iterable[str], count: int | None) -> list[str]:
    """At most `count` items, evenly spaced from the first on; None takes all.

    Raises:
        InputError: the count is below 1.
    """
    every = list(items)
    if count is None or count >= len(every):
        return every
    if count < 1:
        raise InputError(f"{count} queries: a sample needs at least one")
    return [every[place * len(every) // count] for place in range(count)]
