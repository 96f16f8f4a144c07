"""What all tests share: an environment without the user's settings, and tiny models.

Tests reach no hub: huggingface_hub is put offline before anything imports it, with a cache of its
own. `ZELO_TEST_*` stays readable; `HYPOTHESIS_PROFILE=nightly` asks for more examples.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

SCRUBBED = (
    *("HF_", "HUGGING", "HUGGINGFACE_", "TRANSFORMERS_", "ZELO_", "ZEROENTROPY_"),
    *("LANGCHAIN_", "LANGSMITH_"),  # or the tests would send traces
    "OPENAI_",
)
KEPT = ("ZELO_TEST_",)

if "PYTEST_XDIST_WORKER" in os.environ:  # several of them share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

_hf_home = tempfile.TemporaryDirectory(prefix="zelo-tests-")


def _scrub() -> dict[str, str | None]:
    """Return what to set the environment to: None removes a variable."""
    found: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith(SCRUBBED) and not name.startswith(KEPT)
    }
    return found | {
        "HF_HOME": _hf_home.name,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


for _name, _value in _scrub().items():  # huggingface_hub reads these when it is imported
    if _value is None:
        del os.environ[_name]
    else:
        os.environ[_name] = _value

# the models here are so small that a second thread costs more than it saves
os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile(
    "ci",
    max_examples=200,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("nightly", max_examples=20_000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test the same environment, whatever another one set."""
    for name, value in _scrub().items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let forward passes wait until the test says go on, or ends."""
    from zelo.local.model import Pending, ScoringModel

    go_on, start = threading.Event(), ScoringModel.start

    def wait_first(self: ScoringModel, pack: object) -> Pending:
        go_on.wait()
        return start(self, pack)

    monkeypatch.setattr(ScoringModel, "start", wait_first)
    yield go_on
    go_on.set()


@pytest.fixture(scope="session")
def tiny_forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of one tiny model in every form, by the form's name; tests must not change them."""
    import tiny

    root = tmp_path_factory.mktemp("tiny")
    both = tiny.save_causal(root / "causal-both", tied=False)
    tiny.edit_json(both / "config.json", tie_word_embeddings=True)
    return {
        "causal-both": both,  # calls itself tied, and has another projection than its embedding
        "zerank-2": tiny.save_sentence_transformers(root / "zerank-2"),
        "qwen3-reranker": tiny.save_sentence_transformers(
            root / "qwen3-reranker", "qwen3-reranker"
        ),
        "causal": tiny.save_causal(root / "causal"),
        "causal-auto-map": tiny.save_causal(root / "causal-auto-map", auto_map=True),
        "causal-untied": tiny.save_causal(root / "causal-untied", tied=False),
        "converted-1": tiny.save_converted(root / "converted-1"),
        "converted-5": tiny.save_converted(root / "converted-5", divisor=5),
        "converted-yes-no": tiny.save_converted(root / "converted-yes-no", two_tokens=True),
    }


@pytest.fixture(scope="session")
def tiny_model(tiny_forms: dict[str, Path]) -> Path:
    """The folder of a tiny zerank in the sentence-transformers form; tests must not change it."""
    return tiny_forms["zerank-2"]


@pytest.fixture(scope="session")
def tiny_tokenizer_json() -> str:
    """A tokenizer like Qwen3's in all but its size."""
    import tiny

    return tiny.tokenizer_json()


@pytest.fixture(scope="module")
def local(tiny_model: Path) -> Iterator[Any]:
    """The tiny model in this process; tests must not close it."""
    from zelo import Reranker

    with Reranker(tiny_model, dtype="float32", device="cpu") as reranker:
        yield reranker


@pytest.fixture(scope="module")
def running(local: Any) -> Iterator[Any]:
    """A server of another maker with the same model: see `fakes_serving`."""
    from fakes import FAKES
    from fakes_serving import FakeServer

    with FakeServer(FAKES["gateway"], local).running() as server:
        yield server


@pytest.fixture(scope="session")
def running_openai() -> Iterator[Any]:
    """The server of `openai`, for tests that change nothing on it."""
    from fake_openai import FakeOpenAI

    with FakeOpenAI().running() as server:
        yield server


@pytest.fixture
def openai(running_openai: Any) -> Any:
    """A server that speaks OpenAI's API, as it is when it starts: see `fake_openai`."""
    from fake_openai import FakeOpenAI

    vars(running_openai).update(vars(FakeOpenAI(url=running_openai.url)))
    return running_openai


@pytest.fixture(scope="module")
def only_cluster() -> Iterator[None]:
    """Let one Ray cluster start at a time: two of them starve each other on a few cores."""
    from filelock import FileLock

    with FileLock(Path(tempfile.gettempdir()) / "zelo-tests-ray.lock"):
        yield
