"""Where a server is, and what may be sent there."""

import ipaddress
from dataclasses import dataclass

import httpx

from zelo.errors import InputError

__all__ = ["Address"]

GONE = "zeroentropy.dev"
VERSIONS = ("/v1", "/v2")


@dataclass(frozen=True, slots=True)
class Address:
    """The root of a server, below which every dialect has its path."""

    root: str
    """Scheme, host, port and perhaps a prefix; neither a closing slash nor a version."""

    @classmethod
    def of(cls, base_url: str, has_key: bool, allow_http: bool) -> "Address":
        """Read a base URL; a closing `/v1`, which SDKs want, makes no difference.

        Raises:
            InputError: it is no URL of a server, holds a secret, or would carry the key in clear.
                The message does not repeat it.
        """
        try:
            url = httpx.URL(base_url)
        except (httpx.InvalidURL, TypeError, ValueError):
            raise InputError("base_url is no URL; give http(s)://host:port") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise InputError("base_url names no server; give http(s)://host:port")
        host = url.host.rstrip(".")  # a closing dot names the same host
        if host == GONE or host.endswith(f".{GONE}"):
            message = (
                "base_url is the vendor's hosted API, which ended in September 2026; leave it out "
                "to run the model here, or name a server of yours"
            )
            raise InputError(message)
        if url.userinfo or url.query or url.fragment:
            message = "base_url holds a user, a query or a fragment; give the key as api_key="
            raise InputError(message)
        if url.scheme == "http" and has_key and not (allow_http or _is_loopback(url.host)):
            message = (
                f"base_url: the key would travel in clear text to {url.host}. Use https, or say "
                "allow_http=True if the network between is yours"
            )
            raise InputError(message)
        path = url.path.rstrip("/")
        for version in VERSIONS:
            path = path.removesuffix(version)
        return cls(str(url.copy_with(path=path)).rstrip("/"))

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return httpx.URL(self.root).netloc.decode()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
