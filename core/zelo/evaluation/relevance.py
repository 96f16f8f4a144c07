"""Which documents are relevant, and which queries are evaluated: the same for every system.

A grade of 0 or below is not relevant, and neither is a document without a judgement.
"""

from collections.abc import Mapping

from zelo._common.checks import above_zero
from zelo.corpora.collection import Qrels
from zelo.errors import InputError

__all__ = ["Relevance", "evaluated_queries", "relevance", "whole"]

Relevance = Mapping[str, Mapping[str, int]]
"""Per query id, 1 for each judged document that is relevant and 0 for the others."""


def relevance(qrels: Qrels, relevant_from: float | None = None) -> dict[str, dict[str, int]]:
    """Say which judged documents are relevant: those with a grade of at least `relevant_from`.

    By default those with a grade above 0, as usual with grades that count 0, 1, 2. Ratings that are
    fractions have no usual border.

    Raises:
        InputError: a grade is a fraction and `relevant_from` is not given, or that is not above 0.
    """
    relevant_from = _checked(relevant_from)
    if relevant_from is None and not whole(qrels):
        message = (
            "grades are not all whole numbers, so which documents are relevant is not said; give "
            "relevant_from=, the lowest grade of a relevant document"
        )
        raise InputError(message)
    return {
        query_id: {doc_id: int(_relevant(grade, relevant_from)) for doc_id, grade in judged.items()}
        for query_id, judged in qrels.items()
    }


def evaluated_queries(qrels: Qrels, relevant_from: float | None = None) -> list[str]:
    """The queries with at least one relevant document: those that are averaged.

    Raises:
        InputError: `relevant_from` is not above 0.
    """
    relevant_from = _checked(relevant_from)
    return [
        query_id
        for query_id, judged in qrels.items()
        if any(_relevant(grade, relevant_from) for grade in judged.values())
    ]


def whole(qrels: Qrels) -> bool:
    """Whether no grade is a fraction."""
    return all(float(grade).is_integer() for judged in qrels.values() for grade in judged.values())


def _relevant(grade: float, relevant_from: float | None) -> bool:
    return grade > 0 if relevant_from is None else grade >= relevant_from


def _checked(relevant_from: float | None) -> float | None:
    return None if relevant_from is None else above_zero("relevant_from", relevant_from)
