"""Each dialect says the same on both sides: what the client writes, the server reads, and back."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from zelo.scoring.families import FAMILIES, sigmoid
from zelo.wire import DIALECTS, RerankCall, RerankReply, Result, ServedDialect
from zelo.wire.values import SCALES, from_scale

SERVED = [dialect for dialect in DIALECTS.values() if isinstance(dialect, ServedDialect)]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
LOGITS = st.floats(-30, 30)

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
every_served = pytest.mark.parametrize("dialect", SERVED, ids=lambda dialect: dialect.name)


def travelled(value):
    """Return a value as it arrives on the other side."""
    return json.loads(json.dumps(value))


def answered(dialect, call, logits):
    """Return the JSON of a server's answer with these logits."""
    results = [Result(i, sigmoid(logit / 5), logit) for i, logit in enumerate(logits)]
    results.sort(key=lambda result: -result.logit)
    reply = RerankReply(
        id="a-request",
        model="zerank-2",
        results=results,
        documents=call.documents,
        tokens=99,
        total_bytes=999,
        inference_s=0.1,
        e2e_s=0.2,
    )
    answer = dialect.answer(call, reply)
    return json.loads(TypeAdapter(dialect.answer_model).dump_json(answer))


@every_served
@given(query=TEXTS, documents=st.lists(TEXTS, min_size=1, max_size=4))
def test_the_server_reads_what_the_client_wrote(dialect, query, documents):
    """Query and documents arrive as they were sent, in order, all of them asked for."""
    sent = RerankCall(query=query, documents=tuple(documents), model="zerank-2")
    body = travelled(dialect.body(sent))
    got = dialect.call(dialect.request_model.model_validate(body))
    if dialect.name == "zeroentropy":  # the vendor's server stripped both sides
        query, documents = query.strip(), [text.strip() for text in documents]
    assert (got.query, got.documents, got.top_n) == (query, tuple(documents), None)
    assert got.truncate
    assert got.model in ("zerank-2", None)


@every_served
@given(logits=st.lists(LOGITS, min_size=1, max_size=5))
def test_the_client_reads_what_the_server_wrote(dialect, logits):
    """Every document's score comes back under its own index."""
    call = RerankCall(query="q", documents=tuple(f"d{i}" for i in range(len(logits))))
    found = dialect.scores(answered(dialect, call, logits))
    values = {score.index: score.value for score in found}
    assert values == {i: sigmoid(logit / 5) for i, logit in enumerate(logits)}


@every_served
def test_only_its_own_answer_marks_a_dialect(dialect):
    """A dialect knows its own answers, and is the only one that does."""
    call = RerankCall(query="q", documents=("a", "b"))
    answer = answered(dialect, call, [1.0, -1.0])
    assert [other.name for other in DIALECTS.values() if other.marks(answer)] == [dialect.name]


@every_dialect
@given(
    answer=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["results", "data", "index", "score", "relevance_score", "object", "meta"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused(dialect, answer):
    """Whatever JSON comes, a dialect reads finite scores from it or says that it cannot."""
    assert dialect.marks(answer) in (True, False)
    try:
        found = dialect.scores(answer)
    except (ValidationError, ValueError):
        return
    assert all(math.isfinite(score.value) and score.index >= 0 for score in found)


@given(logit=LOGITS, family=st.sampled_from(list(FAMILIES.values())))
def test_every_scale_leads_to_the_same_score(logit, family):
    """A probability, a logit and a fifth of one say the same, once their scale is stated."""
    sent = {
        "probability": family.probability(logit),
        "logit": logit,
        "logit/5": logit / 5,
    }
    assert set(sent) == set(SCALES)
    for scale, value in sent.items():
        back, probability = from_scale(value, scale, family)
        assert back == pytest.approx(logit, rel=1e-3, abs=1e-9)
        assert probability == pytest.approx(family.probability(logit), rel=1e-12)


@pytest.mark.parametrize("saturated", [0.0, 1.0])
def test_a_saturated_probability_keeps_a_finite_logit(saturated):
    """A probability that a server has rounded to 0 or 1 stays itself, with a logit to rank by."""
    logit, probability = from_scale(saturated, "probability", FAMILIES["zerank-2"])
    assert probability == saturated
    assert math.isfinite(logit)
    assert (logit > 0) is (saturated == 1.0)


@pytest.mark.parametrize("value", [-0.1, 1.1, 5.4])
def test_a_logit_is_no_probability(value):
    """A number outside [0, 1] is refused where probabilities were promised."""
    with pytest.raises(ValueError, match="is no probability"):
        from_scale(value, "probability", FAMILIES["zerank-2"])


def test_a_logit_of_an_unknown_family_means_nothing():
    """Without a family there is no map from logits to probabilities, and none is assumed."""
    with pytest.raises(ValueError, match="family"):
        from_scale(1.0, "logit", None)
