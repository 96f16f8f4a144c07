"""What importing and making an adapter costs beyond its framework.

Each test looks at a fresh interpreter, because this one has long imported everything.
"""

import importlib
import json
import subprocess
import sys
from functools import cache

import pytest

MODEL = {
    *("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub"),
    "sentence_transformers",
}
"""Packages that run a model, or fetch one. LlamaIndex brings numpy itself."""

LLAMA_INDEX = "from llama_index.core.postprocessor.types import BaseNodePostprocessor"
COMPRESSOR = "from langchain_core.documents import BaseDocumentCompressor"
CROSS_ENCODER = COMPRESSOR + "; from langchain_core.cross_encoders import BaseCrossEncoder"
RETRIEVER = "from langchain_core.retrievers import BaseRetriever"

OF_LLAMA_INDEX = "from llama_index.postprocessor.zelo import ZeloRerank"
OF_LANGCHAIN = "from langchain_zelo import ZeloRerank"
OF_CROSS_ENCODER = "from langchain_zelo import ZeloCrossEncoder"
OF_RETRIEVER = "from langchain_zelo import RerankRetriever"
MAKE = "; made = ZeloRerank(model='zerank-2', device='cuda:0')"
MAKE_CROSS_ENCODER = "; made = ZeloCrossEncoder(model='zerank-2', device='cuda:0')"
USE = MAKE + "; import pickle; repr(pickle.loads(pickle.dumps(made.with_options(top_n=1))).stats())"

ADAPTERS = [
    (LLAMA_INDEX, OF_LLAMA_INDEX),
    (LLAMA_INDEX, OF_LLAMA_INDEX + MAKE),
    (LLAMA_INDEX, OF_LLAMA_INDEX + USE),
    (COMPRESSOR, OF_LANGCHAIN),
    (COMPRESSOR, OF_LANGCHAIN + MAKE),
    (COMPRESSOR, OF_LANGCHAIN + USE),
    (CROSS_ENCODER, OF_CROSS_ENCODER + MAKE_CROSS_ENCODER),
    (RETRIEVER, OF_RETRIEVER),
]


@cache
def loaded(code: str) -> frozenset[str]:
    """Return the top-level packages that a fresh interpreter has imported after some code."""
    code += "\nimport json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return frozenset(name.partition(".")[0] for name in json.loads(done.stdout))


@pytest.mark.parametrize(("base", "adapter"), ADAPTERS)
def test_an_adapter_adds_only_itself(base: str, adapter: str) -> None:
    """Beyond its framework's base class an adapter imports the standard library and zelo."""
    added = loaded(adapter) - loaded(base) - sys.stdlib_module_names
    assert added - {"langchain_zelo"} == {"zelo"}


@pytest.mark.parametrize(("base", "adapter"), ADAPTERS)
def test_nothing_of_a_model_is_imported(base: str, adapter: str) -> None:
    """Neither importing, making, copying nor pickling an adapter imports what runs a model."""
    assert not loaded(adapter) & MODEL


def test_each_framework_without_the_other() -> None:
    """An adapter never imports the other framework."""
    assert "llama_index" not in loaded(OF_LANGCHAIN + MAKE)
    assert not loaded(OF_LLAMA_INDEX + MAKE) & {"langchain_core", "langchain_zelo"}


def test_the_slow_part_of_langchain_is_left_alone() -> None:
    """langsmith, half of LangChain's import time, comes with the retriever only."""
    assert "langsmith" not in loaded(OF_LANGCHAIN + MAKE)
    assert "langsmith" not in loaded(OF_CROSS_ENCODER + MAKE_CROSS_ENCODER)
    assert "langsmith" in loaded(OF_RETRIEVER)


def test_names_are_real() -> None:
    """The packages looked for are those that are imported where a model is run."""
    assert loaded("import zelo.local.instances") >= MODEL - {"sentence_transformers"}


@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("langchain_zelo", ["RerankRetriever", "ZeloCrossEncoder", "ZeloRerank"]),
        ("llama_index.postprocessor.zelo", ["ZeloRerank"]),
    ],
)
def test_every_public_name_can_be_imported(package: str, names: list[str]) -> None:
    """What a package lists is there, and a name that it does not list is an ordinary error."""
    found = importlib.import_module(package)
    assert sorted(found.__all__) == names
    assert {getattr(found, name).__name__ for name in names} == set(names)
    with pytest.raises(AttributeError, match="NoSuchName"):
        found.NoSuchName  # noqa: B018 - looking it up is the test
