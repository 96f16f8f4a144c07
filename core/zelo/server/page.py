"""The page at `/`: one file with its style and script in it, allowed by their digests and no more.

The same file answers 401 where a key is wanted: it holds nothing of the server, and asks for one.
"""

import base64
import re
from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import Response

from zelo.server.refusal import Refusal

__all__ = ["page", "sign_in"]


def page() -> Response:
    """Return the page."""
    return Response(_html(), media_type="text/html; charset=utf-8", headers=_headers())


def sign_in(refusal: Refusal) -> Response:
    """Return the page for a browser that has no key yet, with the status of a refusal."""
    headers = _headers() | dict(refusal.headers)
    return Response(_html(), refusal.status, headers, media_type="text/html; charset=utf-8")


@cache
def _html() -> str:
    return (files("zelo.server") / "page.html").read_text(encoding="utf-8")


@cache
def _policy() -> str:
    """Return a policy by which nothing runs or is styled but what stands in the file."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digests('script')}",
            f"style-src {_digests('style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _digests(tag: str) -> str:
    contents = re.findall(f"<{tag}>(.*?)</{tag}>", _html(), re.DOTALL)
    found = [base64.b64encode(sha256(text.encode()).digest()).decode() for text in contents]
    return " ".join(f"'sha256-{digest}'" for digest in found)


def _headers() -> dict[str, str]:
    return {
        "Content-Security-Policy": _policy(),
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
