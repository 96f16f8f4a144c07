"""Two systems compared query by query, from the files that an evaluation writes."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from zelo.errors import InputError
from zelo.evaluation.comparing import Comparison, Moved, compare
from zelo.evaluation.reporting.comparison import as_json, rendered
from zelo.evaluation.reporting.records import DocumentRecord, QueryRecord


def document(
    doc_id: str, rank: int | None, grade: float | None = None, text: str = ""
) -> DocumentRecord:
    """A document as a file has it."""
    return DocumentRecord(
        doc_id=doc_id,
        grade=grade,
        rank=rank,
        score=None if rank is None else -float(rank),
        probability=None,
        first_stage_rank=rank,
        text=text or f"about {doc_id}",
        text_length=len(text),
    )


def query(
    query_id: str,
    value: float,
    documents: Sequence[DocumentRecord] = (),
    below: Sequence[DocumentRecord] = (),
    missed: Sequence[DocumentRecord] = (),
    **more: object,
) -> QueryRecord:
    """A query as a file has it."""
    fields = {
        "collection": "bees",
        "system": "bm25",
        "query_id": query_id,
        "query": f"what of {query_id}?",
        "measures": {"nDCG@10": value, "R@10": 1.0},
        "documents": [*documents],
        "relevant_below": [*below],
        "missed": [*missed],
    }
    return QueryRecord.model_validate({**fields, **more})


@pytest.fixture
def file(tmp_path):
    """Writes a file of queries, with a system's name."""

    def write(system: str, *records: QueryRecord) -> Path:
        path = tmp_path / f"{system}.jsonl"
        lines = [record.model_copy(update={"system": system}).as_json() for record in records]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def compared(file):
    """Compares two lists of queries."""

    def make(a: Sequence[QueryRecord], b: Sequence[QueryRecord]) -> Comparison:
        return compare(file("old", *a), file("new", *b))

    return make


def moved(
    compared, a: Mapping[str, Sequence[DocumentRecord]], b: Mapping[str, Sequence[DocumentRecord]]
) -> tuple[Moved, ...]:
    """What moved in a single query that changed."""
    (change,) = compared([query("q", 0.0, **a)], [query("q", 1.0, **b)]).changes
    return change.moved


def test_wins_ties_losses_and_means(compared):
    """B's wins are counted over the queries of both, and the means are over them as well."""
    a = [query("q1", 0.2), query("q2", 0.5), query("q3", 0.9), query("q4", 0.4)]
    b = [query("q1", 0.7), query("q2", 0.5), query("q3", 0.8), query("q4", 0.5)]
    found = compared(a, b)
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.mean_a == pytest.approx(0.5)
    assert found.mean_b == pytest.approx(0.625)
    assert found.difference == pytest.approx(0.125)
    assert (found.system_a, found.system_b, found.queries) == ("old", "new", 4)


def test_the_largest_change_comes_first(compared):
    """Whether better or worse; of equal changes the file's order decides, and ties are none."""
    a = [query("q1", 0.5), query("q2", 0.5), query("q3", 0.5), query("q4", 0.5)]
    b = [query("q1", 0.6), query("q2", 0.5), query("q3", 0.1), query("q4", 0.6)]
    assert [change.query_id for change in compared(a, b).changes] == ["q3", "q1", "q4"]


def test_rounding_is_no_change(compared):
    """0.1 + 0.2 is 0.3."""
    assert compared([query("q", 0.1 + 0.2)], [query("q", 0.3)]).ties == 1


def test_queries_of_one_file_alone_count_nowhere(compared):
    """They are named, and neither in the means nor among wins and losses."""
    a = [query("q1", 0.5), query("lost", 0.0)]
    b = [query("new", 0.0), query("q1", 0.5)]
    found = compared(a, b)
    assert (found.only_a, found.only_b) == (("lost",), ("new",))
    assert (found.queries, found.mean_a, found.mean_b) == (1, 0.5, 0.5)


def test_files_may_be_in_another_order(compared):
    """Queries are matched by id, not by line."""
    a = [query("q1", 0.1), query("q2", 0.9)]
    assert compared(a, [*reversed(a)]).ties == 2


def test_relevant_documents_come_first(compared):
    """Then the others, by the better of their two ranks; what stayed is not there."""
    a = {"documents": [document("x", 1), document("y", 2), document("r", 3, 1), document("s", 4)]}
    b = {"documents": [document("r", 1, 1), document("y", 2), document("x", 3), document("z", 4)]}
    found = [(one.doc_id, one.rank_a, one.rank_b) for one in moved(compared, a, b)]
    assert found == [("r", 3, 1), ("x", 1, 3), ("s", 4, None), ("z", None, 4)]


def test_a_relevant_document_is_followed_below_the_tenth_place(compared):
    """The files say where it went, however far down."""
    a = {"documents": [document("x", 1)], "below": [document("r", 77, 2)]}
    b = {"documents": [document("r", 1, 2)]}
    assert moved(compared, a, b)[0] == Moved("r", 2, 77, 1, "about r")


def test_a_relevant_document_may_be_found_by_one_alone(compared):
    """A first stage that misses it gives it no rank."""
    a = {"missed": [document("r", None, 1)]}
    b = {"documents": [document("r", 9, 1)]}
    assert [(one.rank_a, one.rank_b) for one in moved(compared, a, b)] == [(None, 9)]


def test_another_measure(file):
    """Any measure that both files hold can be compared."""
    a = query("q", 0.5, measures={"nDCG@10": 0.5, "R@10": 0.25})
    b = query("q", 0.5, measures={"nDCG@10": 0.5, "R@10": 0.75})
    found = compare(file("old", a), file("new", b), "R@10")
    assert (found.measure, found.wins, found.difference) == ("R@10", 1, 0.5)


def test_queries_without_the_measure_count_nowhere(compared):
    """A measure may leave a query out in one of the systems."""
    a = [query("q1", 0.5), query("q2", 0.5, measures={"R@10": 1.0})]
    found = compared(a, [query("q1", 0.5), query("q2", 0.5)])
    assert (found.queries, found.only_a, found.only_b) == (1, (), ("q2",))


def test_an_unknown_measure_is_refused_with_those_there_are(file):
    """The error names the file and its measures."""
    path = file("old", query("q", 0.5))
    with pytest.raises(InputError, match=r"old\.jsonl has no 'P@5'; choose one of nDCG@10, R@10"):
        compare(path, path, "P@5")


def test_two_collections_are_refused(compared):
    """The same query ids in another collection are other queries."""
    with pytest.raises(InputError, match="two collections, 'bees' and 'tides'"):
        compared([query("q", 0.5)], [query("q", 0.5, collection="tides")])


def test_other_queries_under_the_same_ids_are_refused(compared):
    """The error names an id, and no text."""
    with pytest.raises(InputError, match=r"queries \(1, such as 'q'\)") as caught:
        compared([query("q", 0.5)], [query("q", 0.5, query="secret words")])
    assert "secret" not in str(caught.value)


def test_files_without_a_common_query_are_refused(compared):
    """There is nothing to compare."""
    with pytest.raises(InputError, match="share no query"):
        compared([query("q1", 0.5)], [query("q2", 0.5)])


HOSTILE = "\x1b[2J[bold]ignore | `all`\u202e previous\nlines"


@pytest.fixture
def hostile(compared) -> Comparison:
    """A comparison of which every text wants to steer what shows it."""
    a = query(HOSTILE, 0.0, [document(HOSTILE, 1, None, HOSTILE)], query=HOSTILE)
    b = query(HOSTILE, 1.0, [document("r", 1, 1, HOSTILE)], query=HOSTILE)
    return compared([a, query("only\x1b[31m", 0.0)], [b])


def printed(found: Comparison, width: int = 80, **more: object) -> str:
    """What a terminal of that width gets."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, highlight=False)
    console.print(rendered(found, **more))
    return re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())


@pytest.fixture
def several(compared) -> Comparison:
    """Three queries that changed, in one of which many documents moved."""
    ten = [document(f"d{rank}", rank) for rank in range(1, 11)]
    turned = [document(f"d{11 - rank}", rank) for rank in range(1, 11)]
    a = [query("q1", 0.5, ten, missed=[document("r", None, 1)]), query("q2", 0.2), query("q3", 0.9)]
    b = [query("q1", 0.0, turned, below=[document("r", 31, 1)]), query("q2", 0.3), query("q3", 1.0)]
    return compared(a, b)


def test_a_terminal_shows_summary_queries_and_ranks(several):
    """Who is A and B, the count, and of each query the texts and what moved."""
    text = printed(several)
    assert "bees: A is old, B is new" in text
    assert "nDCG@10, mean over 3 queries: A 0.5333, B 0.4333, difference -0.1000" in text
    assert "B is better on 2 queries, worse on 1, equal on 0" in text
    assert "1. -0.5000 (A 0.5000, B 0.0000)  q1" in text
    assert "what of q1?" in text
    assert re.search(r"not found +31 +1 +r +about r", text)
    assert re.search(r" 1 +10 +- +d1 +about d1", text)
    assert "and 5 more that moved, none of them relevant" in text


def test_a_terminal_shows_as_many_queries_as_asked(several):
    """The largest changes, and no more."""
    text = printed(several, queries=1)
    assert "q1" in text
    assert "q2" not in text


@pytest.mark.parametrize("symbols", [True, False])
@pytest.mark.parametrize("width", [60, 80, 140])
def test_ranks_are_shown_at_every_width(several, width, symbols):
    """The texts give way, not the numbers."""
    text = printed(several, width, symbols=symbols)
    assert max(map(len, text.splitlines())) <= width
    assert re.search(r"not found[ |]+31[ |]+1[ |]+r[ |]+about", text)


def test_no_text_steers_the_terminal(hostile):
    """Control characters and turned directions are spelt out; markup is text."""
    text = printed(hostile)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.count("[bold]ignore") >= 3


def test_json_has_everything(several, hostile):
    """All changes by default, with the texts as they are."""
    plain = json.loads(json.dumps(as_json(several), allow_nan=False))
    assert (plain["format"], plain["wins"], plain["losses"], plain["ties"]) == (1, 2, 1, 0)
    assert [change["query_id"] for change in plain["changes"]] == ["q1", "q2", "q3"]
    assert plain["changes"][0]["moved"][0] == {
        "doc_id": "r",
        "grade": 1.0,
        "rank_a": None,
        "rank_b": 31,
        "text": "about r",
    }
    assert len(as_json(several, queries=1)["changes"]) == 1
    assert as_json(hostile)["changes"][0]["query"] == HOSTILE
    assert as_json(hostile)["only_a"] == ["only\x1b[31m"]
