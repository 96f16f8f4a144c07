"""What importing zelo costs, and what it says where an optional package is missing.

Each test looks at a fresh interpreter, because this one has long imported everything.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from collection import write_beir

import zelo
from zelo.training.pipeline.packages import PACKAGES

HEAVY = (
    *("torch", "transformers", "numpy", "tokenizers", "safetensors", "huggingface_hub"),
    *("httpx", "typer", "rich", "sentence_transformers", "llama_index", "langchain"),
    *("langchain_core", "langchain_zelo", "bm25s", "ir_measures", "scipy", "asyncio"),
)
ALLOWED = {"asyncio"}  # of the standard library, and light

BLOCKER = """
import importlib.abc
import sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def python(code: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import zelo",
        "from zelo import Reranker; Reranker('zerank-2')",
        "from zelo import Reranker; repr(Reranker('zelo-nano', device='cuda:0').stats())",
        "import pickle, zelo; pickle.loads(pickle.dumps(zelo.Reranker()))",
        "from zelo import *",
    ],
)
def test_import_is_light(code: str) -> None:
    """Neither importing zelo nor making a reranker imports torch or any other heavy package."""
    loaded = json.loads(python(f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))"))
    assert "zelo.errors" in loaded
    found = {name.partition(".")[0] for name in loaded} & set(HEAVY)
    assert found <= ALLOWED


def test_a_plan_of_training_is_light(tmp_path: Path) -> None:
    """Neither reading a run's configuration nor its plan imports torch or matplotlib."""
    write_beir(tmp_path)
    path = tmp_path / "run.toml"
    path.write_text(
        'collections = [{ path = "small", split = "test" }]\nmodel = "zelo-nano"\n'
        'judges = ["bm25", "zelo-nano"]\nevaluate.collections = []\n'
    )
    code = f"""
import sys
from zelo.training.pipeline import plan, read_config
print(len(plan(read_config({str(path)!r})).stages))
print(*sys.modules)
"""
    stages, modules = python(code).splitlines()
    assert int(stages) > 8
    assert not {"torch", "transformers", "matplotlib"} & set(modules.split())


def test_heavy_names_are_real(recwarn: pytest.WarningsRecorder) -> None:
    """The list above is no list of misspelt names: what runs a model does import these."""
    code = "import sys, zelo.local.instances; print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in python(code).split()}
    assert {"torch", "transformers", "numpy", "tokenizers", "safetensors"} <= loaded


def test_import_is_silent_and_leaves_logging_alone() -> None:
    """Importing prints nothing, adds no handler and sets no level."""
    code = """
import logging
import zelo
for name in ("", "zelo"):
    logger = logging.getLogger(name)
    assert not logger.handlers, logger.handlers
    assert logger.level == (logging.WARNING if name == "" else logging.NOTSET)
"""
    assert python(code) == ""


def test_all_is_sorted_and_complete() -> None:
    """zelo.__all__ lists every public name of the package, in order, and nothing else."""
    public = {
        name
        for name, value in vars(zelo).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert zelo.__all__ == sorted(public | set(zelo._LATER))


@pytest.mark.parametrize(
    "blocked", [{"torch"}, {"transformers"}, {"tokenizers"}, {"torch", "transformers", "numpy"}]
)
def test_missing_extra_names_the_command(blocked: set[str], tmp_path: object) -> None:
    """Without the packages of an extra, scoring says once which command installs them."""
    code = BLOCKER.format(blocked=blocked) + (
        f"""
import pickle, zelo
reranker = zelo.Reranker({str(tmp_path)!r})
for _ in range(2):
    try:
        reranker.score("the river", ["sea"])
    except zelo.MissingExtraError as error:
        again = pickle.loads(pickle.dumps(error))
        assert isinstance(again, ImportError) and isinstance(again, zelo.ZeloError)
        assert str(again) == str(error)
        print(error)
"""
    )
    line = 'scoring in this process needs more packages: pip install "zelo[local]"\n'
    assert python(code) == 2 * line


@pytest.mark.parametrize("blocked", ["torch", "accelerate", "peft", "matplotlib", "bm25s"])
def test_a_run_without_a_package_names_the_command(blocked: str, tmp_path: Path) -> None:
    """`zelo train run`, and its plan, say at once which extra brings all that it needs."""
    path = tmp_path / "run.toml"
    path.touch()
    code = BLOCKER.format(blocked={blocked}) + (
        f"""
from typer.testing import CliRunner
from zelo.cli import app
for option in ([], ["--plan"]):
    result = CliRunner().invoke(app, ["train", "run", {str(path)!r}, *option])
    print(result.exit_code, result.stderr.strip())
"""
    )
    line = '1 zelo: error: training needs more packages: pip install "zelo[train]"\n'
    assert python(code) == 2 * line


def test_a_run_asks_for_what_the_extra_installs() -> None:
    """The packages that it looks for are those of pyproject.toml, extras within extras included."""
    modules = {"PyStemmer": "Stemmer"}
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras, wanted, found = project["optional-dependencies"], ["train"], set[str]()
    for extra in wanted:
        for requirement in extras[extra]:
            if within := re.fullmatch(r"zelo\[(.+)\]", requirement):
                wanted += within[1].split(",")
            else:
                name = re.match(r"[\w-]+", requirement)
                assert name is not None
                found.add(modules.get(name[0], name[0].replace("-", "_")))
    assert found == set(PACKAGES)


@pytest.mark.parametrize("blocked", ["torch", "accelerate", "matplotlib"])
def test_training_without_a_package_names_the_command(blocked: str) -> None:
    """Before anything is trained, or paid for in a run, the error says what to install."""
    code = BLOCKER.format(blocked={blocked}) + (
        """
import zelo
for statement in (
    "from zelo.training.learning import learn",
    "from zelo.training.pointwise import pointwise",
    "from zelo.training.pipeline.learning import check_model; check_model('zelo-nano')",
):
    try:
        exec(statement)
    except zelo.MissingExtraError as error:
        print(str(error).partition(": ")[2])
"""
    )
    assert python(code) == 3 * 'pip install "zelo[train]"\n'


def test_every_error_is_a_zelo_error() -> None:
    """One base class catches all errors that zelo raises on purpose."""
    errors = [value for name, value in vars(zelo).items() if name.endswith("Error")]
    assert len(errors) == 20
    assert all(issubclass(error, zelo.ZeloError) for error in errors)


def test_no_module_takes_a_name_of_the_standard_library() -> None:
    """Run from any folder of the package, Python finds its own modules, not ours of that name."""
    package = Path(zelo.__file__).parent
    names = {path.stem: path for path in package.rglob("*.py")}
    names |= {path.parent.name: path.parent for path in package.rglob("__init__.py")}
    taken = {name: path for name, path in names.items() if name in sys.stdlib_module_names}
    assert not taken


def test_packages_keep_their_former_names() -> None:
    """What was imported under an old name still is, the same objects, with a warning."""
    code = """
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    from zelo.collections.reading import read_collection
from zelo.corpora.reading import read_collection as now
print(read_collection is now, told[0].category.__name__, told[0].message)
"""
    told = "True DeprecationWarning zelo.collections is now zelo.corpora; "
    assert python(code).startswith(told)
