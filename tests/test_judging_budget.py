"""Budgets of money and tokens, and how far judges agree."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judging_kit import Lengths, Words, files_in, judged, preferences

from zelo import InputError
from zelo.errors import BudgetError
from zelo.evaluation.costs import Price
from zelo.training.agreement import Poll
from zelo.training.budget import Budget, Ledger, Took
from zelo.training.judges import OracleJudge, Pair, Side
from zelo.training.judging import Judged

CENT = Price.parse("1000/Mtok")  # 10 tokens, what `Words` takes for a vote, cost a cent
VOTES = st.lists(st.tuples(*[st.sampled_from([None, 0.0, 0.2, 0.5, 0.9, 1.0])] * 2), max_size=30)


def test_a_budget_of_tokens_stops_before_it_is_passed(tmp_path: Path) -> None:
    """Of equal votes, as many as fit are asked for, whatever is under way at once."""
    for concurrency in (1, 4):
        files = files_in(_fresh(tmp_path, concurrency))
        words = Words(concurrency=concurrency)
        with pytest.raises(BudgetError, match=r"spent were 120 of 125 tokens\. What was judged"):
            judged(files, [words], budget=Budget(tokens=125))
        assert len(words.asked) == 12
        assert not files.out.exists()


def test_a_budget_of_dollars_stops_before_it_is_passed(tmp_path: Path) -> None:
    """By the judges' prices; a budget that is just enough is enough."""
    files, words = files_in(_fresh(tmp_path)), Words(concurrency=3)
    with pytest.raises(BudgetError, match=r"spent were \$0.1200 of \$0.1250"):
        judged(files, [words], budget=Budget(usd=0.125), prices={"words": CENT})
    found = judged(files, [words], budget=Budget(usd=0.3), prices={"words": CENT})
    assert found.judges["words"].usd == pytest.approx(0.3)
    assert len(words.asked) == 30


def test_a_higher_budget_goes_on_and_an_equal_one_asks_nothing(tmp_path: Path) -> None:
    """What earlier runs spent counts, and is not spent again."""
    files, asked = files_in(_fresh(tmp_path)), []
    for tokens in (100, 100, 109, 200):
        words = Words(concurrency=4)
        with pytest.raises(BudgetError):
            judged(files, [words], budget=Budget(tokens=tokens))
        asked.append(len(words.asked))
    assert asked == [10, 0, 0, 10]
    words = Words()
    judged(files, [words], budget=Budget(tokens=300))
    assert len(words.asked) == 10
    calm = files_in(_fresh(tmp_path, "calm"))
    judged(calm, [Words()])
    assert preferences(files) == preferences(calm)


def test_a_budget_may_be_passed_by_no_more_than_what_is_under_way(tmp_path: Path) -> None:
    """At the very start nothing is known, so the first votes may cost whatever they cost."""
    words = Words(concurrency=4, tokens=1_000)
    with pytest.raises(BudgetError, match="4,000 of 50 tokens"):
        judged(files_in(_fresh(tmp_path)), [words], budget=Budget(tokens=50))
    assert len(words.asked) == 4


def test_judges_that_cost_nothing_finish_their_work(tmp_path: Path) -> None:
    """When the budget is spent, only those that spend it stop."""
    files, words, free = files_in(_fresh(tmp_path)), Words(), Words("free")
    free.metered = False
    with pytest.raises(BudgetError):
        judged(files, [words, free, Lengths()], budget=Budget(tokens=50))
    assert (len(words.asked), len(free.asked)) == (5, 30)
    prices = {"words": CENT, "own": Price.parse("0/Mtok")}
    own = Words("own")
    with pytest.raises(BudgetError):
        judged(files, [words, own], budget=Budget(usd=0.1), prices=prices)
    assert (len(words.asked), len(own.asked)) == (10, 30)


def test_judges_share_one_budget(tmp_path: Path) -> None:
    """Both together spend no more than it."""
    one, other = Words("one", concurrency=2), Words("other", concurrency=3)
    with pytest.raises(BudgetError, match="200 of 200 tokens"):
        judged(files_in(_fresh(tmp_path)), [one, other], budget=Budget(tokens=200))
    assert len(one.asked) + len(other.asked) == 20


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 90)), max_size=80))
def test_the_excess_is_bounded(questions: list[tuple[str, int]]) -> None:
    """Whatever votes cost, the budget is passed by less than they cost beyond the dearest before.

    Up to five are under way; each that ends may be dearer than what was reserved for it.
    """
    judges = [Words("a"), Words("b")]
    ledger = Ledger(judges, {"a": [], "b": []}, {}, Budget(tokens=500))
    under_way: list[tuple[str, int]] = []
    spent, excess, dearest = 0, 0, {"a": 0, "b": 0}
    reserved: list[int] = []
    for judge, cost in questions:
        if len(under_way) == 5:
            name, took = under_way.pop(0)
            ledger.end(name, Took(requests=1, input_tokens=took))
            excess += max(0, took - reserved.pop(0))
            spent += took
            dearest[name] = max(dearest[name], took)
        if ledger.allows(judge):
            ledger.begin(judge)
            under_way.append((judge, cost))
            reserved.append(dearest[judge])
    spent += sum(cost for _, cost in under_way)
    excess += sum(max(0, cost - kept) for (_, cost), kept in zip(under_way, reserved, strict=True))
    assert spent <= 500 + excess


@pytest.mark.parametrize(
    ("price", "usd"),
    [("2/Mtok", 2.2), ("2+30/Mtok", 5.0), ("36/hour", 1.5), ("2.00/1000-searches", 0.014)],
)
def test_what_was_taken_costs_by_the_unit_of_the_price(price: str, usd: float) -> None:
    """A million read and a tenth written, 150 seconds, seven searches."""
    took = Took(3, 1_000_000, 100_000, 0, 7, 150.0)
    assert took.usd(Price.parse(price)) == pytest.approx(usd)


def test_searches_are_counted_by_the_hundred_documents(tmp_path: Path) -> None:
    """A query with up to 100 documents is one, as vendors bill."""
    found = judged(
        files_in(_fresh(tmp_path), queries=3),
        [Lengths()],
        prices={"lengths": Price.parse("2/1000-searches")},
    )
    assert found.judges["lengths"].took.searches == 3
    assert found.judges["lengths"].usd == pytest.approx(0.006)


def test_a_budget_of_dollars_needs_the_prices_of_servers(tmp_path: Path) -> None:
    """Nothing is asked before; a judge that costs nothing is said to."""
    files, words = files_in(_fresh(tmp_path)), Words()
    with pytest.raises(InputError, match="give --price words=PRICE, or 0/Mtok"):
        judged(files, [words], budget=Budget(usd=1.0))
    assert words.asked == []
    judged(files, [words], budget=Budget(usd=1.0), prices={"words": Price.parse("0/Mtok")})


def test_a_budget_cannot_be_kept_by_tokens_that_nobody_counts(tmp_path: Path) -> None:
    """A server that does not tell them would be paid without bound."""
    for options in (
        {"budget": Budget(tokens=5)},
        {"budget": Budget(usd=1.0), "prices": {"words": CENT}},
    ):
        words = Words(tokens=0)
        with pytest.raises(InputError, match="does not tell tokens"):
            judged(files_in(_fresh(tmp_path, len(options))), [words], **options)
        assert len(words.asked) == 1


def test_a_price_of_no_judge_is_refused(tmp_path: Path) -> None:
    """With the names that there are."""
    with pytest.raises(InputError, match="price of 'word', but no such judge; judges are: words"):
        judged(files_in(_fresh(tmp_path)), [Words()], prices={"word": CENT})


@pytest.mark.parametrize(
    "options", [{"usd": 0.0}, {"usd": -1.0}, {"tokens": 0}, {"usd": float("nan")}]
)
def test_a_budget_without_sense_is_refused(options: dict[str, float]) -> None:
    """It is named."""
    with pytest.raises(InputError, match=next(iter(options))):
        Budget(**options)  # type: ignore[arg-type]


def poll(votes: list[tuple[float | None, float | None]], grades: tuple[float, float]) -> Poll:
    """Two judges' votes on pairs of documents of these grades."""
    found = Poll(["one", "other"])
    pair = Pair(*(Side("q", "", name, "", grade) for name, grade in zip("ab", grades, strict=True)))
    one, other = ([vote[place] for vote in votes] for place in (0, 1))
    found.add([pair] * len(votes), {"one": one, "other": other}, one)
    return found


def test_kappa_is_cohens() -> None:
    """The textbook's table: 20 and 15 agreed, 5 and 10 not; 0.7 observed, 0.5 by chance, so 0.4."""
    votes = [(1.0, 1.0)] * 20 + [(1.0, 0.0)] * 5 + [(0.0, 1.0)] * 10 + [(0.0, 0.0)] * 15
    (found,) = poll(votes, (0, 0)).agreement()
    assert (found.judges, found.pairs) == (("one", "other"), 50)
    assert (found.equal, found.kappa) == (pytest.approx(0.7), pytest.approx(0.4))


@given(VOTES)
def test_agreement_counts_pairs_that_both_voted_on(
    votes: list[tuple[float | None, float | None]],
) -> None:
    """It is symmetric, at most 1, and 1 where both always say the same."""
    (found,) = poll(votes, (0, 0)).agreement()
    (turned,) = poll([vote[::-1] for vote in votes], (0, 0)).agreement()
    assert found[1:] == turned[1:]
    both = [(one, other) for one, other in votes if one is not None and other is not None]
    assert found.pairs == len(both)
    if both:
        equal = [(one > 0.5) - (one < 0.5) == (two > 0.5) - (two < 0.5) for one, two in both]
        assert found.equal == sum(equal) / len(both)
        assert found.kappa is None or found.kappa <= 1
        assert (found.kappa == 1) == (all(equal) and found.kappa is not None)


def test_shares_count_votes_ties_and_what_grades_say() -> None:
    """A vote for the higher grade is right, a tie half so, one of equal grades neither."""
    votes = [(1.0, None), (0.7, None), (0.5, None), (0.0, None), (None, None)]
    graded = poll(votes, (2, 1)).share("one")
    assert graded == (4, 1, 1, 4, pytest.approx(2.5 / 4))
    assert poll(votes, (1, 2)).share("one").right == pytest.approx(1.5 / 4)
    assert poll(votes, (1, 1)).share("one")[3:] == (0, None)
    assert poll(votes, (2, 1)).share("other") == (0, 5, 0, 0, None)
    assert poll(votes, (2, 1)).share() == graded


def test_a_reliable_oracle_is_always_right(tmp_path: Path) -> None:
    """Of the pairs whose grades differ; on the others it ties."""
    found: Judged = judged(files_in(_fresh(tmp_path)), [OracleJudge()])
    share = found.judges["oracle"].share
    assert (share.votes, share.right) == (30, 1.0)
    assert share.ties == 30 - share.judged < 30
    assert found.ensemble == share


def _fresh(folder: Path, name: object = "files") -> Path:
    made = folder / str(name)
    made.mkdir()
    return made
