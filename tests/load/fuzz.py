"""Requests that schemathesis makes up from our OpenAPI description, right and wrong ones.

schemathesis runs in an environment of its own and judges every answer: no 5xx, a documented status
and shape, wrong requests refused, no key no answer. Afterwards the server must be as it was.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

from served import Process, sample

SCHEMATHESIS = "schemathesis==4.32.5"
MODEL, KEY = "zelo-nano", "a-key-of-the-fuzzer"
EXCLUDED = "positive_data_acceptance"
"""Not a fault: what no schema can say is refused too, such as a blank query."""


def description(address: str) -> dict[str, object]:
    """Return the server's description, in which requests name the model that is served.

    Made-up names would all be 404, and nothing behind that would be tried.
    """
    headers = {"Authorization": f"Bearer {KEY}"}
    described = httpx.get(f"{address}/openapi.json", headers=headers).json()
    for schema in described["components"]["schemas"].values():
        properties = schema.get("properties", {})
        if "model" in properties and properties.keys() & {"query", "queries"}:
            properties["model"] = {"type": "string", "enum": [MODEL]}
    return dict(described)


def install(folder: Path) -> Path:
    """Install schemathesis in a folder; return its command."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "-qq"]
    subprocess.run([*pip, SCHEMATHESIS], check=True)
    return folder / "bin" / "schemathesis"


def fuzz(command: Path, address: str, examples: int, folder: Path) -> int:
    """Run schemathesis; return how many requests it made.

    Raises:
        SystemExit: an answer was not as it should be.
    """
    schema = folder / "openapi.json"
    schema.write_text(json.dumps(description(address)), encoding="utf-8")
    run = [command, "run", schema, "--url", address, "-H", f"Authorization: Bearer {KEY}"]
    how = ["--mode", "all", "--phases", "coverage,fuzzing", "--max-examples", str(examples)]
    what = ["--exclude-checks", EXCLUDED, "--suppress-health-check", "all", "--seed", "1"]
    done = subprocess.run(
        [*run, *how, *what, "--no-color"], capture_output=True, text=True, cwd=folder, check=False
    )
    sys.stdout.write(done.stdout[-3_000:] + done.stderr[-1_000:])
    if done.returncode:
        raise SystemExit("schemathesis found faults")
    return sum(map(int, re.findall(r"^ *(\d+) generated", done.stdout, re.MULTILINE)))


def check_after(process: Process, address: str) -> None:
    """Fail unless the server is idle and ready, and has met no error that nobody foresaw."""
    headers = {"Authorization": f"Bearer {KEY}"}
    if httpx.get(f"{address}/ready").status_code != 200:
        raise SystemExit("the server is not ready any more")
    metrics = httpx.get(f"{address}/metrics", headers=headers).text
    for name in ("zelo_queue_tokens", "zelo_requests_under_way"):
        if sample(metrics, name):
            raise SystemExit(f"{name} is not 0 after the last answer")
    unexpected = [line for line in process.log() if line["event"] == "unexpected"]
    if unexpected:
        raise SystemExit(f"errors that nobody foresaw: {unexpected[:3]}")
    if KEY in "".join([*process.opening, *process.errors]):
        raise SystemExit("the server's output holds its key")


def main() -> None:
    """Fuzz a server of our own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5_000, help="at least so many")
    parser.add_argument("--examples", type=int, default=700, help="per operation")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as away:
        command = install(Path(away) / "environment")
        with Process(MODEL, "--api-key", KEY) as process:
            address = asyncio.run(process.address())
            requests = fuzz(command, address, options.examples, Path(away))
            check_after(process, address)
    sys.stdout.write(f"schemathesis: {requests:,} requests, and no fault found\n")
    if requests < options.requests:
        raise SystemExit(f"fewer than {options.requests:,} requests: raise --examples")


if __name__ == "__main__":
    main()
