"""Refining: which pairs a trained reranker's failures give, told by definition; files; resuming."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from zelo import InputError, ModelFailedError, Reranker
from zelo._common.journal import Journal
from zelo.cli.train_refine import refine as command
from zelo.results import Stats
from zelo.scoring import Progress, Scored, ScoreRequest
from zelo.training.records import (
    Candidates,
    Document,
    Pairs,
    Preferences,
    Query,
    Targets,
    read_records,
    write_records,
)
from zelo.training.refine import refine


class Planted:
    """A scorer whose scores stand in the documents' texts. It counts, and fails when it is told."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked = 0
        self.fails_at = fails_at

    def score(
        self, requests: Sequence[ScoreRequest], progress: Progress | None = None
    ) -> list[list[Scored]]:
        """Read the scores."""
        self.asked += len(requests)
        if self.fails_at is not None and self.asked >= self.fails_at:
            raise ModelFailedError("the model failed")
        return [[Scored(float(text), 0.5) for text in one.documents] for one in requests]

    async def ascore(
        self, requests: Sequence[ScoreRequest], progress: Progress | None = None
    ) -> list[list[Scored]]:
        """The same."""
        return self.score(requests, progress)

    def warmup(self) -> None:
        """Nothing is to be loaded."""

    def stats(self) -> Stats:
        """Nothing is told."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held."""


class Case(NamedTuple):
    """A query: per document its score by the reranker, target and grade; and what was judged."""

    scores: list[int]
    targets: list[float]
    grades: list[float | None]
    judged: list[tuple[str, str]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Scores are all different, targets and grades are not."""
    count = draw(st.integers(2, 7))
    names = [f"d{place}" for place in range(count)]
    grade = st.sampled_from([None, None, 0.0, 1.0, 2.0])
    pair = st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True).map(tuple)
    return Case(
        draw(st.permutations(range(count))),
        draw(st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=count, max_size=count)),
        draw(st.lists(grade, min_size=count, max_size=count)),
        draw(st.lists(pair, min_size=1, max_size=8)),
    )


class Files(NamedTuple):
    """What refining reads and writes."""

    candidates: Path
    targets: Path
    preferences: Path
    out: Path


def written(folder: Path, found: Sequence[Case]) -> Files:
    """Write the cases as files; queries are q0, q1 and so on."""
    files = Files(*(folder / f"{name}.jsonl" for name in Files._fields))
    write_records(files.candidates, [_candidates(n, case) for n, case in enumerate(found)])
    write_records(
        files.targets,
        [
            Targets(query=f"q{n}", targets={f"d{i}": t for i, t in enumerate(case.targets)})
            for n, case in enumerate(found)
        ],
    )
    write_records(
        files.preferences,
        [
            Preferences(query=f"q{n}", pairs=case.judged, preferences=[0.5] * len(case.judged))
            for n, case in enumerate(found)
        ],
    )
    return files


def _candidates(number: int, case: Case) -> Candidates:
    documents = [
        Document(id=f"d{i}", content=str(score), score=case.grades[i])
        for i, score in enumerate(case.scores)
    ]
    return Candidates(query=Query(id=f"q{number}", query=f"query {number}"), documents=documents)


def refined(files: Files, scorer: Planted | None = None, **options: Any) -> Any:
    """Refine, and return the figures."""
    reranker = Reranker.from_scorer(scorer or Planted())
    return refine(*files, reranker=reranker, **options)


def pairs(files: Files) -> dict[str, list[tuple[str, str]]]:
    """What was written, by query."""
    return {record.query: record.pairs for record in read_records(files.out, Pairs)}


def rank_and_above(case: Case) -> tuple[int, str, str | None]:
    """The best rank of a best document, it and the one above, from the definition alone."""
    grades = [grade or 0.0 for grade in case.grades]
    merits = grades if max(grades) > 0 else case.targets
    ranking = sorted(range(len(case.scores)), key=lambda i: -case.scores[i])
    rank = min(ranking.index(i) for i, merit in enumerate(merits) if merit == max(merits))
    above = f"d{ranking[rank - 1]}" if rank else None
    return rank + 1, f"d{ranking[rank]}", above


@given(st.lists(cases(), min_size=1, max_size=12), st.integers(1, 6))
@settings(max_examples=60)
def test_pairs_are_failures_that_were_not_judged(
    tmp_path_factory: pytest.TempPathFactory, found: list[Case], threshold: int
) -> None:
    """Each query whose best document ranks below the threshold, against the one right above."""
    files = written(tmp_path_factory.mktemp("refine"), found)
    figures = refined(files, threshold=threshold)
    wanted, failures = {}, 0
    for number, case in enumerate(found):
        rank, best, above = rank_and_above(case)
        if rank > threshold:
            failures += 1
            if {best, above} not in map(set, case.judged):
                wanted[f"q{number}"] = {best, above}
    assert {query: set(pair) for query, (pair,) in pairs(files).items()} == wanted
    ranks = [rank_and_above(case)[0] for case in found]
    assert figures.queries == len(found)
    assert figures.left_out == 0
    assert figures.failures == failures
    assert figures.pairs == len(wanted) == figures.failures - figures.judged_before
    assert figures.first == pytest.approx(ranks.count(1) / len(ranks))
    assert figures.reciprocal_rank == pytest.approx(sum(1 / r for r in ranks) / len(ranks))


FAILED = Case([3, 2, 1], [0.1, 0.5, 0.9], [None] * 3, [("d0", "d1")])
"""The best document, d2, is ranked last, behind d1."""


def test_a_coin_decides_the_order(tmp_path: Path) -> None:
    """Half of the pairs show the best document first, by a coin of seed and query alone."""
    files = written(tmp_path, [FAILED] * 400)
    refined(files, threshold=2)
    first = pairs(files)
    turned = sum(pair == ("d1", "d2") for (pair,) in first.values())
    assert 160 < turned < 240
    refined(written(tmp_path, [FAILED] * 40), threshold=2)
    assert pairs(files) == {query: first[query] for query in pairs(files)}
    refined(files, threshold=2, seed=1)
    assert pairs(files) != {query: first[query] for query in pairs(files)}


def test_the_middle_rank_is_told(tmp_path: Path) -> None:
    """Of ranks 1, 1 and 3 it is 1; without any query there is none."""
    files = written(tmp_path, [FAILED._replace(scores=[1, 2, 3])] * 2 + [FAILED])
    assert refined(files, threshold=3).rank_median == 1
    empty = refined(written(tmp_path, []))
    assert (empty.queries, empty.rank_median, empty.first, empty.pairs) == (0, None, None, 0)


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    """What was ranked is in the journal: only the rest is asked, and the pairs are the same."""
    files = written(tmp_path, [FAILED] * 30)
    refined(files, threshold=2)
    whole = pairs(files)
    files.out.unlink()
    with Journal(tmp_path / "rankings") as journal:
        with pytest.raises(ModelFailedError):
            refined(files, Planted(fails_at=20), threshold=2, journal=journal)
        assert not files.out.exists()
        rest = Planted()
        refined(files, rest, threshold=2, journal=journal)
    assert rest.asked == 30 - 16  # two blocks of eight were kept
    assert pairs(files) == whole


def test_queries_without_targets_are_left_out(tmp_path: Path) -> None:
    """They were not rated, as their comparisons were not connected; nothing is asked for them."""
    files = written(tmp_path, [FAILED] * 3)
    write_records(files.targets, [*read_records(files.targets, Targets)][:1])
    scorer = Planted()
    figures = refined(files, scorer, threshold=2)
    assert (figures.queries, figures.left_out, scorer.asked) == (1, 2, 1)
    assert list(pairs(files)) == ["q0"]


def test_progress_counts_queries(tmp_path: Path) -> None:
    """One after another, to the last."""
    told: list[tuple[int, int]] = []
    files = written(tmp_path, [FAILED] * 10)
    refined(files, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 10) for done in range(1, 11)]


def test_files_must_belong_together(tmp_path: Path) -> None:
    """Targets of other documents, or no line of preferences, are named."""
    files = written(tmp_path, [FAILED])
    write_records(files.preferences, [])
    with pytest.raises(InputError, match="query 'q0' has targets, but no line of preferences"):
        refined(files, threshold=1)
    write_records(files.targets, [Targets(query="q0", targets={"other": 0.5})])
    with pytest.raises(InputError, match="query 'q0': the document with the highest target"):
        refined(files)
    with pytest.raises(InputError, match="threshold=0"):
        refined(files, threshold=0)


def test_command(tmp_path: Path) -> None:
    """The command ranks with a model, keeps a journal beside its output, and tells figures."""
    files = written(tmp_path, [Case([1, 2], [0.9, 0.1], [None, None], [("d0", "d1")])])
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    words = [
        *(str(files.candidates), "--targets", str(files.targets)),
        *("--preferences", str(files.preferences), "--model", "zelo-nano"),
        *("--out", str(files.out), "--threshold", "1", "--json"),
    ]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert '"queries": 1' in result.stdout
    assert pairs(files) == {}  # its only pair was judged
    assert files.out.with_name("out.jsonl.journal.sqlite").exists()
    assert "nothing is to be judged again" in result.stderr
