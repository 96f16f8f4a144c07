"""Whatever is passed, there is an answer or an error of ours that names the argument.

Signatures are read, so an option that is added is held to the law too.
"""

import asyncio
import contextlib
import inspect
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from framework_kit import FACES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from langchain_zelo import ZeloRerank
from zelo import InputError, Reranker, Stats, ZeloError
from zelo.scoring import Scored

STRANGE = st.one_of(
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers(),
    st.text(max_size=5) | st.binary(max_size=3) | st.just("\ud800"),
    st.lists(st.integers() | st.text(max_size=2), max_size=3) | st.sets(st.text(max_size=2)),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.builds(object) | st.sampled_from([10**400, -(10**5000), math.nan, type, range(3)]),
    st.sampled_from([np.int64(2), np.float32(0.5), np.bool_(True), torch.float64]),
    st.lists(st.integers(), max_size=2).map(np.array) | st.just(np.array("text")),
)


class Halves:
    """A scorer to which every document is as good as another, and which counts them."""

    documents = 0

    def score(self, requests, progress=None):
        self.documents += sum(len(request.documents) for request in requests)
        return [[Scored(0.0, 0.5) for _ in request.documents] for request in requests]

    async def ascore(self, requests, progress=None):
        return self.score(requests, progress)

    def warmup(self):
        pass

    def stats(self):
        return Stats()

    def close(self):
        pass


RERANKER = Reranker.from_scorer(Halves())
METHODS = {
    "score": {"query": "q", "documents": ["a", "b"]},
    "ascore": {"query": "q", "documents": ["a", "b"]},
    "rank": {"query": "q", "documents": ["a", "b"]},
    "arank": {"query": "q", "documents": ["a", "b"]},
    "rank_many": {"queries": [("q", ["a", "b"])]},
    "predict": {"pairs": [("q", "a")]},
}
ARGUMENTS = [
    (method, name)
    for method in METHODS
    for name in inspect.signature(getattr(RERANKER, method)).parameters
]
OPTIONS = list(inspect.signature(Reranker).parameters)


@contextlib.contextmanager
def answered_or_named(name):
    """Let pass an error of ours, or pydantic's, that names the argument; every other one fails."""
    try:
        yield
    except (ZeloError, ValidationError) as error:
        if name not in str(error):
            raise


def called(method, arguments):
    """Call a method of the reranker, and wait for what is awaited."""
    found = getattr(RERANKER, method)(**arguments)
    return asyncio.run(found) if inspect.isawaitable(found) else found


@settings(max_examples=600)
@given(argument=st.sampled_from(ARGUMENTS), value=STRANGE)
def test_arguments_of_every_method(argument, value):
    """A method answers, or names the argument that it cannot use."""
    method, name = argument
    with answered_or_named(name):
        called(method, METHODS[method] | {name: value})


@settings(max_examples=600)
@given(option=st.sampled_from(OPTIONS), value=STRANGE, remote=st.booleans())
def test_options_of_a_reranker(option, value, remote):
    """A reranker is made, or the option that it cannot use is named."""
    given = {"base_url": "http://127.0.0.1:9"} if remote else {}
    with answered_or_named(option):
        Reranker(**{"model": "zelo-nano"} | given | {option: value})


@settings(max_examples=15)
@given(
    option=st.sampled_from(["device", "max_batch_tokens", "max_document_tokens"]),
    value=STRANGE | st.sampled_from(["meta", "mps", "cpu:7", torch.device("cpu")]),
)
@example("device", "meta").via("tensors without numbers")
@example("max_batch_tokens", 10**400).via("no float holds it")
def test_options_that_are_used_when_the_model_is(tiny_model, option, value):
    """What only a loaded model can tell of an option is told by the first score, and named."""
    with answered_or_named(option):
        with Reranker(tiny_model, **{"device": "cpu", option: value}) as reranker:
            (score,) = reranker.score("river", ["the water of the river"])
        assert 0 <= score <= 1


@settings(max_examples=600)
@given(face=st.sampled_from(FACES), value=STRANGE, data=st.data())
def test_options_of_an_adapter(face, value, data):
    """An adapter is made, or the option that it cannot use is named, by us or by pydantic."""
    fields = sorted(face.adapter.model_fields.keys() - {"callbacks", "callback_manager"})
    option = data.draw(st.sampled_from(fields))
    model = {} if option == "reranker" else {"model": "zelo-nano"}
    with answered_or_named(option):
        face.adapter(**model | {option: value})


def test_numbers_are_numbers_and_truth_is_none():
    """NumPy's numbers and torch's devices are taken as what they are; True is no number."""
    documents = ["a", "b", "c"]
    assert len(RERANKER.rank("q", documents, top_n=np.int64(2), min_score=np.float32(0.25))) == 2
    for wrong in ({"top_n": True}, {"min_score": True}, {"min_score": "0.4"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            RERANKER.rank("q", documents, **wrong)
        if "0.4" not in wrong.values():  # pydantic reads numbers from texts, and says so
            with pytest.raises(ValidationError, match=next(iter(wrong))):
                ZeloRerank(reranker=RERANKER, **wrong)
    made = Reranker(
        "zelo-nano", device=torch.device("cuda", 1), dtype=torch.float16, max_tokens=np.int32(99)
    )
    named = Reranker("zelo-nano", device=1, dtype="float16", max_tokens=99)
    assert made.settings == named.settings
    assert Reranker("zelo-nano", device="1").settings["device"] == "cuda:1"
    assert named.settings["device"] == "cuda:1"
    assert type(made.settings["max_tokens"]) is int


TABLE = pd.DataFrame({"query": ["q", "q"], "document": ["a", "b"]})
NAMED = {"a": "first", "b": "second"}
UNORDERED = {
    "mapping": (NAMED, r"\.(values|items)\(\)"),
    "table": (TABLE, r"columns' names.*\['"),
    "arrow": (pa.Table.from_pandas(TABLE), "columns' names"),
    "set": (set(NAMED), "no order"),
    "text": ("text", "a list of"),
    "nothing": (None, "NoneType"),
    "number": (3, "of type int"),
}


@pytest.mark.parametrize("kind", UNORDERED)
def test_what_iterates_over_something_else_is_refused(kind):
    """A mapping would be scored by its keys, a table by its columns' names, a set in no order."""
    value, cure = UNORDERED[kind]
    before = RERANKER._scorer.documents
    for method, arguments in METHODS.items():
        name = list(arguments)[-1]
        with pytest.raises(InputError, match=f"{name} is .*{cure}"):
            called(method, arguments | {name: value})
    with pytest.raises(InputError, match=rf"documents of queries\[0\] is .*{cure}"):
        RERANKER.rank_many([("q", value)])
    with pytest.raises(InputError, match="documents is "):
        ZeloRerank(reranker=RERANKER).rerank(value, "q")
    assert RERANKER._scorer.documents == before


@pytest.mark.parametrize(
    "documents",
    [
        NAMED.values,
        NAMED.keys,
        lambda: (text for text in NAMED),
        lambda: np.array(["a", "b"]),
        lambda: TABLE["document"],
        lambda: pd.Series(["a", "b"], index=["columns", "column_names"]),
    ],
)
def test_what_lists_texts_in_order_is_scored(documents):
    """Arrays, columns, views and iterators are lists of texts."""
    assert RERANKER.score("q", documents()) == [0.5, 0.5]
    assert len(RERANKER.rank_many([("q", documents())])[0]) == 2
    assert RERANKER.predict(("q", text) for text in documents()) == [0.5, 0.5]


def test_pairs_of_any_kind():
    """Pairs may be zipped, generated, rows of a table or of an array, or items of a mapping."""
    for pairs in (
        zip(TABLE["query"], TABLE["document"], strict=True),
        TABLE.itertuples(index=False),
        TABLE.to_numpy(),
        {"q": "a", "r": "b"}.items(),
    ):
        assert RERANKER.predict(pairs) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        ([("q", "a"), {"q", "a"}], r"pairs\[1\] is not a \(query, document\) pair"),
        ([{0: "q", 1: "a"}], r"pairs\[0\] is not"),
        ([("q", "a"), (["q"], "a")], r"the query of pairs\[1\] is of type list"),
        ([("q", "a"), (" ", "a")], r"the query of pairs\[1\] is empty"),
        ([("q", "a"), ("p", "b"), ("q", None)], r"the document of pairs\[2\] is of type NoneType"),
    ],
)
def test_a_wrong_pair_is_named_by_its_place(pairs, complaint):
    """Of many pairs the message names the one, not its place among its query's documents."""
    with pytest.raises(InputError, match=complaint):
        RERANKER.predict(pairs)


def test_a_wrong_query_of_many_is_named_by_its_place():
    """Of many queries the message names the one."""
    good = ("q", ["a"])
    for wrong, complaint in (
        ("q", r"queries\[1\] is not"),
        ((" ", ["a"]), r"query of queries\[1\] is empty"),
        (("q", ["a", 7]), r"documents\[1\] of queries\[1\] is of type int"),
    ):
        with pytest.raises(InputError, match=complaint):
            RERANKER.rank_many([good, wrong])


def test_a_scorer_and_a_fallback_are_what_they_must_be():
    """What cannot score is refused when the reranker is made, not when it is needed."""
    with pytest.raises(InputError, match=r"scorer is of type dict, .* no method score\(\)"):
        Reranker.from_scorer({})
    with pytest.raises(InputError, match="fallback is of type str"):
        Reranker("zelo-nano", fallback="zelo-nano")
