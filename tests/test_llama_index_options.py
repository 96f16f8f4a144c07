"""LlamaIndex's options: defaults, what is refused, sharing, and serialised pipelines."""

import importlib
import json
import tomllib
from pathlib import Path

import pytest
from framework_kit import nodes
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.schema import MetadataMode
from llama_index.postprocessor.zelo import ZeloRerank
from pydantic import ValidationError

from zelo import InputError, Reranker

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
QUERY = "how is the water of the river"
TEXTS = ["the oldest bridge was built of stone", "the water is cold", "read a file in Python"]
DEFAULTS = {
    "model": "zerank-2",
    "top_n": 3,
    "min_score": None,
    "instruction": None,
    "base_url": None,
    "api_key": None,
    "device": None,
    "dtype": None,
    "quantization": None,
    "compile": None,
    "metadata_mode": MetadataMode.EMBED,
    "keep_retrieval_score": False,
    "on_error": "raise",
}
CHANGED = {
    "family": "zerank-2",
    "device": "cpu",
    "dtype": "float32",
    "quantization": "int8-weights",
    "compile": False,
    "local_files_only": True,
    "max_tokens": 300,
    "max_document_tokens": 9,
    "long_documents": "chunk",
    "max_batch_tokens": 4096,
    "strip": True,
    "timeout": 30.0,
    "max_retries": 0,
    "instruction": "Prefer texts about water.",
    "top_n": 2,
    "min_score": 1e-9,
    "on_error": "keep_order",
    "metadata_mode": MetadataMode.NONE,
    "keep_retrieval_score": True,
}


@pytest.fixture(scope="module")
def reranker(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture
def changed(tiny_model):
    """A postprocessor with no option of a model in this process at its default."""
    rerank = ZeloRerank(model=str(tiny_model), **CHANGED)
    yield rerank
    rerank.close()


def ranking(rerank):
    found = rerank.postprocess_nodes(nodes(TEXTS), query_str=QUERY)
    return [(item.node.node_id, item.score, item.node.metadata) for item in found]


def test_defaults_are_the_documented_ones():
    """Without arguments there are zerank-2 and the defaults that the documentation gives."""
    rerank = ZeloRerank()
    assert {name: getattr(rerank, name) for name in DEFAULTS} == DEFAULTS


def test_making_one_loads_nothing(tmp_path):
    """A folder without a model is noticed when it is used, not before."""
    rerank = ZeloRerank(model=str(tmp_path))
    assert "not loaded" in repr(rerank.reranker)
    with pytest.raises(Exception, match=r"config\.json"):
        rerank.warmup()


def test_a_url_with_a_password_is_refused():
    """A base_url that holds a password gets an error that hides the URL."""
    with pytest.raises(InputError, match="base_url holds a user") as told:
        ZeloRerank(base_url="http://user:password@server.invalid")
    assert "password" not in str(told.value)


@pytest.mark.parametrize("name", ["topn", "minimum_score", "metadata"])
def test_unknown_option_is_refused(name):
    """A mistyped option is an error that names it; the framework alone would ignore it."""
    with pytest.raises(ValidationError, match=name):
        ZeloRerank(**{name: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_n", 0),
        ("min_score", 1.5),
        ("min_score", -0.1),
        ("on_error", "ignore"),
        ("metadata_mode", "everything"),
    ],
)
def test_value_without_meaning_is_refused(reranker, name, value):
    """A value without meaning is an error, when it is given and when it is set later."""
    with pytest.raises(ValidationError, match=name):
        ZeloRerank(reranker=reranker, **{name: value})
    rerank = ZeloRerank(reranker=reranker)
    with pytest.raises(ValidationError, match=name):
        setattr(rerank, name, value)


def test_given_reranker_does_the_work(reranker):
    """A shared Reranker scores for the postprocessor, which says what model that is."""
    before = reranker.stats().calls
    rerank = ZeloRerank(reranker=reranker)
    ranking(rerank)
    assert reranker.stats().calls == before + 1
    assert rerank.reranker is reranker
    assert (rerank.model, rerank.dtype) == (reranker.settings["model"], "float32")


@pytest.mark.parametrize("options", [{"model": "zerank-2"}, {"device": "cpu"}])
def test_given_reranker_takes_no_other_model(reranker, options):
    """A shared Reranker beside options of a model is a contradiction, and named as one."""
    with pytest.raises(InputError, match=next(iter(options))):
        ZeloRerank(reranker=reranker, **options)


def test_other_options_for_some_calls_share_the_model(reranker):
    """A copy with other options ranks by them, with the same model, and changes nothing else."""
    rerank = ZeloRerank(reranker=reranker, top_n=1)
    expected = ranking(rerank)
    every = rerank.with_options(top_n=None, keep_retrieval_score=True)
    assert every.reranker is reranker
    assert len(ranking(every)) == len(TEXTS)
    assert all("retrieval_score" in metadata for _, _, metadata in ranking(every))
    assert ranking(rerank) == expected


def test_callback_manager_is_taken(reranker):
    """A callback manager may be given, as to any postprocessor."""
    manager = CallbackManager([LlamaDebugHandler(print_trace_on_end=False)])
    assert ZeloRerank(reranker=reranker, callback_manager=manager).callback_manager is manager


def test_class_name_stays(reranker):
    """Serialised pipelines name the class by a name that does not change."""
    assert ZeloRerank.class_name() == "ZeloRerank"
    assert ZeloRerank(reranker=reranker).to_dict()["class_name"] == "ZeloRerank"


def test_dictionary_holds_every_changed_option(changed):
    """to_dict() has each option as it was given."""
    assert changed.to_dict().items() >= CHANGED.items()


@pytest.mark.parametrize("way", ["dictionary", "JSON"])
def test_serialised_options_make_the_same_postprocessor(changed, way):
    """What from_dict() makes has equal options and ranks equally."""
    data = changed.to_dict() if way == "dictionary" else json.loads(changed.to_json())
    restored = ZeloRerank.from_dict(data)
    assert restored.to_dict() == changed.to_dict()
    assert restored.metadata_mode is MetadataMode.NONE
    assert ranking(restored) == ranking(changed)
    restored.close()


def test_shared_reranker_is_serialised_as_its_settings(reranker):
    """A postprocessor with a given Reranker makes, restored, one with the same settings."""
    rerank = ZeloRerank(reranker=reranker, top_n=2)
    data = json.loads(rerank.to_json())
    assert "reranker" not in data
    restored = ZeloRerank.from_dict(data)
    assert restored.reranker is not reranker
    assert restored.reranker.settings == reranker.settings
    assert ranking(restored) == ranking(rerank)
    restored.close()


def test_json_holds_options_only(reranker):
    """Callbacks, handlers and the reranker itself are not serialised."""
    manager = CallbackManager([LlamaDebugHandler(print_trace_on_end=False)])
    rerank = ZeloRerank(reranker=reranker, callback_manager=manager, progress=lambda *_: None)
    assert not {"callback_manager", "progress", "reranker"} & set(json.loads(rerank.to_json()))


def test_schema_describes_every_option(changed):
    """The JSON schema has every option of a serialised postprocessor, each with a description."""
    properties = ZeloRerank.model_json_schema()["properties"]
    assert set(properties) - {"callback_manager", "api_key"} == set(changed.to_dict())
    ours = set(properties) - {"callback_manager", "class_name"}
    assert not [name for name in ours if not properties[name].get("description")]


@pytest.mark.skipif(not PYPROJECT.is_file(), reason="the sources are not beside the tests")
def test_hub_metadata_names_what_there_is():
    """The metadata for LlamaIndex's hub names the module to import and the classes in it."""
    told = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]["llamahub"]
    module = importlib.import_module(told["import_path"])
    assert set(told["class_authors"]) == set(module.__all__)
    assert module.ZeloRerank is ZeloRerank
