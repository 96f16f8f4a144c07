"""Everything a report shows, from evaluations small enough to derive each figure by hand."""

import math
import random

import ir_measures
import pytest

from zelo.corpora import Collection
from zelo.errors import InputError
from zelo.evaluation.costs import Price
from zelo.evaluation.results import Call, Evaluation, Ranked, SystemRun
from zelo.evaluation.significance import holm, intervals, p_values
from zelo.evaluation.summary import summarise

SECOND = 1 / math.log2(3)


def collection(name, qrels, documents="abcdxyz"):
    """A collection without texts, which no figure depends on."""
    return Collection(name, dict.fromkeys(documents, ""), dict.fromkeys(qrels, ""), qrels)


def system_run(system, rankings, probabilities):
    """A run of the system `first+reranker`; every ranking is a string of one-letter ids.

    Only the reranker `model` gives probabilities.
    """
    first_stage, _, reranker = system.partition("+")
    known = probabilities if reranker == "model" else {}
    found = {
        query_id: tuple(
            Ranked(doc_id, 1.0, known.get((query_id, doc_id))) for doc_id in doc_ids
        )  # scores that all tie: the order alone counts
        for query_id, doc_ids in rankings.items()
    }
    return SystemRun(system, first_stage, reranker or None, found)


def evaluation(collections, rankings, *, probabilities=(), calls=(), depth=3, seed=0):
    """An evaluation from {(collection, system): {query: ranking}}."""
    runs = {
        (name, system): system_run(system, found, dict(probabilities))
        for (name, system), found in rankings.items()
    }
    systems = tuple(dict.fromkeys(system for _, system in rankings))
    first_stages = {key: run for key, run in runs.items() if run.reranker is None}
    by_name = {one.name: one for one in collections}
    return Evaluation(by_name, systems, runs, first_stages, dict(calls), depth, seed)


SCIENCE = collection("science", {"q1": {"a": 1}, "q2": {"b": 1, "c": 1}}, "abcxyz")
LAW = collection("law", {"q1": {"d": 1}}, "dxyz")
SMALL = evaluation(
    [SCIENCE, LAW],
    {
        ("science", "bm25"): {"q1": "xa", "q2": "xby"},
        ("science", "bm25+model"): {"q1": "ax", "q2": "bxy"},
        ("science", "bm25+oracle"): {"q1": "ax", "q2": "bxy"},
        ("law", "bm25"): {"q1": ""},
        ("law", "bm25+model"): {"q1": ""},
        ("law", "bm25+oracle"): {"q1": ""},
    },
    probabilities={
        ("q1", "a"): 0.9,
        ("q1", "x"): 0.2,
        ("q2", "b"): 0.8,
        ("q2", "x"): 0.4,
        ("q2", "y"): 0.1,
    },
    calls={("science", "model"): (Call(3, 1.0, 300), Call(2, 1.0, 200)), ("law", "model"): ()},
)


def test_means_by_hand():
    """bm25 finds a on rank 2 and b of b, c on rank 2; the model puts both first; law finds none.

    nDCG@3 with s = 1 / log2 3: of bm25 s and s / (1 + s), of the model 1 and 1 / (1 + s).
    """
    found = summarise(SMALL, measures=["nDCG@3", "RR"])
    bm25, model = (
        found.cells["science", "bm25", "nDCG@3"],
        found.cells["science", "bm25+model", "RR"],
    )
    assert bm25.mean == pytest.approx((SECOND + SECOND / (1 + SECOND)) / 2)
    assert model.mean == 1.0
    assert model.difference == pytest.approx(0.5)
    assert found.cells["law", "bm25+model", "nDCG@3"].mean == 0.0
    assert found.averages["bm25+model", "RR"] == pytest.approx((1.0 + 0.0) / 2)
    assert found.values["science", "bm25+model", "nDCG@3"] == {
        "q1": 1.0,
        "q2": pytest.approx(1 / (1 + SECOND)),
    }


def test_frame_of_the_report():
    """What was evaluated on what, in the order that was asked for."""
    found = summarise(SMALL, measures=["RR", "nDCG@3", "RR"])
    assert found.measures == ("RR", "nDCG@3")
    assert found.collections == ("science", "law")
    assert found.systems == ("bm25", "bm25+model", "bm25+oracle")
    assert found.baseline == "bm25"
    assert found.oracles == {"bm25+oracle"}
    assert (found.queries, found.documents) == ({"science": 2, "law": 1}, {"science": 6, "law": 4})
    assert found.first_stages == dict.fromkeys(found.systems, "bm25")
    assert found.rerankers == {"bm25": None, "bm25+model": "model", "bm25+oracle": "oracle"}
    assert found.depth == 3


def test_recall_of_the_first_stage():
    """bm25 found all of q1 and one of two of q2 in science, and nothing in law."""
    assert summarise(SMALL).recall == {("science", "bm25"): 0.75, ("law", "bm25"): 0.0}


def test_only_competitors_are_tested():
    """Neither the baseline nor an oracle has a difference or a p-value."""
    found = summarise(SMALL, measures=["RR"])
    for (_, system, _), cell in found.cells.items():
        assert (cell.difference is None) == (cell.p_value is None) == (system != "bm25+model")


def test_baseline():
    """Another baseline turns the difference round."""
    found = summarise(SMALL, measures=["RR"], baseline="bm25+model")
    assert found.baseline == "bm25+model"
    assert found.cells["science", "bm25", "RR"].difference == pytest.approx(-0.5)
    assert found.cells["science", "bm25+model", "RR"].difference is None


@pytest.mark.parametrize("baseline", ["bm26", "bm25+oracle"])
def test_impossible_baseline(baseline):
    """An unknown system, and one that saw the judgements, are refused with what there is."""
    with pytest.raises(InputError, match=r"choose one of bm25, bm25\+model$"):
        summarise(SMALL, baseline=baseline)


def test_oracle_in_front_is_no_baseline():
    """By default the first system that did not see the judgements."""
    rankings = {("law", "bm25+oracle"): {"q1": "d"}, ("law", "bm25"): {"q1": "d"}}
    assert summarise(evaluation([LAW], rankings)).baseline == "bm25"


def test_costs_and_prices():
    """Five documents took 2 s, a thousand queries have 3,000: 2 / 5 * 3000 s at 9 / 3600 USD."""
    found = summarise(SMALL, prices={"model": Price.parse("9/hour")}).costs
    assert list(found) == ["model"]
    assert found["model"].queries == 2
    assert found["model"].usd_per_1000_queries == pytest.approx(2 / 5 * 3000 * 9 / 3600)


def test_calibration():
    """Of the system whose reranker gives probabilities, over both collections' three queries.

    Down to .8 both kept documents are relevant, 2 / 3 of a document per query.
    """
    found = summarise(SMALL).calibration
    assert list(found) == ["bm25+model"]
    assert (found["bm25+model"].documents, found["bm25+model"].relevant) == (5, 2)
    best = found["bm25+model"].thresholds[-1]
    assert best == (0.95, 0.8, 1.0, 1.0, pytest.approx(2 / 3))


def test_relevant_from():
    """From grade 2 on q2 has no relevant document: it is in no figure of any system."""
    graded = collection("law", {"q1": {"a": 2, "b": 1}, "q2": {"b": 1}})
    made = evaluation([graded], {("law", "bm25"): {"q1": "ba", "q2": "b"}})
    found = summarise(made, measures=["RR", "nDCG@2"], relevant_from=2)
    assert found.queries == {"law": 1}
    assert found.values["law", "bm25", "RR"] == {"q1": 0.5}
    assert set(found.values["law", "bm25", "nDCG@2"]) == {"q1"}


def test_fractions_need_a_border():
    """The collection is named, and with a border the same evaluation is fine."""
    rated = collection("law", {"q1": {"a": 2.5, "b": 0.5}})
    made = evaluation([rated], {("law", "bm25"): {"q1": "ba"}})
    with pytest.raises(InputError, match=r"^law: .*relevant_from="):
        summarise(made, measures=["nDCG@10"])
    assert summarise(made, measures=["RR"], relevant_from=1).averages["bm25", "RR"] == 0.5


def test_nothing_relevant():
    """A border above every grade leaves nothing to average."""
    with pytest.raises(InputError, match=r"science: no query has a relevant document"):
        summarise(SMALL, relevant_from=5)


def test_no_measure():
    """Nothing to compute is a mistake."""
    with pytest.raises(InputError, match="at least one"):
        summarise(SMALL, measures=[])


def test_measure_of_candidates():
    """Against the candidates' best order the oracle is perfect; common queries alone are compared.

    dense finds nothing relevant for q1. On q2 both find b, bm25 second and dense first.
    """
    made = evaluation(
        [SCIENCE],
        {
            ("science", "bm25"): {"q1": "xa", "q2": "xb"},
            ("science", "dense"): {"q1": "xy", "q2": "bx"},
            ("science", "bm25+oracle"): {"q1": "ax", "q2": "bx"},
        },
    )
    name = "nDCG@10(candidates)"
    found = summarise(made, measures=[name])
    assert found.cells["science", "bm25+oracle", name].mean == 1.0
    assert set(found.values["science", "dense", name]) == {"q2"}
    assert found.cells["science", "dense", name].difference == pytest.approx(1 - SECOND)
    found = summarise(made, measures=[name], baseline="dense")
    assert found.cells["science", "bm25", name].difference == pytest.approx(SECOND - 1)


def test_candidates_are_the_first_stages():
    """A system that drops the relevant candidate of q1 gains 0 there and is not excused."""
    made = evaluation(
        [SCIENCE],
        {
            ("science", "bm25"): {"q1": "xa", "q2": "xb"},
            ("science", "bm25+model"): {"q1": "x", "q2": "bx"},
        },
    )
    found = summarise(made, measures=["nDCG@10(candidates)"])
    assert found.values["science", "bm25+model", "nDCG@10(candidates)"] == {"q1": 0.0, "q2": 1.0}


def test_measure_of_candidates_without_any():
    """Where a first stage found nothing relevant, nothing can be averaged; 0 would be false."""
    with pytest.raises(InputError, match=r"law: bm25 found no relevant document"):
        summarise(SMALL, measures=["nDCG@10(candidates)"])


def large():
    """Two collections of thirty queries, four systems in random order, the model a bit better."""
    generator = random.Random(5)  # noqa: S311 - reproducible, not secret
    collections, rankings = [], {}
    for name in ("one", "two"):
        qrels = {
            f"q{place}": {doc_id: generator.choice([0, 1, 2]) for doc_id in "abc"} | {"d": 1}
            for place in range(30)
        }
        collections.append(collection(name, qrels))
        for system in ("bm25", "bm25+model", "bm25+random", "bm25+other"):
            rankings[name, system] = {}
            for query_id in qrels:
                order = generator.sample("abcdxyz", 7)
                if system == "bm25+model" and generator.random() < 0.6:
                    order.sort(key="xyz".count)
                rankings[name, system][query_id] = "".join(order)
    return evaluation(collections, rankings, depth=7, seed=3)


def test_values_are_those_of_ir_measures():
    """Every measure of every query, computed by ir_measures one by one from falling scores."""
    made = large()
    found = summarise(made)
    for (name, system, measure), values in found.values.items():
        run = {
            query_id: {one.doc_id: -float(rank) for rank, one in enumerate(ranking)}
            for query_id, ranking in made.runs[name, system].rankings.items()
        }
        parsed = ir_measures.parse_measure(measure)
        theirs = ir_measures.iter_calc([parsed], made.collections[name].qrels, run)
        assert values == {one.query_id: pytest.approx(one.value) for one in theirs}
        assert found.cells[name, system, measure].mean == pytest.approx(
            ir_measures.calc_aggregate([parsed], made.collections[name].qrels, run)[parsed]
        )


def test_p_values_are_corrected_over_the_table():
    """For one measure: two collections and three systems besides the baseline are six tests."""
    made = large()
    found = summarise(made, measures=["nDCG@10", "RR"])
    keys = [key for key in found.values if key[1] != "bm25" and key[2] == "nDCG@10"]
    rows = []
    for key in keys:
        baseline = found.values[key[0], "bm25", "nDCG@10"]
        rows.append([value - baseline[q] for q, value in found.values[key].items()])
    raw = [p_values([row], seed=3)[0] for row in rows]
    assert len(keys) == 6
    assert [found.cells[key].p_value for key in keys] == holm(raw)
    assert [found.cells[key].difference for key in keys] == pytest.approx(
        [sum(row) / len(row) for row in rows]
    )
    assert found.cells["one", "bm25+model", "nDCG@10"].p_value < found.significance


def test_intervals_are_bootstrapped():
    """Those of `intervals` with the evaluation's seed, around the mean."""
    found = summarise(large(), measures=["nDCG@10"])
    for key, cell in found.cells.items():
        [expected] = intervals([list(found.values[key].values())], seed=3)
        assert (cell.low, cell.high) == pytest.approx(expected)
        assert cell.low <= cell.mean <= cell.high


def test_deterministic():
    """The same evaluation gives the same figures, to the last digit."""
    assert summarise(large()) == summarise(large())
