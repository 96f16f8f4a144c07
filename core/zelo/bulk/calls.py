"""From the rows of a block to calls of a reranker, and from its answers back to rows.

Rows with one query are scored together wherever they stand in the block, so that their query is
computed once. A call holds several queries and at most `CALL_PAIRS` documents, because the local
scheduler's work grows with the square of a call; two calls are under way at a time, so that the
texts of one are encoded while the other is computed.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import NamedTuple

from zelo.bulk.errors import Reject
from zelo.bulk.rows import Answer, Row
from zelo.errors import NonFiniteScoreError, QueryTooLongError, ScoringError
from zelo.reranker import Reranker
from zelo.results import RankedDocument

__all__ = ["CALL_PAIRS", "Answered", "OnPairs", "answer"]

CALL_PAIRS = 1024
CALLS_AT_ONCE = 2

OnPairs = Callable[[int], None]
"""Called with the number of documents scored since the last call, from any thread."""


class Answered(NamedTuple):
    """A row with one answer per document, or with why there are none."""

    row: Row
    answers: list[Answer]
    reject: Reject | None = None


class _Wanted(NamedTuple):
    """A document to score, by its row's place in the block and its own in the row."""

    row: int
    document: int


class _Query(NamedTuple):
    """A query with documents from any rows."""

    text: str
    documents: list[str]
    wanted: list[_Wanted]


def answer(
    reranker: Reranker, rows: Sequence[Row], instruction: str | None, on_pairs: OnPairs
) -> list[Answered]:
    """Score rows, in their order. A query that is too long for the model rejects its rows.

    Raises:
        ScoringError: the model gave no score; its notes say for which rows.
        InputError, ModelError: the model cannot be loaded or takes no instruction.
    """
    answers: list[dict[int, Answer]] = [{} for _ in rows]
    rejected: dict[int, str] = {}
    lock = threading.Lock()
    stopped = threading.Event()

    def report(count: int) -> None:
        if stopped.is_set():  # raised in a forward pass, it ends the call before the others
            raise ScoringError("another call of the block failed, or was interrupted")
        on_pairs(count)

    def run(call: list[_Query]) -> None:
        found, refused = _scored(reranker, call, rows, instruction, report)
        with lock:
            for wanted, one in found:
                answers[wanted.row][wanted.document] = one
            for wanted, reason in refused:
                rejected[wanted.row] = reason

    with ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="zelo-bulk") as pool:
        futures = [pool.submit(run, call) for call in _calls(_queries(rows))]
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [
        Answered(row, [], Reject(row.record.number, rejected[place]))
        if place in rejected
        else Answered(row, [answers[place][i] for i in range(len(row.documents))])
        for place, row in enumerate(rows)
    ]


def _queries(rows: Sequence[Row]) -> Iterator[_Query]:
    """Gather the documents of each query, queries in order of first appearance."""
    found: dict[str, _Query] = {}
    for place, row in enumerate(rows):
        query = found.setdefault(row.query, _Query(row.query, [], []))
        query.documents.extend(row.documents)
        query.wanted.extend(_Wanted(place, i) for i in range(len(row.documents)))
    for query in found.values():
        for start in range(0, len(query.documents), CALL_PAIRS):
            end = start + CALL_PAIRS
            yield _Query(query.text, query.documents[start:end], query.wanted[start:end])


def _calls(queries: Iterator[_Query]) -> Iterator[list[_Query]]:
    call: list[_Query] = []
    pairs = 0
    for query in queries:
        if call and pairs + len(query.documents) > CALL_PAIRS:
            yield call
            call, pairs = [], 0
        call.append(query)
        pairs += len(query.documents)
    if call:
        yield call


def _scored(
    reranker: Reranker,
    call: list[_Query],
    rows: Sequence[Row],
    instruction: str | None,
    on_pairs: OnPairs,
) -> tuple[list[tuple[_Wanted, Answer]], list[tuple[_Wanted, str]]]:
    """Return what was scored, and what was refused for its query."""
    report = _Steps(on_pairs)
    try:
        rankings = reranker.rank_many(
            [(query.text, query.documents) for query in call],
            instruction=instruction,
            progress=report,
        )
    except QueryTooLongError as error:
        if len(call) == 1:
            return [], [(wanted, str(error)) for wanted in call[0].wanted]
        # which of them it was, the error does not say
        halves = [_scored(reranker, [query], rows, instruction, on_pairs) for query in call]
        return [one for found, _ in halves for one in found], [
            one for _, refused in halves for one in refused
        ]
    except ScoringError as error:
        error.add_note(f"  while {_place(error, call, rows)} were scored")
        raise
    report.finish(sum(len(query.documents) for query in call))
    return [
        (query.wanted[one.index], _answer(one))
        for query, ranking in zip(call, rankings, strict=True)
        for one in ranking
    ], []


class _Steps:
    """Turns a call's progress, documents done of all, into steps."""

    def __init__(self, on_pairs: OnPairs) -> None:
        self._on_pairs = on_pairs
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        """Tell how many more are done; blank documents are not in `total`."""
        if done > self._done:
            self._on_pairs(done - self._done)
            self._done = done

    def finish(self, total: int) -> None:
        """Tell the rest, when the call is done."""
        self(total, total)


def _answer(one: RankedDocument) -> Answer:
    return Answer(one.score, None if one.empty else one.logit, one.truncated)


def _place(error: ScoringError, call: list[_Query], rows: Sequence[Row]) -> str:
    """Name the rows that an error is of: those that it names, or all of its call."""
    wanted = [one for query in call for one in query.wanted]
    if isinstance(error, NonFiniteScoreError):
        of_query = call[error.query_index or 0].wanted
        wanted = [of_query[index] for index in error.indices]
    numbers = sorted({rows[one.row].record.number for one in wanted})
    shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    return f"rows {shown}"
