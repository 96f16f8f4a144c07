"""A ranking of candidates as the user sees it: a table for people, JSON Lines for programs."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from zelo._common.terminal import one_line
from zelo.cli.documents import Document
from zelo.cli.options import Scale
from zelo.cli.render import json_line
from zelo.results import RankedDocument

__all__ = ["table", "write_json"]

WIDEST_ID = 24  # terminal cells


def write_json(ranking: Sequence[RankedDocument], documents: Sequence[Document]) -> None:
    """Write one object per result. JSON has no infinity: an empty document's logit is null."""
    for rank, ranked in enumerate(ranking, start=1):
        document = documents[ranked.index]
        json_line(
            {
                "rank": rank,
                "index": ranked.index,
                "id": document.id,
                "line": document.line,
                "score": ranked.score,
                "logit": None if ranked.empty else ranked.logit,
                "truncated": ranked.truncated,
                "empty": ranked.empty,
                "text": document.text,
                "record": document.record,
            }
        )


def table(ranking: Sequence[RankedDocument], documents: Sequence[Document], scale: Scale) -> Table:
    """Lay out a ranking; documents go by their ids if any has one, otherwise by their lines."""
    with_ids = any(documents[ranked.index].id is not None for ranked in ranking)
    laid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    laid.add_column("rank", justify="right", style="bold", no_wrap=True)
    number = "score" if scale is Scale.PROBABILITY else "logit"
    laid.add_column(number, justify="right", no_wrap=True)
    laid.add_column("id" if with_ids else "line", justify="right", no_wrap=True)
    laid.add_column("text")  # not no_wrap, so this is the one that gives way on a narrow screen
    for rank, ranked in enumerate(ranking, start=1):
        document = documents[ranked.index]
        name = document.id if document.id is not None else f"line {document.line}"
        laid.add_row(
            str(rank),
            _number(ranked, scale),
            _short(one_line(name)) if with_ids else str(document.line),
            _marked(ranked),
        )
    return laid


def _number(ranked: RankedDocument, scale: Scale) -> str:
    if ranked.empty:
        return "-"
    return f"{ranked.score:.4f}" if scale is Scale.PROBABILITY else f"{ranked.logit:+.3f}"


def _short(name: Text) -> Text:
    name.truncate(WIDEST_ID, overflow="ellipsis")
    return name


def _marked(ranked: RankedDocument) -> Text:
    """Return the text for the table, behind a mark if the model did not see all of it."""
    if ranked.empty:
        return one_line(ranked.document, "dim", mark="[empty]")
    return one_line(ranked.document, mark="[truncated]" if ranked.truncated else "")
