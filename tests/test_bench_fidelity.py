"""`zelo bench fidelity`: what it counts, when it calls a variant safe, and how it says so."""

import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from collection import COLLECTION, ITSELF, write_beir
from rich.console import Console
from typer.testing import CliRunner

from zelo import Reranker
from zelo.bench.fidelity import (
    Agreement,
    Deviation,
    FidelityReport,
    FidelitySettings,
    VariantResult,
    measure_fidelity,
    python_docs_collection,
)
from zelo.bench.fidelity.agreement import Sample, compare
from zelo.bench.fidelity.report import rendered
from zelo.bench.fidelity.results import FEW_QUERIES, LARGEST_LOSS, Variant
from zelo.cli import app
from zelo.corpora import Collection
from zelo.errors import InputError, NonFiniteScoreError
from zelo.evaluation.measures import ndcg
from zelo.local.quantization.methods import METHODS
from zelo.retrieval.bm25 import BM25Stage

VARIANT = Variant("int8", "float32", "int8", 1_000)
NOTHING = Deviation(0.0, "c", "q", "d")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Indexes are kept in a folder of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZELO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def settings(tiny_model: Path) -> FidelitySettings:
    """The tiny model on the CPU, in two variants."""
    against = ("int8-weights", "bfloat16")
    return FidelitySettings(model=str(tiny_model), against=against, device="cpu")


@pytest.fixture(scope="module")
def unjudged() -> Collection:
    """The small collection without its judgements."""
    return dataclasses.replace(COLLECTION, name="bare", qrels={q: {} for q in COLLECTION.queries})


@pytest.fixture(scope="module")
def report(settings: FidelitySettings, unjudged: Collection) -> FidelityReport:
    """What the tiny model's variants do on a judged collection and on one that is not."""
    return measure_fidelity([COLLECTION, unjudged], settings)


@pytest.fixture
def command(tiny_model: Path) -> Callable[..., Any]:
    """Run the command with the tiny model."""

    def run(*arguments: object) -> Any:
        words = ["bench", "fidelity", "--model", tiny_model, "--device", "cpu", *arguments]
        environment = {"COLUMNS": "80", "TERM": "dumb"}
        return CliRunner().invoke(app, [str(word) for word in words], env=environment)

    return run


def sample(texts: list[str], grades: dict[str, float] | None = None) -> Sample:
    """One query whose candidates are d0, d1, ..."""
    documents = {f"d{place}": text for place, text in enumerate(texts)}
    collection = Collection("c", documents, {"q": "query"}, {"q": grades or {}})
    return Sample(collection, {"q": tuple(documents)})


def result(*changes: float | None, queries: int = 1_000) -> VariantResult:
    """A variant whose nDCG@10 changed so much on each collection."""
    agreements = (
        Agreement(
            "c", queries, 1, NOTHING, 0.0, 1.0, 1.0, 1.0, None if change is None else 0.0, change
        )
        for change in changes
    )
    return VariantResult(VARIANT, tuple(agreements))


def text_of(found: FidelityReport) -> str:
    """The report as an 80 columns wide terminal shows it."""
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(rendered(found))
    return console.export_text()


def test_agreement_is_counted_by_hand() -> None:
    """Of three logits 3, 1, 2 that become 3.5, 1, 0, the last falls from second to third place.

    Deviations are 0.5, 0 and 2: the largest is 2, the median 0.5. One pair of three changes its
    order, so tau is (2 - 1) / 3. The relevant document d2 gained 1/log2(3), now 1/log2(4).
    """
    of = sample(["a", "b", "c"], {"d2": 1})
    found = compare(of, {"q": np.array([3.0, 1.0, 2.0])}, {"q": np.array([3.5, 1.0, 0.0])})
    assert found.largest == Deviation(2.0, "c", "q", "d2")
    assert (found.queries, found.pairs, found.median_deviation) == (1, 3, 0.5)
    assert found.spread == pytest.approx(math.sqrt(2 / 3))
    assert found.tau == pytest.approx(1 / 3)
    assert found.ndcg_float32 == pytest.approx(1 / math.log2(3))
    assert found.ndcg == pytest.approx(1 / 2)
    assert found.ndcg_change == pytest.approx(1 / 2 - 1 / math.log2(3))


def test_overlap_is_of_the_first_ten() -> None:
    """Of twelve candidates the last two change places with the first two: eight of ten stay."""
    falling = np.arange(12.0, 0.0, -1.0)
    moved = falling.copy()
    moved[[0, 1, 10, 11]] = falling[[10, 11, 0, 1]]
    found = compare(sample([str(n) for n in range(12)]), {"q": falling}, {"q": moved})
    assert found.top_overlap == pytest.approx(0.8)
    few = compare(sample(["a", "b"]), {"q": np.array([1.0, 2.0])}, {"q": np.array([2.0, 1.0])})
    assert (few.top_overlap, few.tau) == (1.0, -1.0)


def test_a_model_agrees_with_itself() -> None:
    """No deviation, the same order and nDCG, also where two documents have one text."""
    logits = {"q": np.array([1.0, 2.0, 2.0])}
    found = compare(sample(["a", "b", "b"], {"d0": 1}), logits, logits)
    assert (found.largest.value, found.median_deviation) == (0.0, 0.0)
    assert (found.top_overlap, found.tau, found.ndcg_change) == (1.0, 1.0, 0.0)


def test_a_tie_that_rounding_makes_is_no_agreement() -> None:
    """Three different logits that become one order nothing: tau is 0, not 1."""
    found = compare(
        sample(["a", "b", "c"]), {"q": np.array([1.0, 2.0, 3.0])}, {"q": np.array([5.0, 5.0, 5.0])}
    )
    assert found.tau == 0.0


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ((0.0,), "safe"),
        ((0.1,), "safe"),
        ((-LARGEST_LOSS,), "safe"),
        ((-0.0021,), "not safe"),
        ((-0.01, 0.007), "safe"),
        ((-0.01, 0.005), "not safe"),
        ((-0.003, None), "not safe"),
        ((None,), "not judged"),
        ((math.nan,), "not safe"),
    ],
)
def test_the_rule(changes: tuple[float | None, ...], verdict: str) -> None:
    """Safe is a mean loss of 0.002 at most, over the collections that are judged."""
    assert result(*changes).verdict == verdict


def test_a_loss_of_the_limit_is_within_it() -> None:
    """0.5 - 0.498 is a little more than 0.002 in floating point, and is the limit all the same."""
    agreement = dataclasses.replace(result(0.0).agreements[0], ndcg_float32=0.5, ndcg=0.498)
    assert agreement.ndcg_change is not None
    assert agreement.ndcg_change < -LARGEST_LOSS
    assert VariantResult(VARIANT, (agreement,)).verdict == "safe"


def test_figures_are_those_of_the_model(settings: FidelitySettings, report: FidelityReport) -> None:
    """Scored anew, BM25's candidates give the deviations and the nDCG that were reported."""
    run = BM25Stage().retrieve(COLLECTION, COLLECTION.answerable, 100)
    candidates = {query_id: [one.doc_id for one in found] for query_id, found in run.items()}
    logits: dict[str, list[float]] = {}
    gains: dict[str, list[float]] = {}
    for dtype in ("float32", "bfloat16"):
        logits[dtype], gains[dtype] = [], []
        with Reranker(settings.model, dtype=dtype, device="cpu") as reranker:
            for query_id, doc_ids in candidates.items():
                texts = [COLLECTION.documents[doc_id] for doc_id in doc_ids]
                found = reranker.score(COLLECTION.queries[query_id], texts, scale="logit")
                order = sorted(range(len(doc_ids)), key=lambda place, of=found: -of[place])
                ranking = [doc_ids[place] for place in order]
                logits[dtype] += found
                gains[dtype].append(ndcg(ranking, COLLECTION.qrels[query_id], 10))
    deviations = np.abs(np.array(logits["float32"]) - np.array(logits["bfloat16"]))
    agreement = report.results[1].agreements[0]
    assert (agreement.queries, agreement.pairs) == (len(run), len(deviations))
    assert agreement.largest.value == pytest.approx(deviations.max(), rel=1e-3)
    assert agreement.median_deviation == pytest.approx(np.median(deviations), rel=1e-3)
    assert agreement.ndcg_float32 == pytest.approx(np.mean(gains["float32"]))
    assert agreement.ndcg == pytest.approx(np.mean(gains["bfloat16"]))


def test_variants_compute_in_what_they_say(report: FidelityReport) -> None:
    """A quantisation keeps the model's number type for the rest, and weights take their bytes."""
    eight, half = (found.variant for found in report.results)
    assert (eight.name, eight.quantization, eight.dtype) == ("int8-weights",) * 2 + ("float32",)
    assert (half.name, half.quantization, half.dtype) == ("bfloat16", None, "bfloat16")
    assert half.weights_bytes * 2 == report.float32.weights_bytes
    assert half.weights_bytes < eight.weights_bytes < report.float32.weights_bytes
    for found in report.results:
        assert 0 < found.agreements[0].median_deviation < found.agreements[0].spread


def test_nothing_judged_has_no_ndcg(report: FidelityReport, unjudged: Collection) -> None:
    """Deviations are of every query then; nDCG is absent, and told so."""
    for found in report.results:
        judged, bare = found.agreements
        assert judged.queries == len(COLLECTION.answerable)
        assert bare.queries == len(COLLECTION.queries)
        assert (bare.ndcg, bare.ndcg_float32, bare.ndcg_change) == (None, None, None)
        assert found.ndcg_change == judged.ndcg_change
        assert found.judged_queries == judged.queries
    assert "Nothing is judged in bare, so there is no nDCG@10 of it." in text_of(report)


def test_queries_are_sampled_evenly(settings: FidelitySettings) -> None:
    """So many of the queries with a relevant document, and so many candidates of each."""
    few = dataclasses.replace(settings, queries=4, depth=3, against=("bfloat16",), device="all")
    (found,) = measure_fidelity([COLLECTION], few).results
    assert (found.agreements[0].queries, found.agreements[0].pairs) == (4, 12)


def test_every_stage_is_told(settings: FidelitySettings) -> None:
    """Retrieval and each scoring report all of their queries."""
    stages: dict[str, list[tuple[int, int]]] = {}

    def begin(name: str) -> Callable[[int, int], None]:
        return lambda done, total: stages.setdefault(name, []).append((done, total))

    measure_fidelity([COLLECTION], dataclasses.replace(settings, queries=3), begin)
    wanted = ["small: bm25", "small: float32", "small: int8-weights", "small: bfloat16"]
    assert list(stages) == wanted
    assert all(told == [(1, 3), (2, 3), (3, 3)] for told in stages.values())


def test_what_the_device_cannot_run_is_left_out_and_told(
    settings: FidelitySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default the others are measured; asked for by name, it is an error before any scoring."""

    def missing(*_: object, **__: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(torch, "_scaled_mm", missing)
    few = dataclasses.replace(settings, queries=1, depth=2)
    found = measure_fidelity([COLLECTION], dataclasses.replace(few, against=None))
    names = [one.variant.name for one in found.results]
    assert names == ["int8", "int8-weights", "int4-weights", "bfloat16"]
    assert list(found.refused) == ["fp8"]
    assert "fp8 was left out: quantization='fp8' does not run on cpu" in text_of(found)
    told: list[str] = []
    with pytest.raises(InputError, match="no such kernel"):
        measure_fidelity(
            [COLLECTION],
            dataclasses.replace(few, against=("bfloat16", "fp8")),
            lambda name: told.append(name) or (lambda done, total: None),  # type: ignore[func-returns-value]
        )
    assert told == []


def test_a_variant_without_a_finite_score_is_an_error(
    settings: FidelitySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no deviation; the note says of which variant, collection and query."""
    product = METHODS["int8"].product

    def broken(self: Any, rows: torch.Tensor) -> torch.Tensor:
        sound: torch.Tensor = product(self, rows)
        return sound if self.in_features == 32 else sound * math.nan  # 32: the trial's

    monkeypatch.setattr(METHODS["int8"], "product", broken)
    with pytest.raises(NonFiniteScoreError) as failed:
        measure_fidelity([COLLECTION], dataclasses.replace(settings, against=("int8",)))
    assert failed.value.__notes__ == ["small, query 'q-dance', in int8"]


@pytest.mark.parametrize("against", [("int2",), ("float32",), (), ("fp8", "fp8"), ("",)])
def test_variants_that_make_no_sense(settings: FidelitySettings, against: tuple[str, ...]) -> None:
    """Unknown ones, float32 itself, none at all and one twice are refused."""
    with pytest.raises(InputError, match=r"choose among fp8, int8|each of them once"):
        measure_fidelity([COLLECTION], dataclasses.replace(settings, against=against))


def test_collections_that_cannot_be_measured(settings: FidelitySettings) -> None:
    """None, two of one name, and one in which no query shares a word with a document."""
    with pytest.raises(InputError, match="no collection"):
        measure_fidelity([], settings)
    with pytest.raises(InputError, match="two collections are named 'small'"):
        measure_fidelity([COLLECTION, COLLECTION], settings)
    foreign = Collection("foreign", {"d": "bread"}, {"q": "tide"}, {"q": {"d": 1}})
    with pytest.raises(InputError, match="foreign: no query shares a word"):
        measure_fidelity([foreign], settings)


def test_pythons_documentation_asks_its_own_sentences() -> None:
    """Queries are first sentences of evenly spaced entries, whose own entry is no candidate."""
    collection = python_docs_collection(5)
    assert len(collection.queries) == 5
    assert not collection.answerable
    run = BM25Stage().retrieve(collection, list(collection.queries), 100)
    for query_id, query in collection.queries.items():
        signature, _, docstring = collection.documents[query_id].partition("\n")
        assert not query.startswith(signature)
        assert " ".join(docstring.split()).startswith(query)
        assert "\n" not in query
        assert collection.itself(query_id, query_id)
        assert query_id not in [one.doc_id for one in run[query_id]]


def test_the_json_holds_what_is_promised(report: FidelityReport) -> None:
    """Plain values, with rule, verdicts and where the largest deviation is."""
    content = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert content["largest_loss"] == 0.002
    assert content["float32"]["weights_bytes"] == report.float32.weights_bytes
    assert [variant["name"] for variant in content["variants"]] == ["int8-weights", "bfloat16"]
    for variant, found in zip(content["variants"], report.results, strict=True):
        assert variant["verdict"] == found.verdict
        assert set(variant["largest"]) == {"value", "collection", "query_id", "doc_id"}
        judged, bare = variant["collections"]
        assert judged["ndcg_change"] == pytest.approx(judged["ndcg"] - judged["ndcg_float32"])
        assert bare["ndcg"] is None
        assert {"tau", "top_overlap", "median_deviation", "spread", "pairs"} <= set(judged)


def test_few_queries_are_warned_of(report: FidelityReport) -> None:
    """A verdict from some dozen queries says that it is not to be relied on, one from many not."""
    assert report.few_queries
    assert f"Fewer than {FEW_QUERIES} judged queries" in text_of(report)
    many = dataclasses.replace(report, results=(result(0.0),))
    assert not many.few_queries
    assert "Fewer than" not in text_of(many)
    assert not dataclasses.replace(report, results=(result(None, queries=5),)).few_queries


def test_names_from_files_cannot_steer_a_terminal(report: FidelityReport) -> None:
    """Control characters in ids and names are shown, not obeyed."""
    evil = "\x1b[31mred\n"
    agreement = dataclasses.replace(
        result(None).agreements[0], collection=evil, largest=Deviation(1.0, evil, evil, evil)
    )
    found = dataclasses.replace(report, model=evil, results=(VariantResult(VARIANT, (agreement,)),))
    assert "\x1b" not in text_of(found)


def test_the_command_shows_tables(command: Callable[..., Any], tmp_path: Path) -> None:
    """Deviations by collection, weights and verdict by variant, within 80 columns."""
    done = command(write_beir(tmp_path), "--against", "int8,bfloat16")
    assert done.exit_code == 0, done.stderr
    for word in ("small: 11 queries", "largest", "tau", "nDCG@10", "safe where the mean", "MB"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.count("int8") >= 3


def test_the_command_needs_no_collection(command: Callable[..., Any]) -> None:
    """Without one, Python's documentation is taken, and one JSON object comes out."""
    done = command("--queries", 2, "--depth", 5, "--against", "bfloat16", "--json")
    assert done.exit_code == 0, done.stderr
    content = json.loads(done.stdout)
    (variant,) = content["variants"]
    assert (variant["verdict"], variant["ndcg_change"]) == ("not judged", None)
    assert variant["collections"][0]["collection"] == "python-docs"
    assert variant["collections"][0]["pairs"] == 10


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--against", "int2"), "choose among fp8"),
        (("--against", "int8", "--dtype", "int16"), "choose one of float32"),
        (("--device", "nonsense"), "cannot be used here"),
    ],
)
def test_options_that_cannot_be_are_usage_errors(
    command: Callable[..., Any], arguments: tuple[str, ...], told: str
) -> None:
    """Exit code 2, and a sentence that says what to choose."""
    done = command("--queries", 1, *arguments)
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())


def test_a_query_that_is_a_document_is_not_scored_against_itself(
    settings: FidelitySettings,
) -> None:
    """The first stage's rules hold here as in an evaluation."""
    one = dataclasses.replace(
        COLLECTION,
        queries={ITSELF: COLLECTION.queries[ITSELF]},
        qrels={ITSELF: COLLECTION.qrels[ITSELF]},
    )
    run = BM25Stage().retrieve(one, [ITSELF], 100)
    few = dataclasses.replace(settings, against=("bfloat16",))
    (found,) = measure_fidelity([one], few).results
    assert found.agreements[0].pairs == len(run[ITSELF])
    assert ITSELF not in [each.doc_id for each in run[ITSELF]]
