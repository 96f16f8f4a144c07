"""The public face: scores, rankings and errors, on a tiny real model."""

import copy
import json
import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zelo import InputError, NonFiniteScoreError, QueryTooLongError, Reranker
from zelo.local.windows import windows
from zelo.results import Stats
from zelo.scoring import Scored
from zelo.scoring.families import FAMILIES, sigmoid

QUERY = "how is the water of the river"
PROBABILITY, LOGIT = 1e-5, 1e-4  # what float32 owes, as the issue of exactness sets it

WORDS = st.sampled_from(
    "river water stone bridge cold read file open \n 川 été 12 ! The".split(" ")
)
DOCUMENT = st.lists(WORDS, min_size=1, max_size=60).map(" ".join).filter(str.strip)
DOCUMENTS = st.lists(DOCUMENT, min_size=1, max_size=12)


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture(scope="module")
def alone(tiny_model):
    """Scores each document in a call of its own, where no prefix is shared."""
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield lambda query, documents: [
            reranker.score(query, [document], scale="logit")[0] for document in documents
        ]


def instance(reranker):
    """The loaded model behind a reranker."""
    return reranker._scorer._instance


class Dictated:
    """A scorer whose logits are written in the documents: 'logit 1.5'."""

    def score(self, requests, progress=None):
        logits = [[float(d.removeprefix("logit ")) for d in r.documents] for r in requests]
        return [[Scored(x, sigmoid(x / 5), truncated=x == 3) for x in row] for row in logits]

    async def ascore(self, requests, progress=None):
        return self.score(requests)

    def warmup(self):
        pass

    def stats(self):
        return Stats()

    def close(self):
        pass


def dictated(*logits):
    return Reranker.from_scorer(Dictated()), [f"logit {x}" for x in logits]


@settings(max_examples=60)
@given(documents=DOCUMENTS, data=st.data())
def test_companions_and_order_do_not_matter(reranker, alone, documents, data):
    """A document's score is its own, whatever it is scored with and in whatever order."""
    expected = alone(QUERY, documents)
    order = data.draw(st.permutations(range(len(documents))))
    shuffled = reranker.score(QUERY, [documents[i] for i in order], scale="logit")
    assert shuffled == pytest.approx([expected[i] for i in order], abs=LOGIT)
    probabilities = reranker.score(QUERY, documents)
    assert probabilities == pytest.approx([sigmoid(x / 5) for x in expected], abs=PROBABILITY)


@settings(max_examples=40)
@given(documents=st.lists(DOCUMENT, min_size=1, max_size=6), copies=st.integers(2, 4))
def test_duplicates_are_scored_once_and_equal(reranker, documents, copies):
    """Equal documents get the very same score, and only the first costs anything."""
    before = reranker.stats().documents
    scores = reranker.score(QUERY, documents * copies)
    assert scores == scores[: len(documents)] * copies
    assert reranker.stats().documents - before == len(set(documents))


@settings(max_examples=40)
@given(documents=DOCUMENTS)
def test_small_packs_change_nothing(tiny_model, reranker, documents):
    """How many documents a forward pass holds does not change a score."""
    with Reranker(tiny_model, dtype="float32", device="cpu", max_batch_tokens=40) as small:
        scores = small.score(QUERY, documents, scale="logit")
    assert scores == pytest.approx(reranker.score(QUERY, documents, scale="logit"), abs=LOGIT)


@settings(max_examples=40)
@given(pairs=st.lists(st.tuples(st.sampled_from(["a", "b", QUERY]), DOCUMENT), max_size=12))
def test_predict_equals_score(reranker, pairs):
    """predict() gives each pair, wherever its query's others stand, the score of score()."""
    expected = [reranker.score(query, [document], scale="logit")[0] for query, document in pairs]
    assert reranker.predict(pairs, scale="logit") == pytest.approx(expected, abs=LOGIT)


@settings(max_examples=30)
@given(batches=st.lists(st.tuples(st.sampled_from(["a", "b", QUERY]), DOCUMENTS), max_size=5))
def test_rank_many_equals_rank(reranker, batches):
    """Ranking many queries at once gives each the ranking it has alone."""
    together = reranker.rank_many(batches)
    assert len(together) == len(batches)
    for (query, documents), ranking in zip(batches, together, strict=True):
        single = {r.index: r.logit for r in reranker.rank(query, documents)}
        assert {r.index: r.logit for r in ranking} == pytest.approx(single, abs=LOGIT)


def test_score_types_and_scales(reranker):
    """Scores are Python floats; the probability is sigmoid(logit / 5) in float64."""
    documents = ["cold water", "a stone bridge"]
    logits = reranker.score(QUERY, documents, scale="logit")
    probabilities = reranker.score(QUERY, documents)
    assert all(type(x) is float for x in logits + probabilities)
    assert probabilities == [1 / (1 + math.exp(-x / 5)) for x in logits]


@given(logits=st.lists(st.floats(-1_000, 1_000), min_size=1, max_size=30))
def test_ranking_is_by_logit_and_stable(logits):
    """Best first, by logit even where probabilities are equal; ties keep input order."""
    reranker, documents = dictated(*logits)
    ranking = reranker.rank("q", documents)
    assert [r.index for r in ranking] == sorted(range(len(logits)), key=lambda i: -logits[i])
    assert [r.document for r in ranking] == [documents[r.index] for r in ranking]
    assert all(0 <= r.score <= 1 for r in ranking)


@given(
    logits=st.lists(st.floats(-50, 50), max_size=20),
    top_n=st.none() | st.integers(1, 25),
    min_score=st.none() | st.floats(0, 1),
)
def test_cutoffs(logits, top_n, min_score):
    """min_score keeps probabilities at or above it, and top_n the best of those."""
    reranker, documents = dictated(*logits)
    kept = [r for r in reranker.rank("q", documents) if r.score >= (min_score or 0)]
    assert reranker.rank("q", documents, top_n=top_n, min_score=min_score) == kept[:top_n]


def test_empty_documents_come_last(reranker):
    """An empty or blank document is never scored: probability 0, logit minus infinity, last."""
    before = reranker.stats().documents
    ranking = reranker.rank(QUERY, ["", "cold water", " \n\t", "a bridge"])
    assert [r.index for r in ranking][2:] == [0, 2]
    assert [(r.score, r.logit, r.empty) for r in ranking[2:]] == [(0.0, -math.inf, True)] * 2
    assert not any(r.empty for r in ranking[:2])
    assert reranker.stats().documents - before == 2


def test_nothing_to_score_loads_nothing():
    """No documents, or only blank ones, are answered without a model being found or loaded."""
    reranker = Reranker("zerank-2", local_files_only=True)
    assert reranker.rank("q", []) == []
    assert reranker.score("q", []) == []
    assert reranker.predict([]) == []
    assert reranker.rank_many([]) == []
    assert reranker.score("q", ["", " "]) == [0.0, 0.0]
    assert "not loaded" in repr(reranker)


def test_truncated_is_reported(tiny_model):
    """A document that was cut says so in the ranking; chunked, all of it was read."""
    documents = ["cold water " * 100, "short"]
    with Reranker(tiny_model, max_document_tokens=20) as cut:
        assert {r.index: r.truncated for r in cut.rank(QUERY, documents)} == {0: True, 1: False}
    with Reranker(tiny_model, max_document_tokens=20, long_documents="chunk") as chunk:
        assert not any(r.truncated for r in chunk.rank(QUERY, documents))


def test_best_window_counts(tiny_model, alone):
    """Chunked, a long document gets the score of its best window, scored as a document."""
    document = "cold water " * 30 + "a bridge of stone " * 30
    with Reranker(
        tiny_model, dtype="float32", max_document_tokens=40, long_documents="chunk"
    ) as chunk:
        best = chunk.score(QUERY, [document], scale="logit")[0]
        parts = windows(instance(chunk).encoder._body, document, 40)
    assert len(parts) > 2
    assert best == pytest.approx(max(alone(QUERY, parts)), abs=LOGIT)


def test_strip(tiny_model, reranker):
    """White space around texts counts by default, as in sentence-transformers, or is removed."""
    plain = reranker.score(QUERY, ["cold water"], scale="logit")[0]
    assert abs(reranker.score(QUERY, ["\n cold water \n"], scale="logit")[0] - plain) > LOGIT
    with Reranker(tiny_model, dtype="float32", strip=True) as stripping:
        stripped = stripping.score(f" {QUERY}\n", ["\n cold water \n"], scale="logit")[0]
    assert stripped == pytest.approx(plain, abs=LOGIT)


def test_instruction_moves_scores(reranker):
    """zerank-2 reads an instruction, and a blank one is none."""
    plain = reranker.score(QUERY, ["cold water"], scale="logit")
    assert reranker.score(QUERY, ["cold water"], scale="logit", instruction=" ") == plain
    told = reranker.score(QUERY, ["cold water"], scale="logit", instruction="prefer bridges")
    assert abs(told[0] - plain[0]) > LOGIT
    pairs = [(QUERY, "cold water")]
    assert reranker.predict(pairs, scale="logit", instruction="prefer bridges") == told


def test_non_finite_output_names_the_documents():
    """NaN or infinity from the model is an error with the caller's indices, never a place."""
    reranker, documents = dictated(1, math.nan, 2, math.inf, -math.inf)
    with pytest.raises(NonFiniteScoreError) as caught:
        reranker.rank("q", ["", *documents])
    assert caught.value.indices == (2, 4, 5)
    with pytest.raises(NonFiniteScoreError) as caught:
        reranker.predict([("a", documents[0]), ("b", documents[1]), ("a", documents[2])])
    assert caught.value.indices == (1,)
    with pytest.raises(NonFiniteScoreError, match="query 1") as caught:
        reranker.rank_many([("a", documents[:1]), ("b", documents[:2])])
    assert pickle.loads(pickle.dumps(caught.value)).query_index == 1  # noqa: S301 - our own bytes


def test_non_finite_hidden_states_are_refused(tiny_model):
    """A model whose arithmetic overflows raises instead of ranking."""
    with Reranker(tiny_model, dtype="float32", max_batch_tokens=77) as broken:
        broken.warmup()
        instance(broken).engine._workers[0].model.backbone.norm.weight.fill_(math.nan)
        with pytest.raises(NonFiniteScoreError) as caught:
            broken.rank(QUERY, ["cold", "", "water"])
    assert caught.value.indices == (0, 2)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda r: r.score("", ["d"]), "query is empty"),
        (lambda r: r.score("\n ", ["d"]), "query is empty"),
        (lambda r: r.score(3, ["d"]), "query is of type int"),
        (lambda r: r.score("q", "d"), "single text"),
        (lambda r: r.score("q", ["d", None]), r"documents\[1\] is of type NoneType"),
        (lambda r: r.score("q", ["", "d\ud800"]), r"documents\[1\] holds a lone surrogate"),
        (lambda r: r.score("q\udc00", ["d"]), "query holds a lone surrogate"),
        (lambda r: r.score("q", ["d", b"d"]), r"documents\[1\] is of type bytes"),
        (lambda r: r.score("q", ["d", math.nan]), r"documents\[1\] is of type float"),
        (
            lambda r: r.rank_many([("q", ["d"]), ("q", ["d", "\ud800"])]),
            r"documents\[1\] of queries\[1\] holds a lone surrogate",
        ),
        (lambda r: r.predict([("q", "d"), ("p", math.nan)]), r"document of pairs\[1\] is of type"),
        (lambda r: r.score("q", ["d"], scale="raw"), "scale='raw'"),
        (lambda r: r.score("q", ["d"], instruction=7), "instruction is of type int"),
        (lambda r: r.rank("q", ["d"], top_n=0), "top_n=0"),
        (lambda r: r.rank("q", ["d"], top_n=-1), "top_n=-1"),
        (lambda r: r.rank("q", ["d"], min_score=1.5), "min_score=1.5"),
        (lambda r: r.rank("q", ["d"], min_score=math.nan), "min_score=nan"),
        (lambda r: r.predict(["qd"]), r"pairs\[0\]"),
        (lambda r: r.predict([("q", "d", "e")]), r"pairs\[0\]"),
        (lambda r: r.score("q " * 50_000, ["d"]), "max_tokens"),
    ],
)
def test_bad_input_is_named(reranker, call, complaint):
    """Input that cannot be scored is a typed error that says what and where."""
    with pytest.raises(InputError, match=complaint):
        call(reranker)


def test_half_characters_are_replaced_for_the_model_alone(tiny_model, reranker, caplog):
    """With invalid_text="replace" the model reads U+FFFD, and the caller keeps what was given."""
    broken = ["cold water", "the riv\ud800er", "a \ud83d\ude00 bridge \udfff"]
    whole = ["cold water", "the riv\ufffder", "a \U0001f600 bridge \ufffd"]
    query, told = QUERY + " \udc00", QUERY + " \ufffd"
    with Reranker(tiny_model, dtype="float32", device="cpu", invalid_text="replace") as replacing:
        wanted = reranker.score(told, whole, instruction="prefer \ufffd")
        found = replacing.score(query, broken, instruction="prefer \ud800")
        assert found == pytest.approx(wanted, abs=PROBABILITY)
        copied = pickle.loads(pickle.dumps(replacing))  # noqa: S301 - our own bytes
        (ranking,) = copied.rank_many([(query, broken)])
        assert {r.index: r.document for r in ranking} == dict(enumerate(broken))
        copied.close()
        pairs = list(zip([told, query, query], whole, strict=True))
        assert replacing.predict(pairs[:1] + [(query, text) for text in broken[1:]]) == (
            pytest.approx(reranker.score(told, whole), abs=PROBABILITY)
        )
    said = [one.getMessage().rpartition(": ")[2] for one in caplog.records]
    assert said == [
        "the instruction, the query, documents[1], documents[2]",
        "the query of queries[0], documents[1] of queries[0], documents[2] of queries[0]",
        "the query of pairs[1], the document of pairs[1], the query of pairs[2], "
        "the document of pairs[2]",
    ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"max_document_tokens": -3}, "max_document_tokens=-3"),
        ({"max_batch_tokens": 1.5}, "max_batch_tokens=1.5"),
        ({"long_documents": "drop"}, "long_documents='drop'"),
        ({"family": "bert"}, "unknown family 'bert'"),
        ({"invalid_text": "drop"}, "invalid_text='drop'; choose one of raise, replace"),
        ({"quantization": "int3"}, "quantization='int3'; choose one of fp8, int8"),
        ({"compile": "yes"}, "compile='yes'"),
    ],
)
def test_bad_options_are_refused_at_once(tiny_model, options, complaint):
    """An option without a meaning is refused before anything is loaded."""
    with pytest.raises(InputError, match=complaint):
        Reranker(tiny_model, **options)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"device": "cuda:17"}, "cuda:17"),
        ({"device": "toaster"}, "toaster"),
        ({"dtype": "int8"}, "dtype='int8'"),
        ({"max_tokens": 10**7}, "max_tokens=10000000"),
    ],
)
def test_impossible_options_are_refused_at_loading(tiny_model, options, complaint):
    """A device, number type or length that this machine or model lacks is named."""
    with pytest.raises(InputError, match=complaint):
        Reranker(tiny_model, **options).score("q", ["d"])


def test_query_too_long_is_an_input_error(tiny_model):
    """The query's length is an error of its own kind, which is also a ValueError."""
    with Reranker(tiny_model, max_tokens=30) as short:
        with pytest.raises(QueryTooLongError) as caught:
            short.score("water " * 40, ["d"])
        assert isinstance(caught.value, ValueError)
        assert len(short.score("water", ["d"])) == 1


def test_progress_reaches_the_whole(reranker):
    """progress() hears of every document, over all queries of a call."""
    seen = []
    batches = [("a", ["x", "y", "x"]), ("b", ["z"])]
    reranker.rank_many(batches, progress=lambda *at: seen.append(at))
    assert seen[-1] == (4, 4)
    assert all(0 < done <= total == 4 for done, total in seen)


def test_copies_carry_settings_not_weights(reranker):
    """Pickled or deep-copied, a reranker is small and scores the same."""
    expected = reranker.score(QUERY, ["cold water"])
    pickled = pickle.dumps(reranker)
    assert len(pickled) < 2_000
    for other in (pickle.loads(pickled), copy.deepcopy(reranker)):  # noqa: S301 - our own bytes
        assert other.score(QUERY, ["cold water"]) == expected
        other.close()


def test_settings_make_the_same_reranker(tiny_model):
    """A reranker's settings are plain values, and make another one that shares its model."""
    options = {"device": "cpu", "dtype": "float32", "quantization": "int8", "compile": False}
    options |= {"max_document_tokens": 9, "timeout": 60.0}
    with Reranker(tiny_model, **options) as reranker:
        settings = json.loads(json.dumps(reranker.settings))
        assert settings.items() >= {"model": str(tiny_model), **options}.items()
        with Reranker(**settings) as other:
            assert other.settings == reranker.settings
            other.warmup()
            reranker.warmup()
            assert other._scorer._instance is reranker._scorer._instance


def test_settings_of_a_scorer_of_ones_own():
    """A reranker over the caller's own scorer names its class, and nothing that could mislead."""
    assert dictated()[0].settings == {"model": "Dictated"}


def test_families_have_names_and_answers():
    """The table of families is consistent: names, slots and scales."""
    for name, family in FAMILIES.items():
        assert family.name == name
        assert "{query}" in family.prompt
        assert "{document}" in family.prompt
        assert family.scale > 0
    assert sigmoid(-1_000) == 0.0
    assert sigmoid(1_000) == 1.0
