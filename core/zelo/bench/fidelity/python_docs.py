"""A collection without judgements that every machine has: Python's own documentation.

Its queries are first sentences of entries, each asked of all the others: an entry is no candidate
of its own sentence (`Collection.itself`).
"""

import re

from zelo.corpora import Collection
from zelo.corpora.collection import evenly
from zelo.retrieval.python_docs import python_docs

__all__ = ["python_docs_collection"]

SENTENCE_END = re.compile(r"(?<=[.?!])\s|\n\s*\n")


def python_docs_collection(queries: int | None) -> Collection:
    """Return the documentation of the running Python, with at most so many evenly spaced queries.

    Nothing is judged. Versions of Python differ, so figures compare within one version alone.
    """
    documents = {doc.name: doc.text for doc in python_docs()}
    asked = {name: _first_sentence(documents[name]) for name in evenly(documents, queries)}
    return Collection("python-docs", documents, asked, {name: {} for name in asked})


def _first_sentence(text: str) -> str:
    """Return how an entry's docstring begins; above it stands the signature."""
    _, _, docstring = text.partition("\n")
    return " ".join(SENTENCE_END.split(docstring.strip(), maxsplit=1)[0].split())
