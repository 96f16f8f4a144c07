"""What one reranker has said about one collection so far, kept by content in a journal.

Of a pointwise reranker each document's score is kept once per query, whichever candidates it stood
among; of a listwise one the order of exactly these candidates. Two documents of one text share
their score. Times are kept with the scores, so that a resumed run reports the same figures.
"""

import hashlib
import math
from typing import Any

from zelo._common.journal import Journal, key_of
from zelo.evaluation.results import Call, Ranked, Ranking
from zelo.evaluation.systems import Case, Reordering, Scores

__all__ = ["Tally"]

MINUS_INFINITY = "-inf"  # the logit of an empty document, for which JSON has no number


class Tally:
    """Scores by query and document text."""

    def __init__(self, reranker: Reordering, journal: Journal | None) -> None:
        self._pointwise = reranker.pointwise
        self._identity = reranker.identity
        self._journal = journal if self._identity is not None else None
        self._known: dict[str, dict[str, Any]] = {}

    def has(self, case: Case) -> bool:
        """Whether every candidate's score is known."""
        return not self.missing(case).documents

    def missing(self, case: Case) -> Case:
        """The case with the candidates whose score is not known: for a list, all or none."""
        scores = self._of(case)["scores"]
        digests = _digests(case)
        kept = [place for place, digest in enumerate(digests) if digest not in scores]
        return Case(
            case.collection,
            case.query_id,
            case.query,
            tuple(case.doc_ids[place] for place in kept),
            tuple(case.documents[place] for place in kept),
            case.grades,
        )

    def add(self, case: Case, scores: Scores, seconds: float) -> None:
        """Keep what a reranker said, and what it took."""
        known = self._of(case)
        digests = _digests(case)
        for place, score, probability in scores.ordered:
            number = score if math.isfinite(score) else MINUS_INFINITY
            known["scores"].setdefault(digests[place], [number, probability])
        call = Call(
            len(case.documents),
            seconds,
            scores.input_tokens,
            scores.output_tokens,
            scores.requests,
            scores.malformed,
        )
        known["calls"].append(list(call))
        if self._journal is not None:
            self._journal.put(self._key(case), known)

    def ranking(self, case: Case) -> Ranking:
        """Rank a case's candidates by what is known; ties keep the first stage's order."""
        scores = self._of(case)["scores"]
        found = [scores[digest] for digest in _digests(case)]
        ranked = [
            Ranked(doc_id, -math.inf if score == MINUS_INFINITY else score, probability)
            for doc_id, (score, probability) in zip(case.doc_ids, found, strict=True)
        ]
        return tuple(sorted(ranked, key=lambda one: -one.score))

    def calls(self) -> tuple[Call, ...]:
        """Every call whose result is in use, those of an earlier run included."""
        return tuple(Call(*call) for known in self._known.values() for call in known["calls"])

    def _of(self, case: Case) -> dict[str, Any]:
        key = self._key(case)
        if key not in self._known:
            kept = self._journal.get(key) if self._journal is not None else None
            self._known[key] = kept or {"scores": {}, "calls": []}
        return self._known[key]

    def _key(self, case: Case) -> str:
        if self._identity is None:  # it may look at the judgements, which differ by query
            return case.query_id + "\n" + "\n".join(case.doc_ids)
        return key_of(self._identity, case.query, [] if self._pointwise else _digests(case))


def _digests(case: Case) -> list[str]:
    return [hashlib.blake2b(text.encode(), digest_size=12).hexdigest() for text in case.documents]
