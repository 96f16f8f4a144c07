"""The server under test: one that is started for it on the loopback, or one that is there."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from zelo.bench.http_load import LONGEST_WAIT_S
from zelo.errors import RemoteError, ScoringError

__all__ = ["capacity_of", "connections", "started"]

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
POLL_S = 0.1
STOP_S = 30.0
"""What a server gets to end; its last answers were taken before."""


@asynccontextmanager
async def started(model: str, dtype: str, max_queued_tokens: int) -> AsyncIterator[str]:
    """Run `zelo serve` in a process of its own as long as the block; give its address.

    Raises:
        ScoringError: the process ended before it could be asked.
    """
    command = [sys.executable, "-m", "zelo", "serve", "--port", "0"]
    command += ["--model", model, "--device", "cpu", "--dtype", dtype]
    command += ["--max-queued-tokens", str(max_queued_tokens), "--timeout", str(LONGEST_WAIT_S)]
    keyless = {name: value for name, value in os.environ.items() if name != "ZELO_API_KEYS"}
    with tempfile.TemporaryDirectory(prefix="zelo-bench-") as folder:
        said = Path(folder) / "said"
        with said.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file, env=keyless)  # noqa: S603
        try:
            yield await _address(process, said)
        finally:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _address(process: "subprocess.Popen[bytes]", said: Path) -> str:
    """Wait until the server can be asked."""
    async with httpx.AsyncClient() as http:
        while process.poll() is None:
            found = ADDRESS.search(said.read_text(encoding="utf-8"))
            if found and await _ready(http, found[0]):
                return found[0]
            await asyncio.sleep(POLL_S)
    lines = said.read_text(encoding="utf-8").strip().splitlines()
    raise ScoringError(f"the server ended: {lines[-1] if lines else 'it said nothing'}")


async def _ready(http: httpx.AsyncClient, address: str) -> bool:
    try:
        return (await http.get(f"{address}/ready")).status_code == 200
    except httpx.TransportError:
        return False


def connections(address: str, api_key: str | None) -> httpx.AsyncClient:
    """Return a client that opens as many connections as requests are under way."""
    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    timeout = httpx.Timeout(LONGEST_WAIT_S)
    return httpx.AsyncClient(base_url=address, headers=headers, limits=limits, timeout=timeout)


async def capacity_of(http: httpx.AsyncClient) -> int:
    """Return the tokens, as estimated, that a server admits at once.

    Raises:
        RemoteError: it cannot be reached, or does not tell.
    """
    try:
        got = await http.get("/info")
        told: Any = got.json() if got.status_code == 200 else None
        return int(told["limits"]["max_queued_tokens"])
    except httpx.HTTPError as error:
        message = f"{http.base_url} cannot be reached ({type(error).__name__})"
        raise RemoteError(message) from None
    except (ValueError, TypeError, KeyError):
        message = f"{http.base_url}info tells no limits; is it zelo serve, and the API key right?"
        raise RemoteError(message, status=got.status_code) from None
