"""What a row is made of: which columns hold the query and the documents, and where scores go.

A row is a pair (`query` and `document`), or a query with several candidates (`query` and a list
`documents`). Where texts lie in a collection beside the rows, the columns hold ids instead. The
choice is made once for all files of an input, from its first row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zelo.corpora.fields import TEXT_FIELDS, shown
from zelo.errors import InputError

__all__ = ["Layout", "Wishes", "choose_layout", "parse_columns"]

MANY = ("documents", "candidates", "passages")
QUERIES = ("query", "question", "query_text")
DOCUMENTS = ("document", *(name for name in TEXT_FIELDS if name != "document"))
QUERY_IDS = ("query_id", "query-id", "qid", "query")
DOCUMENT_IDS = ("doc_id", "docid", "document_id", "corpus-id", "document")
MANY_IDS = ("doc_ids", "document_ids", *MANY)
ROLES = ("query", "document", "score", "logit")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller says of rows and results."""

    columns: Mapping[str, str]
    """Names of columns by role: query, document, score, logit."""
    ids: bool
    """Columns hold ids of a collection's queries and documents, not texts."""
    logit: bool
    """The model's raw output is wanted too."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that are read, and those that are written."""

    query: str
    document: str
    many: bool
    """The document column is a list, and so is the score's."""
    ids: bool
    score: str
    logit: str | None

    @property
    def added(self) -> list[str]:
        """Names of the columns that the output has and the input has not."""
        return [self.score] if self.logit is None else [self.score, self.logit]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    def refuse_taken(self, names: Iterable[str]) -> None:
        """Refuse rows that have a column where a score is to go.

        Raises:
            ValueError: with a message that goes on after "the row ...".
        """
        taken = sorted(set(names).intersection(self.added))
        if taken:
            raise ValueError(
                f"has a column {shown(taken[0])} already; name another for the result, as in "
                "--columns score=rerank_score"
            )


def parse_columns(text: str | None) -> dict[str, str]:
    """Read `query=question,document=body`.

    Raises:
        InputError: a part is no ROLE=NAME, or the role is none of query, document, score, logit.
    """
    found: dict[str, str] = {}
    for part in text.split(",") if text else []:
        role, equals, name = part.strip().partition("=")
        if role not in ROLES or not equals or not name or role in found:
            message = (
                f"columns={text!r}: write ROLE=NAME parts divided by commas, each of the roles "
                f"{', '.join(ROLES)} once at most"
            )
            raise InputError(message)
        found[role] = name
    return found


def choose_layout(names: Sequence[str], lists: Iterable[str], wishes: Wishes) -> Layout:
    """Find the columns among the names of a first row; `lists` are those that hold lists.

    Raises:
        ValueError: one is missing or taken, with a message that goes on after "the row ...".
    """
    usual = (
        (QUERY_IDS, (*MANY_IDS, *DOCUMENT_IDS)) if wishes.ids else (QUERIES, (*MANY, *DOCUMENTS))
    )
    query = _column("query", names, usual[0], wishes)
    document = _column("document", names, usual[1], wishes)
    many = document in set(lists)
    ending = "s" if many else ""
    layout = Layout(
        query,
        document,
        many,
        wishes.ids,
        wishes.columns.get("score", f"score{ending}"),
        wishes.columns.get("logit", f"logit{ending}") if wishes.logit else None,
    )
    if layout.score == layout.logit:
        raise ValueError("is to get score and logit under one name; name two")
    layout.refuse_taken(names)
    return layout


def _column(role: str, names: Sequence[str], usual: Sequence[str], wishes: Wishes) -> str:
    wanted = wishes.columns.get(role)
    if wanted is not None and wanted in names:
        return wanted
    found = next((name for name in usual if name in names), None) if wanted is None else None
    if found is None:
        looked = (
            f"no column {shown(wanted)}" if wanted else f"none of the columns {', '.join(usual)}"
        )
        told = ", ".join(map(shown, names[:20])) or "none at all"
        raise ValueError(f"has {looked}; found {told}. Name it with --columns {role}=NAME")
    return found
