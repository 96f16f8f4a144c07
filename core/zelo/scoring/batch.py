"""Between the caller's lists and a scorer's requests: checks, blanks left out, places restored.

An empty or blank document never reaches a model (zerank-2 gives one 0.33, above many irrelevant
texts); it comes back as logit minus infinity, probability 0.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from zelo._common.checks import check_text, in_order, lone_surrogate
from zelo.errors import InputError
from zelo.scoring import Scored, ScoreRequest

__all__ = ["BLANK", "Batch", "InvalidText", "Texts", "broken"]

log = logging.getLogger("zelo")

BLANK = Scored(-math.inf, 0.0)
InvalidText = Literal["raise", "replace"]
"""What becomes of a lone surrogate, half a character, which no encoding can write: an error, or
U+FFFD in what the model reads."""
NAMED = 10  # replaced texts that the log names


class Texts:
    """The texts of one call, under the names that messages give them."""

    def __init__(self, invalid: InvalidText) -> None:
        self._invalid = invalid
        self._replaced: list[str] = []

    def sound(self, name: str, text: object) -> str:
        """Return a text as the model reads it.

        Raises:
            InputError: it is no str, or holds a lone surrogate that may not be replaced.
        """
        broken = isinstance(text, str) and lone_surrogate(text) is not None
        if not broken or self._invalid == "raise":
            return check_text(name, text, ", or make the reranker with invalid_text='replace'")
        self._replaced.append(name)
        # two halves that belong together become the character that they are
        return str(text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def query(self, name: str, text: object) -> str:
        """Return a query as the model reads it.

        Raises:
            InputError: as `sound` does, or it is blank.
        """
        query = self.sound(name, text)
        if not query.strip():
            raise InputError(f"{name} is empty; there is nothing that documents could answer")
        return query

    def tell(self) -> None:
        """Log which texts the model did not read as they were given."""
        if self._replaced:
            more = ", ..." if len(self._replaced) > NAMED else ""
            log.warning(
                "%d text(s) held lone surrogates, in whose place the model read U+FFFD: %s",
                len(self._replaced),
                ", ".join(self._replaced[:NAMED]) + more,
            )


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
        texts: Texts,
        queries: Iterable[tuple[str, Sequence[str]]],
        instruction: str | None = None,
        *,
        many: bool = False,
    ) -> "Batch":
        """Check queries with their documents; with `many`, messages say of which query.

        Raises:
            InputError: names the first value that is not valid text, or a query that is blank.
        """
        if instruction is not None:
            instruction = texts.sound("the instruction", instruction)
        batch = cls([], [], [])
        for number, (query, documents) in enumerate(queries):
            of = f" of queries[{number}]" if many else ""
            query = texts.query(f"the query{of}", query)
            given, sound = [], []
            for i, text in enumerate(_listed(f"documents{of}", documents)):
                # one by one: an iterator may have no end
                sound.append(texts.sound(f"documents[{i}]{of}", text))
                given.append(text)
            batch.documents.append(tuple(given))
            filled = [i for i, text in enumerate(sound) if text and not text.isspace()]
            if filled:
                kept = tuple(sound[i] for i in filled)
                batch.requests.append(ScoreRequest(query, kept, instruction))
                batch.places.append((number, filled))
        texts.tell()
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


def _listed(name: str, documents: Iterable[str]) -> Iterable[str]:
    values = "list(documents.values())"
    column = "one column, as documents['text'].to_list()"
    return in_order(name, documents, "a list of texts", of_mapping=values, of_table=column)
