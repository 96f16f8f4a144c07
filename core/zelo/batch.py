"""Between the caller's lists and a scorer's requests: checks, blanks left out, places restored.

An empty or blank document never reaches a model (zerank-2 gives one 0.33, above many irrelevant
texts); it comes back as logit minus infinity, probability 0.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zelo.checks import in_order, lone_surrogate
from zelo.errors import InputError
from zelo.scoring import Scored, ScoreRequest

__all__ = ["BLANK", "Batch", "broken", "check_query", "check_text"]

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
        cls,
        queries: Iterable[tuple[str, Sequence[str]]],
        instruction: str | None = None,
        *,
        many: bool = False,
    ) -> "Batch":
        """Check queries with their documents; with `many`, messages say of which query.

        Raises:
            InputError: names the first value that is not valid text, or a query that is blank.
        """
        check_text("the instruction", "" if instruction is None else instruction)
        batch = cls([], [], [])
        for number, (query, documents) in enumerate(queries):
            texts = _checked(query, documents, f" of queries[{number}]" if many else "")
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


def check_query(name: str, query: object) -> None:
    """Refuse a query that is not valid text, or blank."""
    check_text(name, query)
    if not str(query).strip():
        raise InputError(f"{name} is empty; there is nothing that documents could answer")


def _checked(query: str, documents: Sequence[str], of: str) -> tuple[str, ...]:
    check_query(f"the query{of}", query)
    values = "list(documents.values())"
    column = "one column, as documents['text'].to_list()"
    name = f"documents{of}"
    listed = in_order(name, documents, "a list of texts", of_mapping=values, of_table=column)
    texts = []
    for position, text in enumerate(listed):  # one by one: an iterator may have no end
        check_text(f"documents[{position}]{of}", text)
        texts.append(text)
    return tuple(texts)


def check_text(name: str, text: object) -> None:
    """Refuse what is not a str, or not valid Unicode."""
    if not isinstance(text, str):
        message = (
            f"{name} is of type {type(text).__name__}; it must be a str. For objects of a "
            "framework, pass their text, or use the framework's adapter"
        )
        raise InputError(message)
    if (place := lone_surrogate(text)) is not None:
        message = (
            f"{name} holds a lone surrogate at character {place}, which is not valid Unicode; "
            "decode its source with errors='replace'"
        )
        raise InputError(message)
