"""What is installed and what a wheel holds: the package with its model, and nothing else."""

import importlib.metadata
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import zelo

ROOT = Path(__file__).parents[1]
SOURCE_ROOTS = ("core", "integrations")
NOT_SHIPPED = (*SOURCE_ROOTS, "tests", "examples")
PACKAGED_MODEL = "zelo/models/zelo-nano"

needs_sources = pytest.mark.skipif(
    not (ROOT / "core").is_dir(), reason="the sources are not beside the tests"
)


def test_version_equals_the_metadata() -> None:
    """The installed distribution carries the version that the package says."""
    assert importlib.metadata.version("zelo") == zelo.__version__


def test_package_is_typed() -> None:
    """py.typed lies in the package, so type checkers read its annotations."""
    assert (Path(zelo.__file__).parent / "py.typed").is_file()


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
def test_namespaces_of_others_stay_namespaces() -> None:
    """No __init__.py of ours lies in llama_index/, where it would hide other people's packages."""
    for folder in ("llama_index", "llama_index/postprocessor"):
        assert not (ROOT / "integrations" / folder / "__init__.py").exists()


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
    """Every file of the package is in the wheel, and nothing lies beside the package."""
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == {"zelo"}
    package = ROOT / "core" / "zelo"
    sources = {
        path.relative_to(ROOT / "core").as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == sources


def test_wheel_is_small(wheel: zipfile.ZipFile) -> None:
    """The packaged model takes 8 MB of the wheel at most."""
    sizes = [i.compress_size for i in wheel.infolist() if i.filename.startswith(PACKAGED_MODEL)]
    assert sum(sizes) <= 8_000_000


def test_wheel_names_its_licence(wheel: zipfile.ZipFile) -> None:
    """The licence's text travels with the wheel."""
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
