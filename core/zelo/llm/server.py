"""Which server is meant, where its paths begin, and which key may go there."""

import os

import httpx

from zelo._common.checks import text_or_none
from zelo.errors import InputError
from zelo.remote.making import key_of
from zelo.transport.address import Address
from zelo.transport.keys import Secret

__all__ = ["prefix_of", "server_and_key"]

OPENAI = "https://api.openai.com/v1"


def server_and_key(base_url: str | None, api_key: str | None) -> tuple[str, Secret | None]:
    """Return the server's URL and the key to send there.

    Without a URL it is `OPENAI_BASE_URL`, or OpenAI itself. `OPENAI_API_KEY` goes to that server
    alone (same scheme, host and port): a key is not shown to a server that it was not meant for.
    Any other gets the key that is given, or none. An empty `api_key` sends none anywhere.

    Raises:
        InputError: the key holds characters that no header may carry, or there is none for OpenAI
            itself, which answers nobody without.
    """
    text_or_none("base_url", base_url)
    text_or_none("api_key", api_key)
    own = os.environ.get("OPENAI_BASE_URL") or OPENAI
    base_url = own if base_url is None else base_url
    if api_key is None and _origin(base_url) == _origin(own):
        api_key = os.environ.get("OPENAI_API_KEY") or None
    if api_key is None and _origin(base_url) == _origin(OPENAI):
        message = (
            "OpenAI answers nobody without a key: set OPENAI_API_KEY. If another server is meant, "
            "give its URL"
        )
        raise InputError(message)
    return base_url, None if api_key in (None, "") else key_of(api_key)


def prefix_of(base_url: str, address: Address) -> str:
    """Return what stands between an address's root and `/embeddings` or `/chat/completions`.

    A URL with a path is taken as SDKs take it (`/v1beta/openai` is Google's); a bare host gets
    `/v1`. `Address` cuts a version off, which is put back here.
    """
    path = httpx.URL(base_url).path.rstrip("/")
    root = httpx.URL(address.root).path.rstrip("/")
    return path.removeprefix(root) if path else "/v1"


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Return scheme, host and port; None for what is no URL, which `Address` will refuse."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return None
    return parsed.scheme, parsed.host, parsed.port
