"""Fetching models, against a real server on the loopback interface that speaks the hub's API.

Fetching happens in another process, because huggingface_hub reads its settings once, when it is
imported. All that process writes, logs at DEBUG and tracebacks included, is searched for the
token. There the client's waits between attempts are cut short, its chunks made small, and what it
remembers from one fetch to the next forgotten; nothing else is changed.
"""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from loopback_hub import Hub, etag_of, serve

from zelo import ModelFileError

TOKEN = "hf_CanaryCanaryCanaryCanary0123456789"  # noqa: S105 - a token of nobody
REPO = "zeroentropy/zerank-2-reranker"
CHUNK = 4096

DRIVER = f"""
import json, logging, os, resource, sys, time, traceback
from pathlib import Path

if most := os.environ.get("MOST_BYTES_OF_A_FILE"):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))

logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
wait = time.sleep
time.sleep = lambda seconds: wait(min(seconds, 0.01))
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = {CHUNK}
for name in ("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2", "zelo"):
    logging.getLogger(name).setLevel(logging.DEBUG)
from zelo import Reranker
from zelo.scoring.catalog import resolve
from zelo.local.loading import hub
from zelo.local.loading.checkpoint import inspect_checkpoint
try:  # what a process remembers of files on disk
    from huggingface_hub._tree_cache import _IN_MEMORY_TREE_CACHE as remembered
except ImportError:
    remembered = {{}}

def run(how, model, revision, cache, offline, family):
    if how == "rerank":
        reranker = Reranker(
            model, revision=revision, cache_dir=cache, family=family, local_files_only=offline,
            device="cpu", dtype="float32",
        )
        before, pinned = repr(reranker), reranker.commit
        scores = reranker.score("the river", ["the sea", "a file"], scale="logit")
        commits = [pinned, reranker.commit]
        return {{"before": before, "after": repr(reranker), "scores": scores, "commits": commits}}
    source = resolve(model, revision)
    folder = hub.fetch(source.repo_id, source.revision, Path(cache), offline)
    if how == "inspect":
        inspect_checkpoint(folder, family or source.family)
    return {{"folder": str(folder)}}

for line in sys.stdin:
    remembered.clear()
    try:
        found = run(**json.loads(line))
    except BaseException as error:
        traceback.print_exc()
        found = {{"error": type(error).__name__, "message": str(error)}}
    sys.stderr.flush()
    print(json.dumps(found), flush=True)
"""


class Client:
    """A process that fetches from a hub with the hub's own client library."""

    def __init__(self, url: str, folder: Path, **environment: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        settings = {
            "HF_ENDPOINT": url,
            "HF_HOME": str(folder / "home"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_ETAG_TIMEOUT": "5",
            "HF_DEBUG": "1",  # it logs every request as a curl command
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        self._log = (folder / "log").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            env=kept | settings | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def run(self, job: dict[str, Any]) -> "Fetched":
        """Run one job, and return what came of it with all that was written meanwhile."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        self._log.seek(0, os.SEEK_END)
        start = self._log.tell()
        stdin.write(json.dumps(job) + "\n")
        stdin.flush()
        found = stdout.readline()
        self._log.seek(start)
        output = self._log.read()
        assert found, output
        assert TOKEN not in found + output, "the token was written somewhere"
        return Fetched(json.loads(found), output)

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)
        self._log.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    """A hub for all tests of this file."""
    with serve() as hub:
        yield hub


@pytest.fixture(scope="module")
def client(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of that hub, with the settings that most tests need."""
    client = Client(server.url, tmp_path_factory.mktemp("client"))
    yield client
    client.close()


@pytest.fixture
def hub(server: Hub) -> Hub:
    """The hub, empty and in good health."""
    server.reset()
    return server


@dataclass
class Fetched:
    """What a fetch in its own process gave, and all that it wrote."""

    found: dict[str, Any]
    output: str

    @property
    def folder(self) -> Path:
        """The folder that was returned."""
        assert "folder" in self.found, self.output
        return Path(self.found["folder"])

    def failed(self, error: str) -> str:
        """Check the error's type and return its message."""
        assert self.found.get("error") == error, self.output
        return str(self.found["message"])


@pytest.fixture
def fetch(hub: Hub, client: Client, tmp_path: Path) -> Any:
    """Return a function that fetches into a cache of the test's own.

    `how` is "fetch", "inspect" (and read what was fetched) or "rerank". With settings from the
    environment a new client is started.
    """

    def run(
        model: str = REPO,
        revision: str | None = None,
        how: str = "fetch",
        offline: bool = False,
        family: str | None = None,
        **environment: str,
    ) -> Fetched:
        job = {
            "how": how,
            "model": model,
            "revision": revision,
            "offline": offline,
            "family": family,
            "cache": str(tmp_path / "cache"),
        }
        if not environment:
            return client.run(job)
        other = Client(hub.url, tmp_path, **environment)
        try:
            return other.run(job)
        finally:
            other.close()

    return run


@pytest.fixture(scope="session")
def files(tiny_model: Path) -> dict[str, bytes]:
    """A model as it lies on the hub: what scoring reads, and much that must never be fetched."""
    names = [path for path in tiny_model.rglob("*") if path.is_file()]
    model = {path.relative_to(tiny_model).as_posix(): path.read_bytes() for path in names}
    return model | {
        "pytorch_model.bin": b"pickle " * 4_000,
        "modeling_zeranker.py": b"raise RuntimeError",
        "1_LogitScore/module.py": b"raise RuntimeError",
        "README.md": b"# a card",
        "training_args.bin": b"pickle",
        "onnx/model.onnx": b"onnx",
        "openvino/model.safetensors": b"of another format",
    }


PROMPT = {
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
}
"""Files that say how a model is asked; an earlier zelo did not fetch them."""
WANTED = PROMPT | {
    "config.json",
    "modules.json",
    "1_LogitScore/config.json",
    "tokenizer.json",
    "model.safetensors",
}


def written(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by name."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def forget_listing(folder: Path) -> None:
    """Remove the hub's list of files from the cache, where the library wrote one."""
    for listing in (folder.parents[1] / "trees").glob("*.json"):
        listing.unlink()


def test_pinned_commit_is_fetched_and_nothing_needless(
    hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """A pinned commit is asked for by its id; no pickle or code is even requested."""
    old = hub.add(REPO, files)
    hub.add(REPO, files | {"config.json": b"{}"})  # main has moved on
    done = fetch(revision=old)
    assert written(done.folder) == {name: files[name] for name in WANTED}
    assert done.folder.name == old
    resolved = [r.path for r in hub.requests if "/resolve/" in r.path]
    assert {path.partition(f"/resolve/{old}/")[2] for path in resolved} == WANTED
    assert not [r for r in hub.requests if "main" in r.path]


@pytest.mark.parametrize("listed", [True, False])
def test_whole_cached_commit_needs_no_request(
    listed: bool, hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """A commit that is whole in the cache is used without a word to the hub.

    `listed`: whether the cache holds the hub's list of files, which older libraries do not write.
    """
    commit = hub.add(REPO, files)
    first = fetch(revision=commit).folder
    if not listed:
        forget_listing(first)
    hub.requests.clear()
    assert fetch(revision=commit).folder == first
    assert fetch(revision=commit, offline=True).folder == first
    assert hub.requests == []


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "tokenizer.json", "model.safetensors", "1_LogitScore/config.json"),
        *("sentence_bert_config.json", "chat_template.jinja"),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
def test_gap_in_the_cache_is_filled(
    name: str, listed: bool, hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """A cached commit that lacks a file is completed, with no other file fetched again.

    `listed` as above.
    """
    commit = hub.add(REPO, files)
    folder = fetch(revision=commit).folder
    (folder / name).resolve().unlink()
    (folder / name).unlink()
    if not listed:
        forget_listing(folder)
    hub.requests.clear()
    assert written(fetch(revision=commit).folder) == {n: files[n] for n in WANTED}
    fetched = [r.path for r in hub.asked("GET") if r.sent and "/api/" not in r.path]
    assert len(fetched) == 1


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("listed", [True, False])
def test_offline_names_what_is_missing(
    name: str, listed: bool, hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """local_files_only with a partial copy names the file, and asks nobody."""
    commit = hub.add(REPO, files)
    folder = fetch(revision=commit).folder
    (folder / name).unlink()
    if not listed:
        forget_listing(folder)
    hub.requests.clear()
    how = "fetch" if listed else "inspect"  # without a list, the checkpoint's reader finds it
    message = fetch(revision=commit, offline=True, how=how).failed("ModelFileError")
    assert f"{name} is missing" in message
    assert "fetch" in message
    assert hub.requests == []


def test_a_copy_of_an_earlier_zelo_is_never_scored_without_its_prompt(
    hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """Online what it lacks is fetched and nothing else; offline the first such file is named."""
    commit = hub.add(REPO, files)
    folder = fetch(revision=commit).folder
    for name in PROMPT:
        (folder / name).unlink()
    forget_listing(folder)
    message = fetch(revision=commit, offline=True, how="rerank").failed("ModelFileError")
    assert "config_sentence_transformers.json is missing; fetch" in message
    assert fetch(revision=commit, how="rerank").found["scores"]
    assert written(folder).keys() == WANTED


def test_a_copy_lacks_only_what_the_hub_has(hub: Hub, fetch: Any, files: dict[str, bytes]) -> None:
    """A template in tokenizer_config.json does without a file of its own, on the hub and here."""
    config = json.loads(files["tokenizer_config.json"])
    config["chat_template"] = files["chat_template.jinja"].decode()
    changed = files | {"tokenizer_config.json": json.dumps(config).encode()}
    del changed["chat_template.jinja"]
    commit = hub.add(REPO, changed)
    first = fetch(revision=commit, how="rerank").found
    hub.requests.clear()
    assert fetch(revision=commit, how="rerank").found["scores"] == first["scores"]
    assert not hub.asked("GET", "/resolve/")


@pytest.mark.parametrize("setting", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_offline_with_an_empty_cache(setting: dict[str, str], hub: Hub, fetch: Any) -> None:
    """Offline without a copy says what is not there and what to do, and asks nobody."""
    message = fetch(revision="0" * 40, offline=not setting, **setting).failed("ModelFileError")
    assert f"{REPO} at {'0' * 40} is not in the local cache" in message
    assert "fetch it once while online, or give a local folder" in message
    assert hub.requests == []


def test_old_name_is_followed(hub: Hub, fetch: Any, files: dict[str, bytes]) -> None:
    """A repository that moved, answered with 307, is fetched from its new name."""
    hub.moved["somebody/old-name"] = REPO
    commit = hub.add(REPO, files)
    done = fetch("somebody/old-name", commit)
    assert written(done.folder) == {name: files[name] for name in WANTED}
    assert hub.asked("GET", "/api/models/somebody/old-name/")
    assert hub.asked("GET", f"/api/models/{REPO}/")


def test_known_old_name_needs_no_redirect(hub: Hub, fetch: Any, files: dict[str, bytes]) -> None:
    """The old names of the zerank models lead to the new ones without asking."""
    commit = hub.add(REPO, files)
    done = fetch("zeroentropy/zerank-2", commit, how="inspect")
    assert done.folder.name == commit
    assert not [r for r in hub.requests if "zerank-2/" in r.path]


def test_an_adapter_brings_the_commit_that_it_was_trained_on(
    hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """Of both repositories only what is read is fetched, the base at the adapter's revision."""
    base = hub.add("somebody/base", files)
    hub.add("somebody/base", files | {"config.json": b"{}"})  # main has moved on
    settings = {
        "peft_type": "LORA",
        "base_model_name_or_path": "somebody/base",
        "revision": base,
        "r": 1,
        "lora_alpha": 8,
    }
    place = "base_model.model.model.layers.0.mlp.up_proj"
    update = {
        f"{place}.lora_A.weight": torch.ones(1, 64),
        f"{place}.lora_B.weight": torch.ones(96, 1),
    }
    adapter = {
        "adapter_config.json": json.dumps(settings).encode(),
        "adapter_model.safetensors": safetensors.torch.save(update),
    }
    commit = hub.add("somebody/adapter", adapter | {"adapter_model.bin": b"pickle"})
    done = fetch("somebody/adapter", commit, how="rerank")
    told = f"somebody/adapter @ {commit} merged into somebody/base @ {base} (float32 on cpu)"
    assert told in done.found["after"], done.output
    assert done.found["scores"] != fetch("somebody/base", base, how="rerank").found["scores"]
    resolved = {r.path.partition("/resolve/")[2] for r in hub.requests if "/resolve/" in r.path}
    assert resolved == {f"{base}/{name}" for name in WANTED} | {f"{commit}/{n}" for n in adapter}


def test_default_branch_is_resolved_once_and_reported(
    hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """Without a revision, main is turned into a commit once, and that stands in the repr."""
    commit = hub.add("somebody/reranker", files)
    done = fetch("somebody/reranker", how="rerank")
    assert done.found["before"] == "Reranker(somebody/reranker (not loaded))", done.output
    assert f"somebody/reranker @ {commit} (float32 on cpu)" in done.found["after"]
    assert done.found["commits"] == [None, commit]
    assert len([r for r in hub.requests if r.path.endswith("/revision/main")]) == 1
    assert {r.path.split("/")[4] for r in hub.requests if "/resolve/" in r.path} == {commit}


def test_branch_given_by_name_is_reported_as_its_commit(
    hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """A branch or tag as revision= ends as a commit in the repr, too."""
    hub.add("somebody/reranker", {"README.md": b""})
    commit = hub.add("somebody/reranker", files, branch="v2")
    done = fetch("somebody/reranker", "v2", how="rerank", family="zerank-2")
    assert f"somebody/reranker @ {commit} (" in done.found["after"], done.output
    assert done.found["commits"] == [None, commit]


def test_broken_download_is_resumed(hub: Hub, fetch: Any, files: dict[str, bytes]) -> None:
    """A download that breaks off goes on where it broke off: no byte is sent twice."""
    commit = hub.add(REPO, files)
    weights = files["model.safetensors"]
    third = len(weights) // 3 // CHUNK * CHUNK
    hub.broken_off[etag_of(weights)] = [third, third]
    done = fetch(revision=commit)
    assert (done.folder / "model.safetensors").read_bytes() == weights
    pieces = hub.asked("GET", f"/cdn/{etag_of(weights)}")
    assert [r.range for r in pieces] == [None, f"bytes={third}-", f"bytes={2 * third}-"]
    assert sum(r.sent for r in pieces) == len(weights)


def test_hub_that_goes_away_in_the_middle(hub: Hub, fetch: Any, files: dict[str, bytes]) -> None:
    """A download that cannot go on is a typed error; the next run fetches only what is missing."""
    commit = hub.add(REPO, files)
    weights = files["model.safetensors"]
    hub.broken_off[etag_of(weights)] = [len(weights) // 2 // CHUNK * CHUNK]
    hub.failing = lambda request: 503 if request.range else None
    message = fetch(revision=commit).failed("ModelFileError")
    assert f"fetching {REPO} broke off" in message
    assert "run the same again" in message
    hub.failing = lambda request: None
    arrived = {r.path for r in hub.asked("GET", "/resolve/") if r.sent}
    hub.requests.clear()
    done = fetch(revision=commit)
    assert written(done.folder) == {name: files[name] for name in WANTED}
    again = {r.path for r in hub.asked("GET", "/resolve/") if r.sent}
    assert not arrived & again
    assert len(hub.asked("GET", "/cdn/")) == 1


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("pinned", [True, False])
def test_damaged_file_is_fetched_again_once(
    name: str, pinned: bool, hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """A file that is cut short in the cache is found and fetched anew, and no other is."""
    commit = hub.add(REPO, files)
    revision = commit if pinned else "main"
    blob = (fetch(revision=revision).folder / name).resolve()
    blob.write_bytes(files[name][: len(files[name]) // 2])
    hub.requests.clear()
    done = fetch(revision=revision)
    assert written(done.folder) == {n: files[n] for n in WANTED}
    assert "is cut short or damaged, and is fetched again" in done.output
    assert len([r for r in hub.asked("GET") if r.sent and "/api/" not in r.path]) == 1


def test_damaged_file_is_named_where_nobody_may_be_asked(
    hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """Offline, the message says which file to delete; with it gone, the next fetch mends all."""
    commit = hub.add(REPO, files)
    blob = (fetch(revision=commit).folder / "model.safetensors").resolve()
    blob.write_bytes(files["model.safetensors"][:-1])
    hub.requests.clear()
    message = fetch(revision=commit, offline=True).failed("ModelFileError")
    assert f"delete {blob} and fetch it once while online" in message
    assert hub.requests == []
    blob.unlink()
    assert written(fetch(revision=commit).folder) == {n: files[n] for n in WANTED}


def test_damaged_file_and_a_hub_that_fails(hub: Hub, fetch: Any, files: dict[str, bytes]) -> None:
    """What is damaged and why it cannot be fetched again are told together."""
    commit = hub.add(REPO, files)
    blob = (fetch(revision=commit).folder / "tokenizer.json").resolve()
    blob.write_bytes(b"{")
    hub.failing = lambda request: 503
    message = fetch(revision=commit).failed("ModelFileError")
    assert re.search(r"tokenizer\.json is cut short or damaged, and fetching .*\(503\)", message)


def test_file_that_is_damaged_on_the_hub(hub: Hub, fetch: Any, files: dict[str, bytes]) -> None:
    """What the hub itself holds damaged is fetched twice, not for ever, and said to be its own."""
    weights = files["model.safetensors"][:-9]
    commit = hub.add(REPO, files | {"model.safetensors": weights})
    message = fetch(revision=commit).failed("ModelFileError")
    assert re.search(r"model\.safetensors is cut short .* so it comes from the hub", message)
    assert len(hub.asked("GET", f"/cdn/{etag_of(weights)}")) == 2


def test_half_a_file_is_never_taken_for_a_whole_one(
    hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """After a broken download, being offline is an error that names the file, not a bad load."""
    commit = hub.add(REPO, files)
    hub.broken_off[etag_of(files["model.safetensors"])] = [CHUNK]
    hub.failing = lambda request: 503 if request.range else None
    fetch(revision=commit).failed("ModelFileError")
    message = fetch(revision=commit, offline=True).failed("ModelFileError")
    assert "model.safetensors is missing" in message


def test_token_is_sent_to_the_hub_and_to_nobody_else(
    hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """HF_TOKEN opens a private repository, and is not carried to the host of the large files."""
    commit = hub.add(REPO, files)
    hub.refused[REPO] = (401, "RepoNotFound")
    hub.token = TOKEN
    assert fetch(revision=commit).folder.name == commit
    elsewhere = [r for r in hub.requests if r.path.startswith("/cdn/")]
    assert elsewhere
    assert {(r.host, r.authorization) for r in elsewhere} == {("localhost", None)}
    asked = [r for r in hub.requests if not r.path.startswith("/cdn/")]
    assert {r.authorization for r in asked} == {f"Bearer {TOKEN}"}


def test_canary_search_would_find_a_token(hub: Hub, fetch: Any, files: dict[str, bytes]) -> None:
    """The output that is searched for the token does hold the log of each request."""
    commit = hub.add(REPO, files)
    output = fetch(revision=commit).output
    assert f"/api/models/{REPO}/tree/{commit}" in output
    assert "authorization" in output.lower()


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        ((401, "RepoNotFound"), "no repository somebody/reranker, or it is private"),
        ((404, "RepoNotFound"), "no repository somebody/reranker, or it is private"),
        ((403, "GatedRepo"), "is gated; accept its terms"),
        ((401, "GatedRepo"), "is gated; accept its terms"),
        ((401, ""), "hub refused somebody/reranker|or it is private"),
        ((403, ""), r"hub refused somebody/reranker \(403\)"),
    ],
)
@pytest.mark.parametrize("pinned", [True, False])
def test_refused_repository(
    refused: tuple[int, str],
    words: str,
    pinned: bool,
    hub: Hub,
    fetch: Any,
    files: dict[str, bytes],
) -> None:
    """A repository that is not shown says so, and names the command that logs in."""
    commit = hub.add("somebody/reranker", files)
    hub.refused["somebody/reranker"] = refused
    failed = fetch("somebody/reranker", commit if pinned else None)
    message = failed.failed("UnknownModelError")
    assert re.search(words, message), message
    assert "hf auth login" in message


@pytest.mark.parametrize("revision", ["0" * 40, "no-such-branch"])
def test_unknown_revision(revision: str, hub: Hub, fetch: Any, files: dict[str, bytes]) -> None:
    """A commit or branch that the repository lacks is named."""
    hub.add(REPO, files)
    message = fetch(revision=revision).failed("UnknownModelError")
    assert message == f"{REPO} has no revision {revision!r}; give one of its commits"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (429, r"takes no more requests from here for now \(429\); wait"),
        (500, r"the hub failed \(500\); wait"),
        (503, r"the hub failed \(503\); wait"),
    ],
)
def test_ailing_hub(status: int, told: str, hub: Hub, fetch: Any, files: dict[str, bytes]) -> None:
    """A hub that refuses for now is a typed error that says why and what to do."""
    commit = hub.add(REPO, files)
    hub.failing = lambda request: status
    message = fetch(revision=commit).failed("ModelFileError")
    assert re.search(told, message), message
    assert "local folder as the model" in message


NO_PROXY = {"NO_PROXY": "", "no_proxy": ""}


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "hub did not answer .*check the network"),
        ({"HF_ENDPOINT": "https://{host}"}, r"no trusted connection to the hub \(\w+\).*SSL_CERT"),
        (
            {"HF_ENDPOINT": "https://hub.invalid", "HTTPS_PROXY": "http://{host}", **NO_PROXY},
            r"the proxy lets nothing through \(501\); correct HTTPS_PROXY",
        ),
        ({"MOST_BYTES_OF_A_FILE": "100000"}, r"no room for it in .*cache \(File too large\); free"),
    ],
)
def test_what_stands_in_the_way_is_told(
    setting: dict[str, str], told: str, hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """A network, a certificate, a proxy or a disk that stops the fetching is named, with a cure."""
    commit = hub.add(REPO, files)
    host = hub.url.removeprefix("http://")
    given = {name: value.format(host=host) for name, value in setting.items()}
    message = fetch(revision=commit, **given).failed("ModelFileError")
    assert re.search(told, message), message
    assert "local folder as the model" in message


def test_cache_that_cannot_be_written_is_told(
    hub: Hub, fetch: Any, files: dict[str, bytes], tmp_path: Path
) -> None:
    """Where no file can be made, the message names the place and the option for another."""
    (tmp_path / "cache").write_text("no folder")
    message = fetch(revision=hub.add(REPO, files)).failed("ModelFileError")
    assert re.search(rf"{tmp_path}/cache.* cannot be written \(.*\); name .*cache_dir=", message)


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.ENOSPC, "no room for it in the-cache"), (errno.EROFS, "the-cache cannot be written")],
)
def test_reason_that_stands_in_a_text(
    number: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hf_xet tells what the system said in words alone, and a socket's refusal is no folder's."""
    from zelo.local.loading import hub as fetching

    def raises(*_: object, **__: object) -> None:
        raise RuntimeError(f"Data processing error: I/O error (os error {number})")

    monkeypatch.setattr(fetching.huggingface_hub, "snapshot_download", raises)
    with pytest.raises(ModelFileError, match=told):
        fetching.fetch(REPO, None, Path("the-cache"), offline=False)

    def refused(*_: object, **__: object) -> None:
        raise ConnectionError from PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(fetching.huggingface_hub, "snapshot_download", refused)
    with pytest.raises(ModelFileError, match="hub did not answer"):
        fetching.fetch(REPO, None, Path("the-cache"), offline=False)


def test_hub_that_is_down_does_not_matter_to_a_cached_model(
    hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """A model that was fetched by branch is found again, at the same commit, without the hub."""
    commit = hub.add("somebody/reranker", files)
    fetch("somebody/reranker")
    again = fetch("somebody/reranker", HF_ENDPOINT="http://127.0.0.1:9")
    assert again.folder.name == commit


@pytest.mark.parametrize(
    ("name", "cure"), [("model.gguf", "llama-server"), ("pytorch_model.bin", "is a pickle")]
)
def test_repository_with_weights_of_another_kind(
    name: str, cure: str, hub: Hub, fetch: Any, files: dict[str, bytes]
) -> None:
    """A repository without weights that are read says which it has, and fetches none of them."""
    kept = {n: content for n, content in files.items() if "model." not in n}
    other = b"GGUF" * 5_000
    commit = hub.add("somebody/other", kept | {name: other})
    message = fetch("somebody/other", commit).failed("ModelFileError")
    assert re.search(f"somebody/other has no weights as safetensors. {name} .*{cure}", message)
    assert not [
        r for r in hub.requests if name in r.path or ("/cdn/" in r.path and r.sent > 19_000)
    ]


def test_a_cached_classifier_needs_no_hub(hub: Hub, fetch: Any, files: dict[str, bytes]) -> None:
    """A pinned commit whose modules.json lists a Transformer alone is whole without LogitScore."""
    modules = b'[{"path": "", "type": "sentence_transformers.Transformer"}]'
    kept = {name: content for name, content in files.items() if "LogitScore" not in name}
    commit = hub.add("somebody/classifier", kept | {"modules.json": modules})
    fetch("somebody/classifier", commit)
    asked = len(hub.requests)
    assert fetch("somebody/classifier", commit).folder.name == commit
    assert len(hub.requests) == asked


def test_repository_without_a_model(hub: Hub, fetch: Any) -> None:
    """A repository that holds no model at all names the first file that it lacks."""
    commit = hub.add("somebody/card", {"README.md": b"", "config.json.md": b"{}"})
    done = fetch("somebody/card", commit, how="inspect")
    assert "config.json is missing" in done.failed("ModelFileError")
