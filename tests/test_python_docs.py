"""The demo's corpus: what it holds, and that making it touches nothing else."""

import hashlib
import os
import re
import subprocess
import sys

import pytest

from zelo.retrieval.python_docs import PythonDoc, python_docs

FINGERPRINT = """
import hashlib, sys
from zelo.retrieval.python_docs import python_docs
docs = python_docs()
unwanted = {"torch", "transformers", "readline", "antigravity", "this", "tkinter"}
assert not unwanted & set(sys.modules)
sys.stderr.write(hashlib.sha256(repr(docs).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def docs() -> list[PythonDoc]:
    """The corpus of the running Python."""
    return python_docs()


def test_several_thousand_things_are_documented_once_each(docs: list[PythonDoc]) -> None:
    """No name and no text stands there twice."""
    assert 3_000 < len(docs) < 10_000
    assert len({doc.name for doc in docs}) == len(docs)
    assert len({doc.text for doc in docs}) == len(docs)


@pytest.mark.parametrize(
    "name",
    [
        "json",
        "json.load",
        "open",
        "str.split",
        "os.path.join",
        "pathlib.Path.glob",
        "random.shuffle",
        "subprocess.run",
        "collections.Counter",
        "urllib.request.urlopen",
    ],
)
def test_what_users_look_for_goes_by_the_name_they_import(docs: list[PythonDoc], name: str) -> None:
    """Modules, functions, classes and methods are there under their public names."""
    assert name in {doc.name for doc in docs}


def test_a_text_is_name_signature_and_docstring(docs: list[PythonDoc]) -> None:
    """The first line tells the call, the next ones what it does, and its length is bounded."""
    texts = {doc.name: doc.text for doc in docs}
    assert texts["json.load"].startswith("json.load(fp, *, cls=None")
    assert "Deserialize ``fp``" in texts["json.load"].splitlines()[1]
    assert all(text.startswith(name) and "\n" in text for name, text in texts.items())
    assert max(map(len, texts.values())) <= 1_200


def test_no_text_depends_on_where_things_lie_in_memory(docs: list[PythonDoc]) -> None:
    """Addresses are left out, so that the corpus is the same in every process."""
    assert not [doc.name for doc in docs if re.search(r" at 0x[0-9a-f]+", doc.text)]


def test_making_the_corpus_is_silent_and_the_same_in_every_process() -> None:
    """Nothing is printed while modules are imported, nothing heavy comes along."""
    found = set()
    for seed in ("0", "1"):
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", FINGERPRINT],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        assert run.stdout == ""
        found.add(run.stderr)
    assert len(found) == 1
    assert len(found.pop()) == hashlib.sha256().digest_size * 2
