"""What a pointwise model learns from: queries with documents and targets, divided by query.

Files are read line by line, once for each round; in memory are token ids and the ids of queries.
Knows nothing of models and steps.
"""

import hashlib
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from zelo.corpora.fields import shown
from zelo.errors import InputError
from zelo.local.packing import Part
from zelo.local.prompt import PromptEncoder
from zelo.scoring.options import Limits
from zelo.training.learning.examples import Example, Examples
from zelo.training.lookup import CandidateFile
from zelo.training.records import Targets, read_records

__all__ = ["Material", "Sampling", "gather", "spread"]

AnyPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which documents of a query are learned from."""

    documents_per_query: int | None = None
    """In each round; None for all."""
    rounds: int = 1
    """How often they are chosen anew."""
    seed: int = 0

    def choose(self, targets: Mapping[str, float], query_id: str, number: int) -> list[str]:
        """Return the documents of a query's round."""
        if self.documents_per_query is None:
            return list(targets)
        return spread(targets, self.documents_per_query, f"{self.seed} {number} {query_id}")


@dataclass(slots=True)
class Material:
    """Encoded queries, and how many there are of what."""

    examples: Examples = field(default_factory=Examples)
    """To learn from: one for each query, round after round."""
    held_out: Examples = field(default_factory=Examples)
    """One for each held-out query, with all of its documents."""
    queries: int = 0
    documents: int = 0
    """To learn from, in all rounds together."""
    held_out_queries: int = 0
    held_out_documents: int = 0
    blank: int = 0
    """Documents without text, which are left out."""
    truncated: int = 0
    """Of all documents read, those that are not read to their end."""


def gather(
    targets: AnyPath,
    candidates: CandidateFile,
    encoder: PromptEncoder,
    limits: Limits,
    *,
    held_out: float,
    sampling: Sampling,
) -> Material:
    """Read targets with their texts, and encode them as they are scored.

    Args:
        targets: file of `records.Targets`.
        candidates: the texts.
        encoder: of the model that is to learn.
        limits: how much is read of a document.
        held_out: about this share of the queries, by a hash of their ids, so that a query stays
            where it is when others are added; at least one query, unless it is 0.
        sampling: of the documents of the others.

    Raises:
        InputError: a file is not as it must be, a query stands there twice or is blank, a document
            is not among the candidates, a target is not in [0, 1], or nothing is left to learn.
    """
    apart = _apart(targets, held_out)
    reader = _Reader(candidates, encoder, limits, os.fspath(targets))
    found = reader.found
    for number in range(sampling.rounds):
        for record in read_records(targets, Targets):
            if record.query not in apart:
                documents = reader.filled(record, count=number == 0)
                chosen = sampling.choose(documents, record.query, number)
                found.documents += reader.add(found.examples, record, chosen)
            elif number == 0:
                chosen = list(reader.filled(record, count=True))
                found.held_out_documents += reader.add(found.held_out, record, chosen)
    found.queries = len(found.examples) // sampling.rounds
    found.held_out_queries = len(found.held_out)
    if not found.queries:
        raise InputError(f"{os.fspath(targets)} holds no query with documents to learn from")
    return found


def spread(targets: Mapping[str, float], count: int, key: str) -> list[str]:
    """Choose documents whose targets are as wide apart as those of all.

    The best and the worst are always among them: they are what a query's scale hangs on. The
    others are cut by rank into equal parts, and one is drawn from each, so repeated draws come to
    every document. Both ends are therefore met more often than the rest. Our own choice.

    Args:
        targets: by document; ties are ordered by id.
        count: at least 2; all documents, where there are no more.
        key: the same one draws the same documents.
    """
    ranked = sorted(targets, key=lambda doc_id: (targets[doc_id], doc_id))
    if len(ranked) <= count:
        return ranked
    generator = random.Random(key)  # noqa: S311 - repeatable, not secret
    worst, *others, best = ranked
    parts = count - 2
    drawn = [
        others[generator.randrange(part * len(others) // parts, (part + 1) * len(others) // parts)]
        for part in range(parts)
    ]
    return [worst, *drawn, best]


class _Reader:
    """Looks up a record's texts, and encodes them."""

    def __init__(
        self, candidates: CandidateFile, encoder: PromptEncoder, limits: Limits, name: str
    ) -> None:
        self._candidates, self._encoder, self._limits = candidates, encoder, limits
        self._name = name
        self.found = Material()

    def filled(self, record: Targets, *, count: bool) -> dict[str, float]:
        """Return the targets of the documents that have text, and count the others."""
        kept = {
            doc_id: target
            for doc_id, target in record.targets.items()
            if self._text(record, doc_id).strip()
        }
        if count:
            self.found.blank += len(record.targets) - len(kept)
        return kept

    def add(self, examples: Examples, record: Targets, doc_ids: list[str]) -> int:
        """Encode a query with some of its documents; return their number."""
        if not doc_ids:
            return 0
        query = self._candidates.side(record.query, doc_ids[0]).query
        texts = [self._text(record, doc_id) for doc_id in doc_ids]
        try:
            if not query.strip():
                raise InputError("the query is empty")
            encoded = self._encoder.encode(query, texts, None, self._limits)
        except InputError as error:
            message = f"{self._name}, query {shown(record.query)}: {error}"
            raise InputError(message) from error
        # equal documents share their ids there; here each has a target of its own
        suffixes = [encoded.suffixes[slot.suffixes.start] for slot in encoded.slots]
        targets = [record.targets[doc_id] for doc_id in doc_ids]
        examples.append(Example(Part(encoded.prefix, suffixes), targets))
        self.found.truncated += sum(slot.truncated for slot in encoded.slots)
        return len(doc_ids)

    def _text(self, record: Targets, doc_id: str) -> str:
        try:
            return self._candidates.side(record.query, doc_id).document
        except InputError as error:
            raise InputError(f"{self._name}: {error}") from error


def _apart(path: AnyPath, held_out: float) -> set[str]:
    """Check the targets, and return the queries that are held out."""
    if not 0 <= held_out < 1:
        message = f"held_out={held_out!r}; it must be a share of the queries, in [0, 1)"
        raise InputError(message)
    places: dict[str, float] = {}
    for record in read_records(path, Targets):
        if record.query in places:
            message = f"{os.fspath(path)}: query {shown(record.query)} stands there twice; keep one"
            raise InputError(message)
        for doc_id, target in record.targets.items():
            if not 0 <= target <= 1:
                message = (
                    f"{os.fspath(path)}: the target of document {shown(doc_id)} of query "
                    f"{shown(record.query)} is {target!r}; it must be in [0, 1]"
                )
                raise InputError(message)
        digest = hashlib.blake2b(record.query.encode(), digest_size=8).digest()
        places[record.query] = int.from_bytes(digest) / 2**64
    if not held_out or len(places) < 2:
        return set()
    apart = {query_id for query_id, place in places.items() if place < held_out}
    return apart or {min(places, key=places.__getitem__)}
