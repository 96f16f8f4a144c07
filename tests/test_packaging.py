"""What is installed and what a wheel holds: three packages and the model, and nothing else."""

import importlib.metadata
import importlib.resources
import importlib.util
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import zelo

ROOT = Path(__file__).parents[1]
SOURCE_ROOTS = ("core", "integrations")
NOT_SHIPPED = (*SOURCE_ROOTS, "tests", "examples")
PACKAGES = ("zelo", "langchain_zelo", "llama_index.postprocessor.zelo")
NAMESPACES = ("llama_index", "llama_index.postprocessor")
SHIPPED = ("core/zelo", "integrations/langchain_zelo", "integrations/llama_index")
PACKAGED_MODEL = "zelo/models/zelo-nano"

needs_sources = pytest.mark.skipif(
    not (ROOT / "core").is_dir(), reason="the sources are not beside the tests"
)


def test_version_equals_the_metadata() -> None:
    """The installed distribution carries the version that the package says."""
    assert importlib.metadata.version("zelo") == zelo.__version__


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_typed(name: str) -> None:
    """py.typed lies in each package, so type checkers read its annotations."""
    assert (importlib.resources.files(name) / "py.typed").is_file()


@pytest.mark.parametrize("name", NAMESPACES)
def test_namespaces_stay_namespaces(name: str) -> None:
    """Python merges our folders of LlamaIndex's names with those of everybody else."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is None


def test_framework_is_found_beside_the_adapter() -> None:
    """LlamaIndex's own core and our package are both found under its name."""
    for name in ("llama_index.core", "llama_index.postprocessor.zelo"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None


def test_nothing_but_our_packages_is_importable() -> None:
    """The source roots themselves are not shipped as packages."""
    files = importlib.metadata.files("zelo") or []
    assert files
    assert not {file.parts[0] for file in files if file.suffix == ".py"} & set(NOT_SHIPPED)


@needs_sources
@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_source_roots_are_no_packages(root: str) -> None:
    """A stray __init__.py in a source root would make a second copy of every class."""
    assert not (ROOT / root / "__init__.py").exists()


@needs_sources
def test_llamahub_metadata_names_a_postprocessor() -> None:
    """The class that LlamaHub lists exists where its users are told to import it from."""
    from llama_index.core.postprocessor.types import BaseNodePostprocessor

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listing = project["tool"]["llamahub"]
    module = importlib.import_module(listing["import_path"])
    assert listing["class_authors"]
    for name in listing["class_authors"]:
        assert issubclass(getattr(module, name), BaseNodePostprocessor)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel built from the sources, with the build backend that is installed here."""
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("the sources are not beside the tests")
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    out = tmp_path_factory.mktemp("wheel")
    command = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(ROOT)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("zelo-*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_the_packaged_model(wheel: zipfile.ZipFile) -> None:
    """The weights ship with the package, whole: ignore rules drop such files without a word."""
    names = set(wheel.namelist())
    needed = ("config.json", "modules.json", "tokenizer.json", "model.safetensors")
    assert not {f"{PACKAGED_MODEL}/{name}" for name in needed} - names
    for name in names:
        if name.startswith(PACKAGED_MODEL):
            source = ROOT / "core" / name
            assert wheel.getinfo(name).file_size == source.stat().st_size


def test_wheel_holds_all_modules_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Every file of the three packages is in the wheel, and nothing lies beside them."""
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to((ROOT / shipped).parent).as_posix()
        for shipped in SHIPPED
        for path in (ROOT / shipped).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == sources
    assert {name.partition("/")[0] for name in names} == {"zelo", "langchain_zelo", "llama_index"}


@pytest.mark.parametrize("name", PACKAGES)
def test_wheel_holds_each_package_typed(wheel: zipfile.ZipFile, name: str) -> None:
    """Each package is in the wheel as it is imported, with its mark for type checkers."""
    folder = name.replace(".", "/")
    assert {f"{folder}/__init__.py", f"{folder}/py.typed"} <= set(wheel.namelist())


@pytest.mark.parametrize("name", NAMESPACES)
def test_wheel_leaves_namespaces_open(wheel: zipfile.ZipFile, name: str) -> None:
    """No __init__.py of ours lies in llama_index/, where it would hide other people's packages."""
    assert f"{name.replace('.', '/')}/__init__.py" not in wheel.namelist()


def test_wheel_is_small(wheel: zipfile.ZipFile) -> None:
    """The packaged model takes 8 MB of the wheel at most."""
    sizes = [i.compress_size for i in wheel.infolist() if i.filename.startswith(PACKAGED_MODEL)]
    assert sum(sizes) <= 8_000_000


def test_wheel_names_its_licence(wheel: zipfile.ZipFile) -> None:
    """The licence's text travels with the wheel."""
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
