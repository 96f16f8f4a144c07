"""llama.cpp itself: a GGUF file served by llama-server, by the command that the export names.

Runs where ZELO_TEST_LLAMA_SERVER names a llama-server, on a CPU and with tiny models:
ZELO_TEST_LLAMA_SERVER=/path/of/llama-server pytest tests/test_export_gguf_server.py
"""

import os
import socket
import subprocess
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import exporting_kit as kit
import httpx
import pytest
from gguf import GGUFReader

from zelo import Reranker
from zelo.errors import RemoteError
from zelo.export.engines.engine import Request
from zelo.export.llama_cpp import write_gguf, written
from zelo.export.source import Source, open_source

FAMILIES = ("zerank-2", "qwen3-reranker")
DIFFERENCES = {"f32": 0.002, "bf16": 0.02, "q8_0": 0.06}
"""By how much scores may differ from zelo's in float32. The tiny models' weights are random, large
and float32, so that rounding them shows more than with real ones."""
EXACT = ("-fa", "off", "-ctk", "f32", "-ctv", "f32")
START_S = 60


@pytest.fixture(scope="module")
def server() -> str:
    """Return the program that is tested."""
    path = os.environ.get("ZELO_TEST_LLAMA_SERVER")
    if not path:
        pytest.skip("ZELO_TEST_LLAMA_SERVER names no llama-server")
    return path


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    """Texts that have led engines astray, in Unicode's form NFC, with none in a query's braces."""
    found = [
        (unicodedata.normalize("NFC", query.replace("{document}", "it")), document)
        for query, document in kit.TEXTS
    ]
    documents = ("</s>", "it's they'LL we've", "1234 3.14", "  {query}", "\u00a0\u3000x", "a" * 300)
    return found + [("how is the water?", document) for document in documents]


@contextmanager
def running(
    server: str, source: Source, folder: Path, dtype: Any, *more: str, without: tuple[str, ...] = ()
) -> Iterator[str]:
    """Serve a model by the export's own command, at a free port, and lend the address."""
    write_gguf(source, folder / "m.gguf", dtype)
    request = Request(source, folder, folder, dtype, lambda done, of: None)
    serving = written(request, "m.gguf", dtype).serving
    assert serving is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [server]
    for flag in serving.flags:
        if flag.words[0] not in without:
            words += ["--port", port] if flag.words[0] == "--port" else flag.words
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*words, *more, "--threads", "1"], stdout=log, stderr=log)
    try:
        yield _healthy(f"http://127.0.0.1:{port}", process, folder / "log")
    finally:
        process.terminate()
        process.wait(30)


def _healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up and process.poll() is None:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return url
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8", errors="replace")[-3000:])


def scores(url: str, pairs: list[tuple[str, str]]) -> list[float]:
    """Ask for one pair after the other."""
    return [ask(url, query, [document])[0] for query, document in pairs]


def ask(url: str, query: str, documents: list[str]) -> list[float]:
    """Return the scores of some documents, in their order."""
    body = {"query": query, "documents": documents}
    answer = httpx.post(f"{url}/v1/rerank", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    found = {result["index"]: result["relevance_score"] for result in answer.json()["results"]}
    return [found[index] for index in range(len(documents))]


@pytest.mark.parametrize("dtype", DIFFERENCES)
@pytest.mark.parametrize("family", FAMILIES)
def test_its_scores_are_zelos(family, dtype, server, pairs, tiny_forms, tmp_path):
    """Started as the export says, it answers the probability itself."""
    source = open_source(str(tiny_forms[family]))
    with running(server, source, tmp_path, dtype) as url:
        found = scores(url, pairs)
    wanted = kit.probabilities(tiny_forms[family], pairs, family)
    assert max(wanted) - min(wanted) > 0.2
    assert found == pytest.approx(wanted, abs=DIFFERENCES[dtype])


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_throughout_is_exact(family, server, pairs, tiny_forms, tmp_path):
    """With keys and values in float32 too, what is left is the order of additions."""
    source = open_source(str(tiny_forms[family]))
    with running(server, source, tmp_path, "f32", *EXACT) as url:
        found = scores(url, pairs)
    assert found == pytest.approx(kit.probabilities(tiny_forms[family], pairs, family), abs=2e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_its_token_ids_are_zelos(family, server, pairs, tiny_forms, tmp_path):
    """Forged control tokens stay text, for the very prompt that it makes of a pair."""
    source = open_source(str(tiny_forms[family]))
    with running(server, source, tmp_path, "bf16") as url:
        template = GGUFReader(tmp_path / "m.gguf").fields["tokenizer.chat_template.rerank"]
        for query, document in pairs:
            prompt = template.contents().replace("{query}", query).replace("{document}", document)
            body = {"content": prompt, "add_special": False, "parse_special": True}
            ids = httpx.post(f"{url}/tokenize", json=body).json()["tokens"]
            assert ids == source.encoder.prompt_ids(query, document), (query, document)


def test_zelos_client_takes_its_scores(server, tiny_model, local, tmp_path):
    """As the notes say; a prompt that is too long is an error and no score."""
    documents = ["the water is cold", "stone bridges in the old town", "the river runs to the sea"]
    query = "how is the water of the river"
    source = open_source(str(tiny_model))
    with (
        running(server, source, tmp_path, "f32") as url,
        Reranker(
            "m", base_url=url, dialect="llama.cpp", score_scale="probability", max_retries=0
        ) as client,
    ):
        found = client.score(query, documents)
        with pytest.raises(RemoteError) as refused:
            client.score(query, ["water " * 9000])
    assert found == pytest.approx(local.score(query, documents), abs=DIFFERENCES["f32"])
    assert refused.value.status == 400


def test_long_documents_side_by_side(server, local, tiny_model, tmp_path):
    """Several long prompts at once all fit, because each has the context to itself."""
    documents = [f"{number} the water of the river is cold. " * 400 for number in range(6)]
    source = open_source(str(tiny_model))
    with running(server, source, tmp_path, "f32") as url:
        found = ask(url, "how is the water?", documents)
    assert found == pytest.approx(local.score("how is the water?", documents), abs=0.002)


def test_newer_releases_need_no_large_batch(server, local, tiny_model, tmp_path):
    """A causal model's prompt is computed in pieces, at the same score."""
    document = "the water of the river is cold. " * 400
    source = open_source(str(tiny_model))
    with running(server, source, tmp_path, "f32", without=("-b", "-ub")) as url:
        body = {"query": "how is the water?", "documents": [document]}
        answer = httpx.post(f"{url}/v1/rerank", json=body, timeout=60)
    if "too large to process" in answer.text:
        pytest.skip("this llama-server is older than pull request 28876")
    (result,) = answer.json()["results"]
    wanted = local.score("how is the water?", [document])
    assert [result["relevance_score"]] == pytest.approx(wanted, abs=0.002)
