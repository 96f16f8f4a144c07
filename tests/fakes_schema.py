"""What a fake server's request must be, and how its results are written, whoever's server it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Body", "Endpoint", "Kind", "Refused", "Values", "best_first", "fits", "ranked"]

Values = Sequence[float]
Body = dict[str, Any]


class Refused(Exception):
    """A request that a server does not take."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Endpoint:
    """One kind of request, at one or more paths."""

    required: Mapping[str, Any]
    optional: Mapping[str, Any]
    answer: Callable[[Body, Values], Any]
    texts: str = "documents"
    """The member that holds the documents."""
    query: str = "query"
    limit: int = 10_000
    """The most documents."""
    ignored: tuple[str, ...] = ()
    """Members of other servers' requests that it passes over; a client's canary may have them."""

    def read(self, body: Any) -> tuple[str, list[str]]:
        """Return query and documents of a request's body, once all of it is as it must be."""
        if not isinstance(body, dict):
            raise Refused(422, "no object")
        known = {**self.required, **self.optional}
        for name in self.required.keys() - body.keys():
            raise Refused(422, f"{name} is missing")
        for name, value in body.items():
            if name in self.ignored:
                continue
            if name not in known:
                raise Refused(422, f"{name} is unknown")
            if not fits(value, known[name]):
                raise Refused(422, f"{name} has the wrong type")
        if not body[self.texts]:
            raise Refused(400, "no documents")
        if len(body[self.texts]) > self.limit:
            raise Refused(413, f"more than {self.limit} documents")
        return body[self.query], body[self.texts]


@dataclass(frozen=True)
class Kind:
    """One maker's server."""

    name: str
    """What `dialect=` takes."""
    paths: Mapping[str, Any]
    """Endpoints by path."""
    error: Callable[[int, str], Any]
    """The body of an error."""
    tells: Mapping[str, Any] = field(default_factory=dict)
    """What is answered to GET requests, by path."""
    scheme: str = "Bearer"
    """The scheme of its Authorization header."""
    most_bytes: int = 50_000_000
    """The largest body."""


def fits(value: Any, wanted: Any) -> bool:
    """Whether a value is of a type, of a list's type, or one of several."""
    if isinstance(wanted, tuple):
        return any(fits(value, one) for one in wanted)
    if isinstance(wanted, list):
        return isinstance(value, list) and all(fits(item, wanted[0]) for item in value)
    return value is None if wanted is None else type(value) is wanted


def best_first(values: Values) -> list[int]:
    """Return the indices in descending order of their values."""
    return sorted(range(len(values)), key=lambda i: -values[i])


def ranked(values: Values, **more: Callable[[int], Any]) -> list[dict[str, Any]]:
    """Return results in descending order, with further members that are made of the index."""
    return [
        {"index": i, "relevance_score": values[i]} | {name: of(i) for name, of in more.items()}
        for i in best_first(values)
    ]
