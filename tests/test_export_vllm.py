"""vLLM itself, started by the command that `zelo export` prints, scores as zelo does.

For machines that have vLLM and a card that it runs on: `pytest -m vllm tests/test_export_vllm.py`.
It takes zelo-nano, whose heads are of a size that vLLM's attention knows.
"""

import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import exporting_kit as kit
import httpx
import pytest
from typer.testing import CliRunner

from zelo import Reranker
from zelo.cli import app
from zelo.export import Export, export

STARTING = 600  # seconds; vLLM compiles a model when it meets it first
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.01}
"""Of a score. In bfloat16, that of zelo's own tests of published scores."""
QUERY = "how is the water of the river"
DOCUMENTS = [document for _, document in kit.TEXTS if document.strip()]

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(2 * STARTING)]


class Serving(NamedTuple):
    """A running server of an export."""

    export: Export
    url: str
    dtype: str


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def server(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Start vLLM by the printed command, on a free port, and end it with all that it started."""
    if shutil.which("vllm") is None:
        pytest.skip("vLLM is not installed; where it is: pytest -m vllm tests/test_export_vllm.py")
    root = tmp_path_factory.mktemp("vllm")
    found = export("zelo-nano", root / f"nano-{request.param}", "vllm", dtype=request.param)
    assert found.serving is not None
    port = str(_free_port())
    words = shlex.split(found.serving.command)
    words[words.index("--port") + 1] = port
    url = f"http://127.0.0.1:{port}"
    with (root / "vllm.log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            _wait(process, url, root / "vllm.log")
            yield Serving(found, url, request.param)
        finally:
            process.terminate()  # vLLM ends its own workers
            process.wait(60)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    end = time.monotonic() + STARTING
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(f"vLLM ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    pytest.fail(f"vLLM did not start within {STARTING} s:\n{log.read_text()[-4000:]}")


def wanted(query: str, documents: list[str]) -> list[float]:
    """Return zelo's scores in float32."""
    with Reranker("zelo-nano", dtype="float32") as reranker:
        return reranker.score(query, documents)


def test_rerank_answers_the_probabilities(server):
    """Each document's relevance_score is its probability, control tokens in it or not."""
    asked = {"model": server.export.folder.name, "query": QUERY, "documents": DOCUMENTS}
    answer = httpx.post(f"{server.url}/rerank", json=asked, timeout=60)
    assert answer.status_code == 200, answer.text
    scores = {one["index"]: one["relevance_score"] for one in answer.json()["results"]}
    found = [scores[index] for index in range(len(DOCUMENTS))]
    assert found == pytest.approx(wanted(QUERY, DOCUMENTS), abs=TOLERANCE[server.dtype])


def test_score_answers_the_probabilities(server):
    """The same for /score, in the order in which documents were sent."""
    asked = {"model": server.export.folder.name, "text_1": QUERY, "text_2": DOCUMENTS}
    answer = httpx.post(f"{server.url}/score", json=asked, timeout=60)
    assert answer.status_code == 200, answer.text
    found = [one["score"] for one in sorted(answer.json()["data"], key=lambda one: one["index"])]
    assert found == pytest.approx(wanted(QUERY, DOCUMENTS), abs=TOLERANCE[server.dtype])


def test_prompts_have_the_length_of_zelos(server):
    """The frame is there: vLLM counts the tokens that zelo counts."""
    asked = {"model": server.export.folder.name, "query": QUERY, "documents": DOCUMENTS}
    usage = httpx.post(f"{server.url}/rerank", json=asked, timeout=60).json()["usage"]
    with Reranker("zelo-nano", dtype="float32") as reranker:
        ranked = reranker.rank(QUERY, DOCUMENTS)
    assert usage["prompt_tokens"] == sum(document.tokens for document in ranked)


def test_the_client_scores_as_here(server):
    """The printed line of Python makes a client of the server, which gives zelo's scores."""
    assert server.export.serving is not None
    line = server.export.client.replace(server.export.serving.url, server.url)
    with eval(line, {"Reranker": Reranker}) as remote:  # noqa: S307 - our own line
        found = remote.score(QUERY, DOCUMENTS)
    assert found == pytest.approx(wanted(QUERY, DOCUMENTS), abs=TOLERANCE[server.dtype])


def test_the_doctor_approves(server):
    """The printed command says that all is right, long documents included."""
    words = shlex.split(server.export.check)
    assert server.export.serving is not None
    words[words.index(server.export.serving.url)] = server.url
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.output
