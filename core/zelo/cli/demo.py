"""`zelo demo`: the main job on text that every machine has, before and after side by side."""

import platform
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from zelo._common.terminal import one_line
from zelo.cli.options import (
    DEFAULT_MODEL,
    OUTPUT,
    AsJson,
    Device,
    Family,
    Head,
    Model,
    as_usage_error,
    sound_text,
)
from zelo.cli.progress import scoring, working
from zelo.cli.render import Screen, json_line, note, out, symbols
from zelo.results import RankedDocument

if TYPE_CHECKING:  # these bring numpy
    from zelo.reranker import Reranker
    from zelo.retrieval import BM25, Candidate
    from zelo.retrieval.python_docs import PythonDoc

__all__ = ["demo"]

# Among 60 queries tried, three of those where zelo-nano puts the answer first and BM25 does not.
QUERIES = ("read a csv file", "run a command and capture output", "send an email")
EPILOG = """
**Examples**

zelo demo

zelo demo "how do I measure elapsed time" --top-n 10

zelo demo "split a path into folder and file" --model zerank-2 --depth 50
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """One query's candidates in both orders."""

    query: str
    candidates: "list[Candidate]"
    """The first stage's, best first."""
    ranking: list[RankedDocument]
    """The reranker's; `index` is a position in `candidates`."""
    search_s: float
    rerank_s: float


def demo(
    query: Annotated[
        str | None,
        typer.Argument(
            help="What you want to know about Python. Default: three examples.",
            callback=sound_text,
        ),
    ] = None,
    model: Model = DEFAULT_MODEL,
    family: Family = None,
    head: Head = None,
    device: Device = None,
    depth: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many BM25 candidates are reranked.")
    ] = 100,
    top_n: Annotated[
        int,
        typer.Option(
            "--top-n",
            metavar="N",
            min=1,
            help="How many of either order are shown.",
            rich_help_panel=OUTPUT,
        ),
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Rerank Python's own documentation: BM25 finds candidates, the model puts them in order.

    The corpus is built from the standard library of the Python that runs, so there is nothing to
    fetch. The left column is the order before reranking, the right one the order after it, with
    the places each entry has moved.
    """
    from zelo.reranker import Reranker
    from zelo.retrieval import BM25
    from zelo.retrieval.python_docs import python_docs

    with as_usage_error():
        reranker = Reranker(model, family=family, head=head, device=device)
    with working("reading Python's documentation"):
        docs = python_docs()
        index = BM25([doc.text for doc in docs])
    with reranker:
        with working(f"loading {model}"):
            reranker.warmup()
        screen = out()
        for asked in QUERIES if query is None else [query]:
            answer = _answer(asked, docs, index, reranker, depth)
            if not answer.candidates:
                note(f"{asked!r}: no entry of {len(docs):,} shares a word with it")
            elif as_json:
                _write_json(answer, docs, top_n)
            else:
                screen.print(_page(answer, docs, model, top_n, screen))


def _answer(
    query: str, docs: "list[PythonDoc]", index: "BM25", reranker: "Reranker", depth: int
) -> Answer:
    started = time.perf_counter()
    candidates = index.search(query, depth)
    found = time.perf_counter()
    with scoring(None) as progress:
        texts = [docs[candidate.index].text for candidate in candidates]
        ranking = reranker.rank(query, texts, progress=progress)
    ended = time.perf_counter()
    return Answer(query, candidates, ranking, found - started, ended - found)


def _write_json(answer: Answer, docs: "list[PythonDoc]", top_n: int) -> None:
    """Write one object per shown result, with the keys of `zelo rerank --json` where they fit."""
    for rank, ranked in enumerate(answer.ranking[:top_n], start=1):
        candidate = answer.candidates[ranked.index]
        json_line(
            {
                "query": answer.query,
                "rank": rank,
                "index": ranked.index,
                "id": docs[candidate.index].name,
                "score": ranked.score,
                "logit": ranked.logit,
                "truncated": ranked.truncated,
                "text": ranked.document,
                "first_stage_rank": ranked.index + 1,
                "first_stage_score": candidate.score,
            }
        )


def _page(answer: Answer, docs: "list[PythonDoc]", model: str, top_n: int, screen: Screen) -> Group:
    """Lay out one query: both orders side by side, and a line on what it took."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    table.add_column("", justify="right", style="bold", no_wrap=True)
    table.add_column("before: BM25", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("moved", justify="right", no_wrap=True)
    table.add_column(Text.assemble("after: ", one_line(model)), ratio=1, no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    for place in range(min(top_n, len(answer.candidates))):
        ranked = answer.ranking[place]
        table.add_row(
            str(place + 1),
            _entry(docs[answer.candidates[place].index].text),
            _move(ranked.index - place, symbols(screen)),
            _entry(ranked.document),
            f"{ranked.score:.3f}",
        )
    spent = (
        f"{len(docs):,} entries of Python {platform.python_version()}'s documentation; "
        f"{len(answer.candidates)} candidates in {answer.search_s * 1000:.1f} ms, "
        f"reranked in {answer.rerank_s:.2f} s"
    )
    title = Text.assemble("\n", ("? ", "bold cyan"), one_line(answer.query, "bold"), "\n")
    return Group(title, table, "", Text(spent, style="dim"))


def _entry(text: str) -> Text:
    """Return an entry as two lines: its name, and the beginning of what it says."""
    head, _, doc = text.partition("\n")
    name = head.partition("(")[0]
    return Text.assemble(one_line(name, "bold"), "\n", one_line(doc, "dim"), no_wrap=True)


def _move(places: int, with_arrows: bool) -> Text:
    """Say by how many places an entry went up."""
    up, down, same = ("▲", "▼", "=") if with_arrows else ("+", "-", "=")
    if places == 0:
        return Text(same, style="dim")
    return Text(f"{up if places > 0 else down}{abs(places)}", "green" if places > 0 else "red")
