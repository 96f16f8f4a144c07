"""A server on 127.0.0.1 that speaks the hub's API as far as huggingface_hub fetches models with it.

Revisions and tree listings, files with ETag and X-Repo-Commit, Range requests, large files
redirected to another host, moved repositories, gated and private ones, and faults on demand.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    host: str
    authorization: str | None
    range: str | None
    sent: int = 0
    """Bytes of the body that were sent."""


@dataclass
class Hub:
    """What the hub holds, how it misbehaves, and what it was asked."""

    repos: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    """Files by repository and commit."""
    branches: dict[str, dict[str, str]] = field(default_factory=dict)
    """Commits by repository and branch or tag."""
    moved: dict[str, str] = field(default_factory=dict)
    """New names of repositories by their old ones."""
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Status and error code of repositories that are not shown without the right token."""
    token: str | None = None
    """The token that opens refused repositories."""
    broken_off: dict[str, list[int]] = field(default_factory=dict)
    """Per file, after how many bytes of its body each of the next answers breaks off."""
    failing: Callable[[Request], int | None] = lambda request: None
    """Status with which a request is answered instead, or None."""
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    large: int = 10_000
    """Files from this size on are redirected to another host, as those in LFS are."""

    def reset(self) -> None:
        """Forget everything but the address."""
        fresh = Hub(url=self.url)
        vars(self).update(vars(fresh))

    def add(self, repo: str, files: dict[str, bytes], branch: str | None = "main") -> str:
        """Add a commit to a repository and return its id."""
        digest = hashlib.sha1(usedforsecurity=False)
        for name, content in sorted(files.items()):
            digest.update(f"{repo} {name} {len(content)}".encode() + content)
        commit = digest.hexdigest()
        self.repos.setdefault(repo, {})[commit] = files
        if branch:
            self.branches.setdefault(repo, {})[branch] = commit
        return commit

    def asked(self, method: str = "GET", part: str = "") -> list[Request]:
        """Return the requests with a method whose path holds a part."""
        return [r for r in self.requests if r.method == method and part in r.path]

    def find(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return the commit that a revision means, with its files."""
        commit = self.branches.get(repo, {}).get(revision, revision)
        files = self.repos[repo].get(commit)
        return None if files is None else (commit, files)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the requests are in hub.requests."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.request_ = Request(
            self.command,
            path,
            (self.headers["Host"] or "").partition(":")[0],
            self.headers["Authorization"],
            self.headers["Range"],
        )
        self.hub.requests.append(self.request_)
        status = self.hub.failing(self.request_)
        if status is not None:
            self._send(status, b'{"error": "on purpose"}')
            return
        parts = path.strip("/").split("/")
        if parts[0] == "cdn":
            self._file(self._blobs()[parts[1]], parts[1])
        elif parts[:2] == ["api", "models"]:
            self._repo("/".join(parts[2:4]), parts[4] if parts[4:] else "", parts[5:])
        elif parts[2:3] == ["resolve"]:
            self._repo("/".join(parts[:2]), "resolve", parts[3:])
        else:
            self._error(404, "EntryNotFound")

    def _blobs(self) -> dict[str, bytes]:
        commits = [files for repo in self.hub.repos.values() for files in repo.values()]
        return {_etag(content): content for files in commits for content in files.values()}

    def _repo(self, repo: str, what: str, rest: list[str]) -> None:
        hub = self.hub
        if repo in hub.moved:
            target = self.path.replace(repo, hub.moved[repo], 1)
            self._send(307, b"", {"Location": target})
            return
        opened = hub.token and self.request_.authorization == f"Bearer {hub.token}"
        if repo in hub.refused and not opened:
            self._error(*hub.refused[repo])
        elif repo not in hub.repos:
            self._error(404 if opened else 401, "RepoNotFound")
        elif (found := hub.find(repo, rest[0] if rest else "main")) is None:
            self._error(404, "RevisionNotFound")
        elif what in ("revision", ""):
            listed = [{"rfilename": name} for name in found[1]]
            self._json({"id": repo, "modelId": repo, "sha": found[0], "siblings": listed})
        elif what == "tree":
            self._json([_entry(name, content, hub.large) for name, content in found[1].items()])
        elif (name := "/".join(rest[1:])) in found[1]:
            self._resolve(found[0], found[1][name])
        else:
            self._error(404, "EntryNotFound", {"X-Repo-Commit": found[0]})

    def _resolve(self, commit: str, content: bytes) -> None:
        headers = {"X-Repo-Commit": commit}
        if len(content) < self.hub.large:
            self._file(content, _etag(content), headers)
            return
        location = self.hub.url.replace("127.0.0.1", "localhost") + f"/cdn/{_etag(content)}"
        linked = {"X-Linked-Etag": f'"{_etag(content)}"', "X-Linked-Size": str(len(content))}
        self._send(302, b"", headers | linked | {"Location": location})

    def _file(self, content: bytes, etag: str, headers: dict[str, str] | None = None) -> None:
        headers = (headers or {}) | {"ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        start, status = 0, 200
        if self.request_.range:
            start, status = int(self.request_.range.removeprefix("bytes=").partition("-")[0]), 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        breaks = self.hub.broken_off.get(etag, []) if self.command == "GET" else []
        self._send(status, content[start:], headers, breaks.pop(0) if breaks else None)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, b'{"error": "refused"}', {"X-Error-Code": code} | (headers or {}))

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        break_after: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if break_after is not None:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = body if break_after is None else body[:break_after]
        self.wfile.write(sent)
        self.request_.sent = len(sent)
        if break_after is not None:
            self.close_connection = True


def etag_of(content: bytes) -> str:
    """Return the name under which a file's content is served and cached."""
    return _etag(content)


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _entry(name: str, content: bytes, large: int) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": "file",
        "oid": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
        "size": len(content),
        "path": name,
    }
    if len(content) >= large:
        entry["lfs"] = {"oid": _etag(content), "size": len(content), "pointerSize": 134}
    return entry


@contextmanager
def serve() -> Iterator[Hub]:
    """Start a hub on a free port of 127.0.0.1, and stop it at the end."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
