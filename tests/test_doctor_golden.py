"""The doctor without weights: published values, and signs where nothing was published."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mistakes
import pytest

from zelo.doctor import Examination, Report, examine

GOLDEN = Path(__file__).parent / "golden"
EMPTY = ""
# what a server may make of zerank's raw logit, and what the doctor must say of it
SCALES: dict[str, tuple[Callable[[float], float], list[str]]] = {
    "right": (lambda x: mistakes.sigmoid(x / 5), []),
    "raw": (lambda x: x, ["raw-logits"]),
    "raw / 5": (lambda x: x / 5, ["logit/5"]),
    "sigmoid": (mistakes.sigmoid, ["wrong-divisor"]),
    "sigmoid of sigmoid": (
        lambda x: mistakes.sigmoid(mistakes.sigmoid(x / 5)),
        ["double-sigmoid"],
    ),
    "sigmoid of a plain sigmoid": (
        lambda x: mistakes.sigmoid(mistakes.sigmoid(x)),
        ["double-sigmoid"],
    ),
    "sigmoid / 25": (lambda x: mistakes.sigmoid(x / 25), ["divided-twice"]),
}


def published(model: str) -> dict[tuple[str, str], float]:
    """Return the raw logits of the golden files, those of bfloat16 where there are any."""
    pairs = json.loads((GOLDEN / f"{model}.json").read_text(encoding="utf-8"))["pairs"]
    return {
        (pair["query"], pair["document"]): pair["logit_bf16"]
        if pair["logit_bf16"] is not None
        else 5 * math.log(pair["score"] / (1 - pair["score"]))
        for pair in pairs
    }


def made_up(query: str, document: str) -> float:
    """Return a logit for a pair that nobody has published, the same each time."""
    digest = hashlib.sha256(f"c{query}|{document}".encode()).digest()
    return digest[0] / 10 - 12


def answering(model: str, scale: Callable[[float], float]) -> mistakes.Scoring:
    """Answer the published values of a model on a scale."""
    known = published(model)
    return mistakes.each(lambda q, d: scale(known.get((q, d), made_up(q, d))))


def examined(url: str, model: str = "zerank-2", **more: Any) -> Report:
    options: dict[str, Any] = {"model": model, "base_url": url, "longest": 0, **more}
    return examine(Examination(**options))


def found(report: Report) -> list[str]:
    return [finding.mistake for finding in report.findings]


@pytest.mark.parametrize("model", ["zerank-2", "zerank-1-small"])
@pytest.mark.parametrize("scale", SCALES)
def test_each_scale_is_told_from_published_values(model, scale):
    """Without any weights, the scale is the one that takes published logits to the answers."""
    number, expected = SCALES[scale]
    with mistakes.serving(answering(model, number), "gateway") as url:
        report = examined(url, model)
    assert found(report) == expected
    assert report.verdict == ("wrong" if expected else "correct")


def test_the_deviation_of_bfloat16_is_within_tolerance():
    """bfloat16's published logits are correct beside float32's, and the deviation is told."""
    with mistakes.serving(answering("zerank-2", SCALES["right"][0]), "gateway") as url:
        report = examined(url)
    assert report.verdict == "correct"
    assert report.max_deviation == pytest.approx(0.0053, abs=0.0002)


@pytest.mark.parametrize("decimals", [2, 4])
def test_rounded_scores_are_correct(decimals):
    """A server may write its scores with few decimals."""
    number = SCALES["right"][0]
    rounded = answering("zerank-2", lambda x: round(number(x), decimals))
    with mistakes.serving(rounded, "gateway") as url:
        assert examined(url).verdict == "correct"


def test_saturated_scores_are_told_though_rounded():
    """A plain sigmoid crowds at 0 and 1, where four decimals leave nothing of small scores."""
    number = SCALES["sigmoid"][0]
    rounded = answering("zerank-2", lambda x: round(number(x), 4))
    with mistakes.serving(rounded, "gateway") as url:
        assert found(examined(url)) == ["wrong-divisor"]


def test_one_wrong_pair_is_enough():
    """A single pair beyond the tolerance makes the endpoint wrong."""
    known = published("zerank-2")
    odd = next(iter(known))

    def number(query: str, document: str) -> float:
        right = mistakes.sigmoid(known.get((query, document), made_up(query, document)) / 5)
        return right + (0.2 if (query, document) == odd else 0.0)

    with mistakes.serving(mistakes.each(number), "gateway") as url:
        report = examined(url)
    assert report.verdict == "wrong"
    assert report.max_deviation == pytest.approx(0.2, abs=0.01)


def test_another_zerank_is_not_taken_for_it():
    """Numbers that rank alike but are others' belong to another model."""
    squeezed = answering("zerank-2", lambda x: mistakes.sigmoid((x - 9) / 7))
    with mistakes.serving(squeezed, "gateway") as url:
        report = examined(url)
    assert found(report) == ["other"]


def test_sorted_answers_are_told_from_published_values():
    """The right numbers at the wrong documents are an order that was not restored."""
    right = answering("zerank-2", SCALES["right"][0])

    def ordered(query: str, documents: Sequence[str]) -> list[float]:
        return sorted(right(query, documents), reverse=True)

    with mistakes.serving(ordered, "gateway") as url:
        report = examined(url)
    assert found(report) == ["order"]


def test_a_missing_template_shows_without_weights():
    """Texts that are joined before the model sees them are told by moving words between them."""
    joined = mistakes.each(lambda q, d: mistakes.sigmoid(made_up("", q + d) / 5))
    with mistakes.serving(joined, "vllm") as url:
        report = examined(url)
    assert found(report) == ["no-template"]


def test_a_headless_file_shows_without_weights():
    """Numbers that are all next to nothing come of no head."""
    with mistakes.serving(mistakes.each(lambda q, d: 1e-20), "llama.cpp") as url:
        report = examined(url)
    assert found(report) == ["no-score-head"]
    assert "--reranking" in report.fix(report.findings[0]).code


def test_a_random_order_shows_without_weights():
    """An order that has nothing to do with relevance is told, and that it has several causes."""
    random = mistakes.each(lambda q, d: mistakes.sigmoid(made_up(q, d) / 5))
    with mistakes.serving(random, "gateway") as url:
        report = examined(url)
    assert found(report) == ["unrelated"]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (0, "random-head"),
        (-13, "no-template"),
        (-11, "no-template"),
        (-3, "no-header"),
        (-4, "no-header"),
        (4, "think-block"),
        (60, "qwen3-recipe"),
        (-7, "unrelated"),
    ],
)
def test_counted_tokens_tell_the_prompt(tokens, expected):
    """A server that tells how much it read gives its template away."""
    random = mistakes.each(lambda q, d: mistakes.sigmoid(made_up(q, d) / 5))
    golden = [json.loads(path.read_text(encoding="utf-8")) for path in GOLDEN.glob("*.json")]
    lengths = {
        (pair["query"], pair["document"]): pair["n_tokens"]
        for file in golden
        for pair in file["pairs"]
    }

    def count(query: str, documents: Sequence[str]) -> int:
        return sum(lengths.get((query, document), 50) + tokens for document in documents)

    with mistakes.serving(random, "vllm", count=count) as url:
        report = examined(url)
    assert found(report) == [expected]


def test_nothing_published_cannot_be_told():
    """For a model without published values, consistent answers prove nothing."""
    with mistakes.serving(answering("zerank-2", SCALES["right"][0]), "gateway") as url:
        report = examined(url, "zerank-1")
    assert (report.verdict, report.exit_code, found(report)) == ("unknown", 2, [])


@pytest.mark.parametrize(
    ("scale", "expected"), [("raw", "raw-logits"), ("sigmoid of sigmoid", "double-sigmoid")]
)
def test_impossible_numbers_are_wrong_for_any_model(scale, expected):
    """Numbers that are no probabilities betray their scale, whatever the model."""
    with mistakes.serving(answering("zerank-2", SCALES[scale][0]), "gateway") as url:
        report = examined(url, "zerank-1")
    assert found(report) == [expected]


def test_a_random_order_is_wrong_for_a_zerank_without_published_values():
    """Every zerank orders the pairs much like zerank-2; a random head does not."""
    random = mistakes.each(lambda q, d: mistakes.sigmoid(made_up(q, d) / 5))
    with mistakes.serving(random, "gateway") as url:
        report = examined(url, "zerank-1")
    assert found(report) == ["unrelated"]


def test_a_random_order_proves_nothing_of_a_stranger():
    """A reranker of another kind may order the pairs in its own way."""
    random = mistakes.each(lambda q, d: mistakes.sigmoid(made_up(q, d) / 5))
    with mistakes.serving(random, "gateway") as url:
        report = examined(url, "house-model")
    assert (report.verdict, found(report)) == ("unknown", [])


def test_an_empty_document_above_others_is_a_warning():
    """zerank-2 scores an empty document above many texts, which callers should know."""
    with mistakes.serving(answering("zerank-2", SCALES["right"][0]), "gateway") as url:
        report = examined(url)
    (check,) = [check for check in report.checks if check.name == "empty document"]
    assert (check.outcome, "0.324" in check.text) == ("warning", True)


def test_a_reference_that_is_another_model_is_refused(tiny_model):
    """Weights that do not give the published scores are not the model they stand for."""
    with mistakes.serving(mistakes.each(made_up), "gateway") as url:
        with pytest.raises(ValueError, match="reference is not zerank-2"):
            examined(url, reference=tiny_model, device="cpu")


def test_the_package_ships_the_published_values():
    """What ships in the package is what the project's golden files say."""
    from zelo.doctor.pairs import PAIRS, TOKENS
    from zelo.doctor.pairs import published as shipped

    for model in ("zerank-2", "zerank-1-small"):
        file = json.loads((GOLDEN / f"{model}.json").read_text(encoding="utf-8"))
        known = shipped(model)
        assert known is not None
        assert file["revision"][:12] in known.source
        for pair in file["pairs"]:
            if pair["document"]:
                place = [(p.query, p.document) for p in PAIRS].index(
                    (pair["query"], pair["document"])
                )
                logit = known.logits[place]
                assert logit is not None
                assert mistakes.sigmoid(logit / 5) == pytest.approx(pair["score"], abs=1e-6)
                assert TOKENS[place] == pair["n_tokens"]
