"""Published scores of the real models, where their weights are at hand."""

import json
import os
from pathlib import Path

import pytest

from zelo import Reranker

GOLDEN = Path(__file__).parent / "golden"
# published noise: bfloat16 against float32 up to 0.183 raw, batch sizes up to 0.19 raw
LOGIT, SCORE = 0.25, 0.01


@pytest.mark.weights
@pytest.mark.parametrize("model", ["zerank-2", "zerank-1-small"])
def test_golden_scores(model):
    """The reference pairs of a real model score as published, within the published noise."""
    variable = "ZELO_TEST_MODEL_" + model.upper().replace("-", "_")
    folder = os.environ.get(variable)
    if folder is None:
        pytest.skip(f"{variable} does not name the folder of {model}")
    family = {"zerank-2": "zerank-2", "zerank-1-small": "zerank-1"}[model]
    pairs = json.loads((GOLDEN / f"{model}.json").read_text())["pairs"]
    pairs = [pair for pair in pairs if pair["document"]]
    texts = [(pair["query"], pair["document"]) for pair in pairs]
    with Reranker(folder, family=family) as reranker:
        scores = reranker.predict(texts)
        logits = reranker.predict(texts, scale="logit")
    assert scores == pytest.approx([pair["score"] for pair in pairs], abs=SCORE)
    for pair, logit in zip(pairs, logits, strict=True):
        if pair["logit_fp32"] is not None:
            assert logit == pytest.approx(pair["logit_fp32"], abs=LOGIT)
