"""Between the caller's lists and a scorer's requests: checks, blanks left out, places restored.

An empty or blank document never reaches a model (zerank-2 gives one 0.33, above many irrelevant
texts); it comes back as logit minus infinity, probability 0.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zelo.errors import InputError
from zelo.results import RankedDocument
from zelo.scoring import Scored, ScoreRequest

__all__ = ["BLANK", "Batch", "broken", "warn_of_truncation"]

log = logging.getLogger("zelo")

BLANK = Scored(-math.inf, 0.0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked queries with their documents, and what of them is sent to a scorer."""

    documents: list[tuple[str, ...]]
    """Per query, the caller's documents."""
    requests: list[ScoreRequest]
    """The queries that have a non-blank document, with those documents."""
    places: list[tuple[int, list[int]]]
    """Per request, its query's position and its documents' positions in `documents`."""

    @classmethod
    def of(
        cls, queries: Iterable[tuple[str, Sequence[str]]], instruction: str | None = None
    ) -> "Batch":
        """Check queries with their documents.

        Raises:
            InputError: names the first value that is not valid text, or a query that is blank.
        """
        _check_text("the instruction", "" if instruction is None else instruction)
        batch = cls([], [], [])
        for number, (query, documents) in enumerate(queries):
            texts = _checked(query, documents)
            filled = [i for i, text in enumerate(texts) if text and not text.isspace()]
            batch.documents.append(texts)
            if filled:
                kept = tuple(texts[i] for i in filled)
                batch.requests.append(ScoreRequest(query, kept, instruction))
                batch.places.append((number, filled))
        return batch

    def restore(self, scored: Sequence[Sequence[Scored]]) -> list[list[Scored]]:
        """Put a scorer's answers, one list per request, back to the caller's places."""
        whole = [[BLANK] * len(documents) for documents in self.documents]
        for (number, filled), answers in zip(self.places, scored, strict=True):
            for place, answer in zip(filled, answers, strict=True):
                whole[number][place] = answer
        return whole


def broken(scored: Sequence[Scored]) -> list[int]:
    """Return the positions of answers that are neither finite nor blank."""
    return [i for i, s in enumerate(scored) if s is not BLANK and not math.isfinite(s.logit)]


def warn_of_truncation(answers: Sequence[Scored | RankedDocument]) -> None:
    """Log how many documents were not read to their end, where what is returned may not say so."""
    if truncated := sum(answer.truncated for answer in answers):
        log.warning(
            "%d of %d documents were longer than the limit, and their ends were not read; see "
            "max_document_tokens and long_documents",
            truncated,
            len(answers),
        )


def _checked(query: str, documents: Sequence[str]) -> tuple[str, ...]:
    _check_text("the query", query)
    if not query or query.isspace():
        raise InputError("the query is empty; there is nothing that documents could answer")
    if isinstance(documents, str | bytes):
        message = "documents is a single text; give a list of texts, [document] for one"
        raise InputError(message)
    texts = tuple(documents)
    for position, text in enumerate(texts):
        _check_text(f"documents[{position}]", text)
    return texts


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        message = (
            f"{name} is of type {type(text).__name__}; it must be a str. For objects of a "
            "framework, pass their text, or use the framework's adapter"
        )
        raise InputError(message)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = (
            f"{name} holds a lone surrogate at character {error.start}, which is not valid "
            "Unicode; decode its source with errors='replace'"
        )
        raise InputError(message) from None
