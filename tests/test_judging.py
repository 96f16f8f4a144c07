"""Judging keeps every vote, asks nothing twice, averages what was said, and invents nothing."""

import random
import tracemalloc
from pathlib import Path
from typing import Any

import judging_kit
import pytest
from collection import COLLECTION
from hypothesis import given
from hypothesis import strategies as st
from judging_kit import Files, Lengths, Words, files_in, judged, preferences

from zelo import InputError
from zelo.scoring import Progress
from zelo.training.judges import OracleJudge
from zelo.training.judging import mean
from zelo.training.records import Candidates, Document, Pairs, Query, read_records, write_records

VOTES = st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=6)


def pairs_of(files: Files) -> list[Pairs]:
    """What was to be judged."""
    return list(read_records(files.pairs, Pairs))


@given(VOTES, st.randoms(use_true_random=False))
def test_the_mean_lies_between_the_votes(votes: list[float | None], rng: random.Random) -> None:
    """Missing votes do not count, the order of judges does not matter, no vote is no mean."""
    found, given_votes = mean(votes), [vote for vote in votes if vote is not None]
    if not given_votes:
        assert found is None
        return
    assert found is not None
    assert min(given_votes) <= found <= max(given_votes)
    assert found == pytest.approx(sum(given_votes) / len(given_votes), abs=1e-12)
    rng.shuffle(votes)
    assert mean(votes) == found


def test_preferences_are_in_the_order_of_the_pairs(tmp_path: Path) -> None:
    """Line by line and pair by pair, with each judge's vote on just that pair."""
    files = files_in(tmp_path)
    words, lengths = Words(concurrency=4), Lengths()
    found = judged(files, [words, lengths])
    written = preferences(files)
    assert [(p.query, p.against, p.pairs) for p in written] == [
        (p.query, p.against, p.pairs) for p in pairs_of(files)
    ]
    assert (found.lines, found.pairs) == (5, 30)
    for line in written:
        against = line.against or line.query
        for place, (first, second) in enumerate(line.pairs):
            pair = judging_kit.Pair(
                judging_kit.side(line.query, first), judging_kit.side(against, second)
            )
            own = [len(COLLECTION.documents[one]) for one in (first, second)]
            expected = {"words": words._says(pair), "lengths": lengths.preference(*own)}
            assert {name: votes[place] for name, votes in line.votes.items()} == expected
            assert line.preferences[place] == mean([*expected.values()])


def test_the_order_of_judges_does_not_matter(tmp_path: Path) -> None:
    """The same preferences come out, and the same votes by name; judges may be an iterator."""
    found = []
    for place, turn in enumerate((1, -1)):
        folder = tmp_path / str(place)
        folder.mkdir()
        files = files_in(folder)
        judged(files, iter([Words(), Lengths(), OracleJudge(noise=0.3)][::turn]))
        found.append(preferences(files))
    assert found[0] == found[1]


def test_turning_pairs_around_turns_what_noiseless_judges_say(tmp_path: Path) -> None:
    """1 - p for every pair, within queries and across them."""
    found = []
    for name in ("as it is", "turned"):
        (tmp_path / name).mkdir()
        files = files_in(tmp_path / name)
        if name == "turned":
            turned = [
                Pairs(
                    query=line.against or line.query,
                    against=line.against and line.query,
                    pairs=[(b, a) for a, b in line.pairs],
                )
                for line in pairs_of(files)
            ]
            write_records(files.pairs, turned)
        judged(files, [Lengths(), OracleJudge()])
        found.append([p for line in preferences(files) for p in line.preferences])
    assert found[1] == pytest.approx([1 - (p or 0) for p in found[0]], abs=1e-12)
    assert len({*found[0]}) > 5


def test_a_pointwise_judge_scores_each_document_once(tmp_path: Path) -> None:
    """For each query, however many pairs and lines it stands in."""
    lengths = Lengths()
    judged(files_in(tmp_path, queries=3, documents=7), [lengths])
    assert len(lengths.asked) == len(set(lengths.asked)) == 3 * 7


def test_a_pairwise_judge_is_asked_about_each_pair_once(tmp_path: Path) -> None:
    """A pair that stands there twice has one vote in both places, even if both are under way."""
    files = files_in(tmp_path)
    lines = pairs_of(files)
    doubled = lines[0].model_copy(update={"pairs": lines[0].pairs * 2})
    write_records(files.pairs, [doubled, *lines])
    words = Words(concurrency=50)
    judged(files, [words])
    assert len(words.asked) == 30
    written = preferences(files)
    assert written[0].preferences == [*written[1].preferences, *written[1].preferences]


def test_an_order_is_its_own_question(tmp_path: Path) -> None:
    """The turned pair is asked anew: a judge may prefer a place."""
    files = files_in(tmp_path)
    line = pairs_of(files)[0]
    write_records(
        files.pairs, [line, line.model_copy(update={"pairs": [(b, a) for a, b in line.pairs]})]
    )
    words = Words(says=lambda pair: 1.0)
    judged(files, [words])
    assert len(words.asked) == 12
    assert {p for line in preferences(files) for p in line.preferences} == {1.0}


def test_missing_votes_are_no_votes(tmp_path: Path) -> None:
    """The others' mean counts, and a pair without any vote has no preference."""
    files = files_in(tmp_path)
    silent = {place for place in range(30) if place % 3 == 0}
    asked = iter(range(30))
    quiet = Words("quiet", says=lambda pair: None if next(asked) in silent else 1.0)
    found = judged(files, [quiet])
    given_preferences = [p for line in preferences(files) for p in line.preferences]
    assert [place for place, p in enumerate(given_preferences) if p is None] == sorted(silent)
    assert (found.ensemble.votes, found.ensemble.missing) == (20, 10)
    judged(files, [Words("quiet"), Words("loud", says=lambda pair: 0.0)])
    both = [p for line in preferences(files) for p in line.preferences]
    assert [both[place] for place in range(30)] == [0.0 if i in silent else 0.5 for i in range(30)]


def test_blank_documents_lose_and_are_never_scored(tmp_path: Path) -> None:
    """As no reranker scores them; two of them tie."""
    files = files_in(tmp_path)
    documents = [Document(id=d, content=t) for d, t in (("a", " "), ("b", "text"), ("c", "\n"))]
    write_records(
        files.candidates, [Candidates(query=Query(id="q", query="x"), documents=documents)]
    )
    write_records(files.pairs, [Pairs(query="q", pairs=[("a", "b"), ("b", "c"), ("a", "c")])])
    lengths = Lengths()
    judged(files, [lengths])
    assert preferences(files)[0].preferences == [0.0, 1.0, 0.5]
    assert lengths.asked == [("x", "text")]


def test_a_finished_run_asks_nothing(tmp_path: Path) -> None:
    """The same file and the same figures come out, and no model is prepared."""
    files, found, written = files_in(tmp_path), [], []
    for _ in range(2):
        words, lengths = Words(), Lengths()
        found.append(judged(files, [words, lengths]))
        written.append(files.out.read_bytes())
    assert (words.asked, words.prepared, words.released, lengths.asked) == ([], 0, 1, [])
    assert found[0] == found[1]
    assert written[0] == written[1]


def test_more_pairs_and_judges_pay_for_what_is_new(tmp_path: Path) -> None:
    """Votes are kept by content, whatever file the pairs stand in."""
    files = files_in(tmp_path, queries=3)
    judged(files, [Words()])
    files_in(tmp_path, queries=5)
    again, other = Words(), Words("other")
    judged(files, [again, other])
    assert (len(again.asked), len(other.asked)) == (2 * 6 + 6, 36)


def test_more_documents_of_a_query_are_scored_alone(tmp_path: Path) -> None:
    """A pointwise judge keeps the scores that it gave."""
    files = files_in(tmp_path, documents=6)
    judged(files, [Lengths()])
    files_in(tmp_path, documents=9)
    lengths = Lengths()
    judged(files, [lengths])
    texts = [*COLLECTION.documents.values()][6:9]
    assert sorted({text for _, text in lengths.asked}) == sorted(texts)
    assert len(lengths.asked) == 4 * 3


def test_other_texts_are_other_questions(tmp_path: Path) -> None:
    """An id under which another text lies is judged anew."""
    files = files_in(tmp_path)
    judged(files, [Words()])
    lines = list(read_records(files.candidates, Candidates))
    lines[0].documents[0] = Document(id=lines[0].documents[0].id, content="another text")
    write_records(files.candidates, lines)
    words = Words()
    judged(files, [words])
    assert len(words.asked) == 2 + 1  # in its ring, and as the first one across queries


def test_candidates_are_found_wherever_their_lines_lie(tmp_path: Path) -> None:
    """Between blank lines, beyond ASCII, in any order, with only one of them in memory."""
    files = files_in(tmp_path, documents=20)
    judged(files, [Lengths()])
    expected = preferences(files)
    lines = files.candidates.read_bytes().splitlines(keepends=True)
    files.candidates.write_bytes(b"\n" + b" \n\n".join(reversed(lines)))
    files.journal.unlink()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("zelo.training.lookup.KEPT", 1)
        judged(files, [Lengths()])
    assert preferences(files) == expected


def test_memory_does_not_grow_with_the_pairs(tmp_path: Path, monkeypatch: Any) -> None:
    """A hundred further lines of 30,000 characters leave less than a tenth of that behind."""

    class Forgetful(Lengths):
        async def score(self, query: str, documents: Any) -> Any:
            self.asked.clear()
            return await super().score(query, documents)

    monkeypatch.setattr("zelo.training.lookup.KEPT", 8)
    peaks = []
    for count in (20, 120):
        folder = tmp_path / str(count)
        folder.mkdir()
        files = many(folder, count)
        tracemalloc.start()
        judged(files, [OracleJudge(), Forgetful()])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100 * 3_000


def many(folder: Path, count: int) -> Files:
    """So many queries, each with three documents of 10,000 characters of its own."""
    files = files_in(folder)
    names = "abc"
    write_records(
        files.candidates,
        [
            Candidates(
                query=Query(id=f"q{i}", query=f"query {i}"),
                documents=[
                    Document(id=one, content=f"{one} {i:04} {i:04} " * 800) for one in names
                ],
            )
            for i in range(count)
        ],
    )
    pairs = [("a", "b"), ("b", "c"), ("c", "a")]
    write_records(files.pairs, [Pairs(query=f"q{i}", pairs=pairs) for i in range(count)])
    return files


def test_as_many_questions_are_under_way_as_the_judge_takes(tmp_path: Path) -> None:
    """No more, and no fewer where there are enough."""
    words = Words(concurrency=3)
    judged(files_in(tmp_path), [words])
    assert words.most_at_once == 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (Pairs(query="q-none", pairs=[("a", "b")]), "has no query 'q-none'"),
        (Pairs(query="q-dance", pairs=[("bee-round", "x")]), "'q-dance' has no candidate 'x'"),
        (
            Pairs(query="q-dance", against="q-stale", pairs=[("bee-round", "bee-round")]),
            "has no query 'q-stale'",
        ),
    ],
)
def test_unknown_ids_are_told_before_anything_is_asked(
    tmp_path: Path, line: Pairs, told: str
) -> None:
    """With the file that names them."""
    files = files_in(tmp_path)
    write_records(files.pairs, [*pairs_of(files), line])
    words = Words()
    with pytest.raises(InputError, match=f"pairs.jsonl, pairs of query .*{told}"):
        judged(files, [words])
    assert words.asked == []


def test_candidates_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    """A query that stands there twice, or a document in one line."""
    files = files_in(tmp_path)
    lines = list(read_records(files.candidates, Candidates))
    write_records(files.candidates, [*lines, lines[1]])
    with pytest.raises(InputError, match="query 'q-swarm' stands there twice"):
        judged(files, [Words()])
    twice = lines[0].model_copy(update={"documents": lines[0].documents[:1] * 2})
    write_records(files.candidates, [twice])
    with pytest.raises(InputError, match="a document stands twice among those of query 'q-dance'"):
        judged(files, [Words()])


def test_judges_must_differ(tmp_path: Path) -> None:
    """In name and in what they are; and there must be one."""
    files = files_in(tmp_path)
    with pytest.raises(InputError, match="two judges are named 'words'"):
        judged(files, [Words(), Words()])
    renamed = OracleJudge("second")
    with pytest.raises(InputError, match="'second' is another one under a second name"):
        judged(files, [OracleJudge(), renamed])
    with pytest.raises(InputError, match="there is no judge"):
        judged(files, [])


def test_progress_counts_each_judges_questions_to_their_end(tmp_path: Path) -> None:
    """Pairs for one that compares, queries of lines for one that scores."""
    told: dict[str, list[tuple[int, int]]] = {}

    def on_stage(name: str) -> Progress:
        return lambda done, total: told.setdefault(name, []).append((done, total))

    judged(files_in(tmp_path), [Words(), Lengths()], on_stage=on_stage)
    assert told == {
        "words": [(done, 30) for done in range(31)],
        "lengths": [(done, 6) for done in range(7)],
    }
