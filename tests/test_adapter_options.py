"""The options of every adapter: what is refused, what is fixed, and what may be changed."""

import inspect
import re
from pathlib import Path

import pytest
import torch
from framework_kit import (
    BAD_OF_ANY,
    BAD_OF_RANKERS,
    FACES,
    RANKERS,
    URL,
    Face,
    every_face,
    every_ranker,
)
from pydantic import SecretStr, ValidationError, create_model

from zelo import InputError, Reranker
from zelo.adapters.foreign import FOREIGN

LLAMA_INDEX, LANGCHAIN, _ = FACES
# what a Reranker alone takes: objects, and what has one value; it is given as reranker=
ONLY_OF_RERANKER = {"http2", "http_client", "async_http_client", "fallback"}
OF_RERANKER = sorted(inspect.signature(Reranker).parameters.keys() - ONLY_OF_RERANKER)
FIXED = sorted({*OF_RERANKER, "reranker"})
FREE = {
    "cross-encoder": {"instruction", "progress"},
    "langchain": {"instruction", "progress", "top_n", "min_score", "on_error", "rank_fields"},
    "llama-index": {
        *("instruction", "progress", "top_n", "min_score", "on_error"),
        *("metadata_mode", "keep_retrieval_score", "callback_manager"),
    },
}


def constructed(face, model, options):
    """Make an adapter with options."""
    return face.adapter(**({"model": model} | options))


def copied(face, model, options):
    """Make an adapter, and a copy of it with options."""
    return face.adapter(model=model).with_options(**options)


def assigned(face, model, options):
    """Make an adapter, and assign options to it."""
    adapter = face.adapter(model=model)
    for option, value in options.items():
        setattr(adapter, option, value)


def told(make, face, model, options):
    """Return the message with which options are refused."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - pydantic's or ours, both are one
        make(face, model, options)
    return str(caught.value)


@pytest.mark.parametrize("make", [constructed, copied])
@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda foreign: foreign.names[0])
@every_face
def test_another_rerankers_option_is_refused_with_ours(tiny_model, face, foreign, make):
    """An option as other rerankers name it is an error, with ours where there is one."""
    ours = foreign.option is None or foreign.option in face.adapter.model_fields
    for name in foreign.names:
        if name not in face.adapter.model_fields:
            message = told(make, face, tiny_model, {name: "a-value"})
            assert name in message
            assert (f"{name}: here, {foreign.here}" in message) is ours
            assert "a-value" not in message


@pytest.mark.parametrize("make", [constructed, copied])
@every_face
def test_all_foreign_options_are_told_at_once(tiny_model, face, make):
    """Several options of other rerankers are named in one error."""
    options = {"model_name": "x", "use_fp16": True, "cache_folder": "x", "trust_remote_code": False}
    message = told(make, face, tiny_model, options)
    positions = [message.index(f"{name}: here") for name in options]
    assert len(set(positions)) == 4


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda foreign: foreign.names[0])
def test_what_is_advised_exists(foreign):
    """Every option that the advice names is an option of one of the adapters."""
    fields = {name for face in RANKERS for name in face.adapter.model_fields}
    advised = set(re.findall(r"`(\w+)[`=]", foreign.here))
    assert advised or foreign.here.startswith("nothing: ")
    assert advised <= fields


@pytest.mark.parametrize("option", OF_RERANKER)
@every_face
def test_a_reranker_brings_its_own_settings(tiny_model, face, option):
    """Options that decide on the reranker are refused beside a reranker, by name."""
    with Reranker(tiny_model) as reranker:
        with pytest.raises(InputError, match=rf"leave out {option}$"):
            face.adapter(reranker=reranker, **{option: None})


@pytest.mark.parametrize("option", sorted(ONLY_OF_RERANKER))
@every_face
def test_what_a_reranker_alone_takes_is_refused(tiny_model, face, option):
    """Options that no serialised pipeline could hold are refused; a given reranker brings them."""
    assert option in told(constructed, face, tiny_model, {option: None})


class Housed(LLAMA_INDEX.adapter):
    """A class made from an adapter, which tells its own name in dumps."""

    @classmethod
    def class_name(cls):
        return "Housed"


@pytest.mark.parametrize(
    "adapter", [*(face.adapter for face in FACES), Housed], ids=lambda adapter: adapter.__module__
)
def test_pydantic_makes_an_adapter_of_its_dump_again(tiny_model, adapter):
    """A dump is a valid configuration, as it is, as JSON, and within a model of the user's."""
    made = adapter(model=tiny_model, device="cpu", instruction="Only stone bridges count.")
    config = create_model("Config", reranker=(adapter, ...))
    whole = config(reranker=made)
    again = [
        adapter.model_validate(made.model_dump()),
        adapter.model_validate_json(made.model_dump_json()),
        adapter(**made.model_dump()),
        config.model_validate(whole.model_dump()).reranker,
        config.model_validate_json(whole.model_dump_json()).reranker,
    ]
    for one in again:
        assert type(one) is adapter
        assert one.model_dump() == made.model_dump()
        assert one.reranker.settings == made.reranker.settings
    with pytest.raises(ValidationError, match="tpo_n"):
        adapter.model_validate(made.model_dump() | {"tpo_n": 3})


@every_face
def test_an_adapter_says_what_its_reranker_is(tiny_model, face):
    """The fields of an adapter around a reranker show that reranker's settings."""
    settings = {
        "device": "cpu",
        "dtype": "float32",
        "quantization": "int4-weights",
        "compile": False,
        "timeout": 60.0,
        "max_document_tokens": 64,
        "long_documents": "chunk",
    }
    with Reranker(tiny_model, **settings) as reranker:
        adapter = face.adapter(reranker=reranker)
        expected = settings | {"model": str(tiny_model)}
        assert {name: getattr(adapter, name) for name in expected} == expected


@every_face
def test_options_are_kept_as_one_type(tiny_model, face):
    """Paths, torch's objects and a key in clear are read back as tests/typed says."""
    adapter = face.adapter(
        model=Path(tiny_model),
        device=torch.device("cpu"),
        dtype=torch.bfloat16,
        cache_dir=Path("here"),
    )
    kept = [adapter.model, adapter.device, adapter.dtype, adapter.cache_dir]
    assert kept == [str(tiny_model), "cpu", "bfloat16", "here"]
    remote = face.adapter(base_url=("https://a.example", "https://b.example"), api_key="a key")
    assert remote.base_url == ["https://a.example", "https://b.example"]
    assert isinstance(remote.api_key, SecretStr)


@every_face
def test_only_a_reranker_is_a_reranker(face):
    """Another object in its place is refused."""
    with pytest.raises(ValidationError, match="instance of Reranker"):
        face.adapter(reranker="zerank-2")


@every_face
def test_base_url_is_not_repeated(tiny_model, face):
    """A URL that holds a secret is refused by a typed error that does not repeat it."""
    with pytest.raises(InputError, match="base_url holds a user, a query or a fragment") as caught:
        face.adapter(model=tiny_model, base_url=URL)
    assert "host.example" not in str(caught.value)
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("face", "option", "value"),
    BAD_OF_ANY,
    ids=lambda part: part.name if isinstance(part, Face) else str(part).partition(":")[0],
)
def test_a_value_without_meaning_is_refused(tiny_model, face, option, value):
    """A wrong type, a wrong range or an unknown name is an error that names the option."""
    assert option in told(constructed, face, tiny_model, {option: value})


@every_face
def test_what_is_fixed_and_what_is_free(face):
    """An adapter's options are the reranker's and the key, which are fixed, and those of a call."""
    assert set(face.adapter.model_fields) == {*FIXED, *FREE[face.name]}


@pytest.mark.parametrize("option", FIXED)
@every_face
def test_the_model_cannot_be_changed_afterwards(tiny_model, face, option):
    """Options that decide on the model are fixed when it is chosen, also for some calls."""
    adapter = face.make(tiny_model)
    before = getattr(adapter, option)
    with pytest.raises(InputError, match=f"{option} is chosen with the model"):
        setattr(adapter, option, before)
    with pytest.raises(InputError, match=f"{option} is chosen with the model"):
        adapter.with_options(**{option: before})
    assert getattr(adapter, option) is before


@pytest.mark.parametrize("make", [assigned, copied])
@pytest.mark.parametrize(("option", "value"), [*BAD_OF_RANKERS, ("instruction", 3), ("tpo_n", 3)])
@every_ranker
def test_changes_are_checked(tiny_model, face, option, value, make):
    """A value without meaning is refused after construction too, by name."""
    assert option in told(make, face, tiny_model, {option: value})


@every_ranker
def test_a_refused_change_changes_nothing(tiny_model, face):
    """After a refused assignment or copy an adapter has the options that it had before."""
    adapter = face.make(tiny_model, top_n=7, min_score=0.25)
    before = adapter.model_dump()
    with pytest.raises(ValidationError):
        adapter.top_n = 0
    with pytest.raises(ValidationError):
        adapter.with_options(min_score=0.5, top_n=0)
    assert adapter.model_dump() == before


@every_ranker
def test_options_of_a_call_can_be_assigned(tiny_model, face):
    """What is assigned to the options of a call decides on the next ranking."""
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        adapter = face.adapter(reranker=reranker)
        texts = [f"the water of bridge {i}" for i in range(5)]
        assert len(face.rank(adapter, "cold water", texts)) == 3
        adapter.top_n = None
        ranked = face.rank(adapter, "cold water", texts)
        assert len(ranked) == 5
        adapter.min_score = ranked[1].score
        assert [found.index for found in face.rank(adapter, "cold water", texts)] == [
            found.index for found in ranked[:2]
        ]
        adapter.min_score = None
        adapter.instruction = "Only stone bridges count."
        instructed = reranker.score("cold water", texts, instruction="Only stone bridges count.")
        assert face.scores(adapter, "cold water", texts) == pytest.approx(instructed, abs=1e-5)
        assert instructed != pytest.approx(reranker.score("cold water", texts), abs=1e-3)


@every_ranker
def test_options_for_some_calls_leave_the_adapter_alone(tiny_model, face):
    """A copy with other options ranks by them, shares the model, and the original is as it was."""
    texts = [f"the water of bridge {i}" for i in range(5)]
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        adapter = face.adapter(reranker=reranker)
        before = adapter.model_dump()
        other = adapter.with_options(top_n=1, instruction="Only stone bridges count.")
        assert other.reranker is adapter.reranker
        assert type(other) is type(adapter)
        assert len(face.rank(other, "cold water", texts)) == 1
        assert len(face.rank(adapter, "cold water", texts)) == 3
        assert adapter.model_dump() == before
