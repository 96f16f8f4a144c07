"""From the face's arguments to a remote scorer: checks, the environment, settings and copies."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from zelo._common.checks import instance_of, one_of, positive, text_or_none, true_or_false
from zelo.errors import InputError, MissingExtraError
from zelo.remote.asking import Asking
from zelo.remote.failover import FailoverScorer
from zelo.remote.scorer import RemoteScorer
from zelo.scoring import Scorer
from zelo.scoring.catalog import ALIASES, HUB_NAMES
from zelo.scoring.families import Family, family_named
from zelo.scoring.options import ReadingOptions
from zelo.scoring.retrying import Patience
from zelo.transport.address import Address
from zelo.transport.client import Http
from zelo.transport.keys import Secret
from zelo.wire import DIALECTS, Scale

__all__ = ["key_of", "remote_scorer"]

KEYS = ("ZELO_API_KEY", "ZEROENTROPY_API_KEY")
DEFAULT_TIMEOUT_S = 60.0
"""Seconds for a whole call, as the vendor's SDK had it."""


def remote_scorer(
    model: str,
    base_url: str | Sequence[str],
    api_key: str | None,
    patience: Patience,
    *,
    family: str | None,
    max_document_tokens: int | None,
    strip: bool,
    dialect: str,
    score_scale: Scale | None,
    allow_http: bool,
    http2: bool,
    http_client: httpx.Client | None,
    async_http_client: httpx.AsyncClient | None,
) -> tuple[Scorer, dict[str, Any]]:
    """Return a scorer that speaks to a server, or to the first of several that answers.

    Raises:
        InputError: an option has no meaning; the message repeats neither URL nor key.
        DialectError: the dialect leaves open what its scores are.
    """
    if patience.timeout is None:
        patience = Patience(DEFAULT_TIMEOUT_S, patience.max_retries)
    reading = ReadingOptions(
        max_document_tokens=positive("max_document_tokens", max_document_tokens), strip=strip
    )
    servers = _servers(base_url)
    text_or_none("model", model)
    for name, flag in (("allow_http", allow_http), ("http2", http2)):
        true_or_false(name, flag)
    for name, client, kind in (
        ("http_client", http_client, httpx.Client),
        ("async_http_client", async_http_client, httpx.AsyncClient),
    ):
        if client is not None:
            instance_of(name, client, kind)
    settings: dict[str, Any] = {
        "model": model,
        "family": family,
        "base_url": base_url if isinstance(base_url, str) else servers,
        "dialect": dialect,
        "score_scale": score_scale,
        "allow_http": allow_http,
        "http2": http2,
        "max_document_tokens": max_document_tokens,
        "strip": strip,
        **asdict(patience),
    }
    if http2 and importlib.util.find_spec("h2") is None:
        raise MissingExtraError("HTTP/2", "http2")
    one_of("dialect", dialect, ["auto", *DIALECTS])
    if score_scale is not None:
        one_of("score_scale", score_scale, Scale)
    key = key_of(api_key)
    asking = Asking(model, _family(model, family), reading)
    clients = (http_client, async_http_client)
    ways = [
        Way(server, asking, dialect, score_scale, patience, allow_http, http2) for server in servers
    ]
    scorers: list[Scorer] = [way.scorer(key, *clients) for way in ways]
    return scorers[0] if len(scorers) == 1 else FailoverScorer(scorers), settings


@dataclass(frozen=True, slots=True)
class Way:
    """All that makes a remote scorer again, but for its key."""

    server: str
    asking: Asking
    dialect: str
    scale: Scale | None
    patience: Patience
    allow_http: bool
    http2: bool

    def scorer(
        self,
        key: Secret | None,
        http_client: httpx.Client | None = None,
        async_http_client: httpx.AsyncClient | None = None,
    ) -> RemoteScorer:
        """Make the scorer."""
        address = Address.of(self.server, key is not None, self.allow_http)
        http = Http(address, self.http2, http_client, async_http_client)
        dialect = None if self.dialect == "auto" else DIALECTS[self.dialect]
        again = None if http_client or async_http_client else self.again
        return RemoteScorer(http, key, self.asking, dialect, self.scale, self.patience, again)

    def again(self) -> RemoteScorer:
        """Make it again, in another process perhaps, with the key of the environment there."""
        return self.scorer(key_of(None))


def _servers(base_url: object) -> list[str]:
    if isinstance(base_url, str):
        return [base_url]
    if not isinstance(base_url, list | tuple) or not base_url:
        raise InputError("base_url must be the server's URL, or a list of several")
    return list(base_url)


def key_of(api_key: str | None) -> Secret | None:
    """Return a given key, or else the environment's; None where there is none."""
    if api_key is None:
        api_key = next((os.environ[name] for name in KEYS if os.environ.get(name)), None)
    if api_key is None:
        return None
    if not isinstance(api_key, str):
        raise InputError(f"api_key is of type {type(api_key).__name__}; it must be a str")
    if not api_key.isprintable() or not api_key.isascii() or api_key != api_key.strip():
        raise InputError("api_key holds white space or other characters that no header may carry")
    return Secret(api_key)


def _family(model: str, family: str | None) -> Family | None:
    """Return the model's family, by what is said or by its name; None where neither tells."""
    if family is not None:
        return family_named(family)
    source = ALIASES.get(model) or HUB_NAMES.get(model)
    return family_named(source.family) if source is not None and source.family else None
