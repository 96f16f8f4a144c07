"""Other people's rerank clients against our server, and other people's servers under our client.

Each `with_*.py` is a client and each `serve_*.py` a server, run in an environment of its own. Our
server is `zelo serve --model zelo-nano` with a key; what each client must find is what the
in-process reranker says. All of it on the loopback.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from served import Process  # noqa: E402

from zelo import RemoteAuthError, Reranker, ZeloError  # noqa: E402

MODEL, KEY = "zelo-nano", "a-key-of-the-foreign-clients"
QUERY = "how do I read a json file?"
DOCUMENTS = [
    "csv.reader(file) iterates over the lines of a file.",
    "json.load(fp) reads a JSON document from a file.",
    "",
    "json.dumps(obj) writes an object as JSON.",
    "Die Straße führt über den Fluss; \U0001f30a 川の水は冷たい。",
    "json.load(fp) reads a JSON document from a file.",
    ("open(path).read() returns the text of a file. " * 40).strip(),
]
"""With a blank one, two that tie, scripts other than Latin, and one that is long."""
SERVER_TOLERANCE = 1e-5
"""Between a foreign server's score and its own model's: what another batch changes in float32."""


def expected() -> dict[str, object]:
    """Return what an in-process reranker finds."""
    with Reranker(MODEL, device="cpu") as reranker:
        order = [result.index for result in reranker.rank(QUERY, DOCUMENTS)]
        return {"scores": reranker.score(QUERY, DOCUMENTS), "order": order}


def environment(script: Path, folder: Path) -> Path:
    """Make the environment that a script says it requires; return its interpreter."""
    found = re.search(r"^# requires: (.+)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{script.name} has no line '# requires: ...'")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*install, *found[1].split()], check=True)
    return python


def variables(case: Path) -> dict[str, str]:
    """Return the environment of a script: this one's, without what would lead to our packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"ZELO_FOREIGN_CASE": str(case), "OMP_NUM_THREADS": "1"}


def run_client(script: Path, case: Path, folder: Path) -> None:
    """Run a client against our server, as the case says it."""
    python = environment(script, folder)
    subprocess.run([python, script], env=variables(case), timeout=300, check=True)


def run_server(script: Path, case: Path, folder: Path) -> None:
    """Start a server and compare what our client reads from it with the server's own model."""
    python = environment(script, folder)
    model = folder / "model"
    model.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [python, script, model, port]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=variables(case), stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
        scores = json.loads((model / "expected.json").read_text(encoding="utf-8"))
        ask(f"http://127.0.0.1:{port}", scores)
    finally:
        process.terminate()
        process.wait()


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a server answers."""
    while True:
        if process.poll() is not None:
            raise SystemExit(f"the server ended: {log.read_text(encoding='utf-8')[-2_000:]}")
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)


def ask(address: str, scores: list[float]) -> None:
    """Fail unless our client tells the server's dialect, reads its scores and knows its errors."""
    expected = [score if text else 0.0 for score, text in zip(scores, DOCUMENTS, strict=True)]
    options: dict[str, Any] = {"base_url": address, "score_scale": "probability"}
    with Reranker("tiny", api_key=KEY, **options) as reranker:
        found = reranker.score(QUERY, DOCUMENTS)
        shown = repr(reranker)
    off = max(abs(a - b) for a, b in zip(found, expected, strict=True))
    if not off <= SERVER_TOLERANCE:
        raise SystemExit(f"scores are off by {off}")
    sys.stdout.write(f"  {shown}: {len(found)} scores within {off:.0e}\n")
    with Reranker("tiny", api_key="wrong", **options) as stranger:
        try:
            stranger.score(QUERY, DOCUMENTS)
        except RemoteAuthError as error:
            sys.stdout.write(f"  wrong key: RemoteAuthError: {error}\n")
        else:
            raise SystemExit("a wrong key was not refused")


def agrees(script: Path, case: Path, folder: Path) -> bool:
    """Run a counterpart; whether all it found was right."""
    sys.stdout.write(f"{name_of(script)}\n")
    sys.stdout.flush()
    kind = run_client if script.name.startswith("with_") else run_server
    try:
        kind(script, case, folder)
    except (subprocess.SubprocessError, ZeloError, SystemExit) as error:
        sys.stdout.write(f"  not right: {error}\n")
        return False
    return True


def name_of(script: Path) -> str:
    """Return what a script is called on the command line."""
    return script.stem.partition("_")[2]


def main() -> None:
    """Run the counterparts named, or all."""
    found = [*sorted(FOLDER.glob("with_*.py")), *sorted(FOLDER.glob("serve_*.py"))]
    scripts = {name_of(path): path for path in found}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(scripts)}; default, all")
    names = parser.parse_args().name or list(scripts)
    if unknown := set(names) - set(scripts):
        parser.error(f"no such counterpart: {', '.join(unknown)}")
    content = {"model": MODEL, "key": KEY, "query": QUERY, "documents": DOCUMENTS} | expected()
    with Process(MODEL, "--api-key", KEY) as process, tempfile.TemporaryDirectory() as away:
        case = Path(away) / "case.json"
        address = asyncio.run(process.address())
        case.write_text(json.dumps(content | {"address": address}), encoding="utf-8")
        wrong = [name for name in names if not agrees(scripts[name], case, Path(away) / name)]
    sys.stdout.write(f"{len(names) - len(wrong)} of {len(names)} counterparts agree\n")
    if wrong:
        raise SystemExit(f"not right: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
