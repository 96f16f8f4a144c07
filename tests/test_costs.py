"""Time, tokens and money, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelo.errors import InputError
from zelo.evaluation.costs import Price, costs
from zelo.evaluation.figures import Cost
from zelo.evaluation.results import Call, Evaluation, Ranked, SystemRun


def run(system, reranker, query_ids):
    """A run with one document for each of some queries, and none for the query `empty`."""
    rankings = {query_id: (Ranked("a", 1.0),) for query_id in query_ids}
    return SystemRun(system, "bm25", reranker, {**rankings, "empty": ()})


def evaluation(calls, depth=4, runs=None):
    """An evaluation of which only the calls matter."""
    return Evaluation({}, (), runs or {}, {}, calls, depth, 0)


CALLS = {
    ("science", "model"): (Call(4, 2.0, 400, 40), Call(4, 4.0, 400, 40, 3, 1)),
    ("law", "model"): (Call(2, 2.0, 200, 20),),
    ("law", "other"): (Call(1, 0.5),),
}


def test_cost_by_hand():
    """Ten documents in 8 s; the calls of the whole depth, 4, took 2 and 4 s: median 3, 95 % 3.9."""
    found = costs(evaluation(CALLS), {})
    assert found["model"] == Cost(
        queries=0,
        documents=10,
        seconds=8.0,
        documents_per_second=1.25,
        median_s=3.0,
        p95_s=pytest.approx(3.9),
        depth=4,
        input_tokens=1_000,
        output_tokens=100,
        requests=5,
        malformed=1,
        usd_per_1000_queries=None,
    )
    assert list(found) == ["model", "other"]


def test_no_call_of_the_whole_depth():
    """Shorter calls say nothing of how long the whole depth takes."""
    found = costs(evaluation(CALLS), {})["other"]
    assert (found.median_s, found.p95_s, found.depth) == (None, None, 4)


def test_queries_are_counted_once():
    """Behind two first stages a reranker is asked about the same queries; empty ones are not asked
    about, and the same id in another collection is another query."""
    runs = {
        ("science", "bm25+model"): run("bm25+model", "model", ["q1", "q2"]),
        ("science", "dense+model"): run("dense+model", "model", ["q2", "q3"]),
        ("law", "bm25+model"): run("bm25+model", "model", ["q1"]),
        ("law", "bm25+other"): run("bm25+other", "other", ["q1", "q7"]),
        ("law", "bm25"): run("bm25", None, ["q8"]),
    }
    assert costs(evaluation(CALLS, runs=runs), {})["model"].queries == 4


@pytest.mark.parametrize(
    ("text", "usd"),
    [
        ("0.5/Mtok", 0.5 * 1_100 / 1e6 / 10 * 4 * 1_000),  # read and written alike
        ("0.5+2/Mtok", (0.5 * 1_000 + 2 * 100) / 1e6 / 10 * 4 * 1_000),
        ("9/hour", 9 / 3_600 * 8 / 10 * 4 * 1_000),
        ("2.00/1000-searches", 2.0),
    ],
)
def test_price_by_hand(text, usd):
    """Ten documents took 1,000 + 100 tokens and 8 s; a thousand queries have 4,000."""
    found = costs(evaluation(CALLS), {"model": Price.parse(text)})
    assert found["model"].usd_per_1000_queries == pytest.approx(usd)
    assert found["other"].usd_per_1000_queries is None


@pytest.mark.parametrize(("depth", "usd"), [(1, 2.0), (100, 2.0), (101, 4.0), (250, 6.0)])
def test_searches_have_up_to_100_documents(depth, usd):
    """A query with more is billed as several searches."""
    found = costs(evaluation(CALLS, depth=depth), {"model": Price.parse("2/1000-searches")})
    assert found["model"].usd_per_1000_queries == usd


def test_tokens_that_nobody_counted():
    """A server that tells no tokens is not free: there is no price."""
    found = costs(evaluation(CALLS), {"other": Price.parse("0.025/Mtok")})
    assert found["other"].usd_per_1000_queries is None


@pytest.mark.parametrize("text", ["0.025/Mtok", "2.50/hour"])
def test_reranker_without_calls(text):
    """Nothing found, nothing scored: no speed and no price, and no division by 0."""
    [found] = costs(evaluation({("law", "model"): ()}), {"model": Price.parse(text)}).values()
    assert (found.documents, found.documents_per_second, found.median_s) == (0, 0.0, None)
    assert found.usd_per_1000_queries is None


@given(unit=st.sampled_from(["Mtok", "hour", "1000-searches"]), usd=st.floats(0, 1e6))
def test_every_number_is_read(unit, usd):
    """Written with six digits, a price is read back to them."""
    assert Price.parse(f"{usd:.6f}/{unit}") == (unit, float(f"{usd:.6f}"), float(f"{usd:.6f}"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.025",
        "-1/hour",
        "1+2/hour",
        "1/hours",
        "nan/hour",
        "1e3/hour",
        "1/day",
        "$1/hour",
        "/h",
    ],
)
def test_bad_price(text):
    """What cannot be read is named, with every form that can."""
    with pytest.raises(InputError, match=r"0\.30\+2\.50/Mtok.*2\.50/hour.*2\.00/1000-searches"):
        Price.parse(text)


def test_price_of_a_stranger():
    """A price that nothing uses is a slip of the pen."""
    with pytest.raises(InputError, match=r"'modle'.*model, other"):
        costs(evaluation(CALLS), {"modle": Price.parse("1/hour")})
