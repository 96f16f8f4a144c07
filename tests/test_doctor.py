"""The doctor before servers that make a mistake on purpose, with the weights at hand to compare."""

import math
import time
from pathlib import Path
from typing import Any

import httpx
import mistakes
import pytest
from served import application

from zelo.doctor import Examination, Report, examine

# of each way of scoring in `mistakes`: the dialect it is served in, and what the doctor must say
DIAGNOSES: dict[str, tuple[str, list[str]]] = {
    "no template": ("vllm", ["no-template"]),
    "no template, space between": ("tei", ["no-template"]),
    "no template, raw logits": ("vllm", ["no-template", "raw-logits"]),
    "no header": ("vllm", ["no-header"]),
    "think block": ("gateway", ["think-block"]),
    "random head": ("vllm", ["random-head"]),
    "no head": ("llama.cpp", ["no-score-head"]),
    "raw logits": ("vllm", ["raw-logits"]),
    "fifth": ("gateway", ["logit/5"]),
    "double sigmoid": ("tei", ["double-sigmoid"]),
    "wrong divisor": ("vllm", ["wrong-divisor"]),
    "divided twice": ("vllm", ["divided-twice"]),
    "qwen3 recipe": ("vllm", ["qwen3-recipe"]),
    "qwen3 tokens": ("gateway", ["qwen3-recipe"]),
    "qwen3 prompt": ("llama.cpp", ["qwen3-recipe"]),
    "suffix cut": ("vllm", ["suffix-cut"]),
    "beginning cut": ("vllm", ["query-cut"]),
    "sorted by score": ("gateway", ["order"]),
    "sorted by length": ("tei", ["order"]),
    "four bits": ("llama.cpp", ["lower-precision"]),
}


ASKED = mistakes.witness_once()


@pytest.fixture(autouse=True)
def _one_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the same witness of the same folder but once: the endpoints are what differs here."""
    monkeypatch.setattr("zelo.doctor.witness.testify", ASKED)


@pytest.fixture(scope="module")
def scorings(tiny_model: Path) -> dict[str, mistakes.Scoring]:
    return mistakes.scorings(mistakes.Model(tiny_model))


def examined(url: str | None, folder: Path | None, **more: Any) -> Report:
    """Examine an endpoint that claims to be a tiny zerank-2 of a folder."""
    options: dict[str, Any] = {"model": "tiny", "family": "zerank-2", "longest": 400}
    options |= {"base_url": url, "reference": folder, "device": "cpu", **more}
    return examine(Examination(**options))


def found(report: Report) -> list[str]:
    return [finding.mistake for finding in report.findings]


def outcome(report: Report, check: str) -> str:
    """Return what came of a check."""
    (only,) = [one.outcome for one in report.checks if one.name == check]
    return only


def test_every_way_of_scoring_has_a_diagnosis(scorings):
    """No mistake that a server here makes is left out of the tests."""
    assert set(scorings) == {"right", *DIAGNOSES}


@pytest.mark.parametrize("name", DIAGNOSES)
def test_a_mistake_is_recognised(name, scorings, tiny_model):
    """A server that makes a known mistake is told so, and no other."""
    dialect, expected = DIAGNOSES[name]
    with mistakes.serving(scorings[name], dialect) as url:
        report = examined(url, tiny_model)
    assert (report.verdict, report.exit_code) == ("wrong", 1)
    assert found(report) == expected
    assert all(report.fix(finding).text for finding in report.findings)


@pytest.mark.parametrize("dialect", list(mistakes.PATHS))
def test_a_right_server_is_correct(dialect, scorings, tiny_model):
    """A server that scores rightly is told correct, with a deviation that rounding explains."""
    with mistakes.serving(scorings["right"], dialect) as url:
        report = examined(url, tiny_model)
    assert (report.verdict, report.exit_code, found(report)) == ("correct", 0, [])
    assert report.max_deviation is not None
    assert report.max_deviation < 1e-5


@pytest.mark.parametrize(
    "dialect", ["auto", "zeroentropy", "cohere-v1", "cohere-v2", "vllm", "vllm-score", "tei"]
)
def test_our_own_server_is_correct(dialect, tiny_model):
    """zelo's server passes in every dialect that it speaks, forged turns included."""
    with mistakes.running(application(tiny_model)) as url:
        while httpx.get(f"{url}/ready").status_code != 200:
            time.sleep(0.02)
        report = examined(url, tiny_model, dialect=dialect)
    assert (report.verdict, found(report)) == ("correct", [])
    assert outcome(report, "control tokens") == "ok"
    assert outcome(report, "empty document") == "ok"


def test_our_own_server_hears_an_instruction(tiny_model):
    """The instruction's own field and the query that holds it are compared."""
    with mistakes.running(application(tiny_model)) as url:
        while httpx.get(f"{url}/ready").status_code != 200:
            time.sleep(0.02)
        report = examined(url, tiny_model)
    assert outcome(report, "instruction") == "ok"


def test_a_stated_scale_is_right(scorings, tiny_model):
    """Raw logits are right where logits were to be expected."""
    with mistakes.serving(scorings["raw logits"], "vllm") as url:
        report = examined(url, tiny_model, score_scale="logit")
    assert report.verdict == "correct"


def test_probabilities_are_wrong_where_logits_are_expected(scorings, tiny_model):
    """Right probabilities are a mistake for clients that were told to expect logits."""
    with mistakes.serving(scorings["right"], "vllm") as url:
        report = examined(url, tiny_model, score_scale="logit")
    assert found(report) == ["probability"]


def test_control_tokens_that_are_read_as_such_are_told(scorings, tiny_model):
    """A server that renders strings lets a document end its turn: a warning, not a mistake."""
    with mistakes.serving(scorings["right"], "vllm") as url:
        report = examined(url, tiny_model)
    assert outcome(report, "control tokens") == "warning"
    assert report.verdict == "correct"


def test_a_mistake_made_in_another_way_is_still_named(tiny_model):
    """A prompt that nobody predicted goes to the mistake it is by far the nearest to."""
    model = mistakes.Model(tiny_model)
    odd = mistakes.each(
        lambda q, d: mistakes.sigmoid(model.logit(f"{q}{d}") / 5) + 0.02 * math.sin(len(q + d))
    )
    with mistakes.serving(odd, "vllm") as url:
        report = examined(url, tiny_model)
    assert found(report) == ["no-template"]
    assert "nearest" in report.findings[0].evidence


def test_a_cut_suffix_shows_without_weights(scorings):
    """Where cutting begins, the number jumps: seen by the answers alone."""
    with mistakes.serving(scorings["suffix cut"], "vllm") as url:
        report = examined(url, None, model="house-model", family=None)
    assert outcome(report, "long documents") == "wrong"
    assert found(report) == ["suffix-cut"]


def test_a_cut_document_is_no_mistake_without_weights_either(tiny_model):
    """Where the prompt's end survives the cut, the number does not jump."""
    cut = mistakes.cut_document(mistakes.Model(tiny_model), 300)
    with mistakes.serving(mistakes.each(cut), "vllm") as url:
        report = examined(url, None, model="house-model", family=None)
    assert outcome(report, "long documents") == "warning"
    assert found(report) == []


def test_a_cut_document_is_no_mistake(tiny_model):
    """A document that is cut before it enters the prompt leaves the verdict correct."""
    cut = mistakes.cut_document(mistakes.Model(tiny_model), 300)
    with mistakes.serving(mistakes.each(cut), "vllm") as url:
        report = examined(url, tiny_model)
    assert report.verdict == "correct"
    assert outcome(report, "long documents") == "warning"


def test_refused_long_documents_are_no_mistake(scorings, tiny_model):
    """A server that refuses what is too long cuts nothing, and is correct."""

    def limited(query: str, documents: Any) -> list[float]:
        if max(map(len, documents)) > 1_000:
            raise mistakes.Refused
        return scorings["right"](query, documents)

    with mistakes.serving(limited, "vllm") as url:
        report = examined(url, tiny_model)
    assert report.verdict == "correct"
    (text,) = [check.text for check in report.checks if check.name == "long documents"]
    assert "refused" in text


def test_scores_that_depend_on_places_are_told(tiny_model, scorings):
    """Numbers that depend on a document's place are seen, though no known mistake explains them."""

    def shifted(query: str, documents: Any) -> list[float]:
        numbers = scorings["right"](query, documents)
        return [number + i / 10 for i, number in enumerate(numbers)]

    with mistakes.serving(shifted, "gateway") as url:
        report = examined(url, tiny_model)
    assert outcome(report, "order") == "warning"
    assert report.verdict == "wrong"


def test_a_local_folder_is_correct(tiny_model):
    """A folder is scored here and compared with stock transformers."""
    report = examined(None, None, model=str(tiny_model))
    assert (report.verdict, report.kind) == ("correct", "local")
    assert report.max_deviation is not None
    assert report.max_deviation < 0.25


def test_the_packaged_model_needs_no_reference():
    """zelo-nano's own folder is what it is compared with."""
    report = examined(None, None, model="zelo-nano", family=None)
    assert report.verdict == "correct"


def test_another_family_has_mistakes_of_its_own(tiny_forms):
    """A Qwen3-Reranker that is asked as a zerank is told so, with a fix that is its own."""
    model = mistakes.Model(tiny_forms["qwen3-reranker"])
    as_zerank = mistakes.scorings(model)["right"]
    with mistakes.serving(as_zerank, "vllm") as url:
        report = examined(url, tiny_forms["qwen3-reranker"], family="qwen3-reranker")
    assert "zerank-recipe" in found(report)


def test_a_right_qwen3_reranker_is_correct(tiny_forms):
    """Its prompt, its head and its scale are right for it."""
    model = mistakes.Model(tiny_forms["qwen3-reranker"])
    with mistakes.serving(mistakes.scorings(model)["qwen3 recipe"], "vllm") as url:
        report = examined(url, tiny_forms["qwen3-reranker"], family="qwen3-reranker")
    assert (report.verdict, found(report)) == ("correct", [])
