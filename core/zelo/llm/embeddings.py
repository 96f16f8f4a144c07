"""Texts to vectors by an embedding model: in bounded requests, each vector put to its text.

Knows nothing of similarity or search.
"""

import asyncio
import base64
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import BaseModel

from zelo._common.checks import check_text, in_order, positive
from zelo._common.fork import Lock
from zelo.errors import MissingExtraError, RemoteAnswerError
from zelo.llm.endpoint import MAX_RETRIES, Endpoint
from zelo.remote.gathering import all_of
from zelo.remote.splitting import split

try:
    import numpy as np
    from numpy.typing import NDArray
except ImportError as error:
    raise MissingExtraError("asking for embeddings", "eval") from error

__all__ = ["Embeddings"]

PATH = "/embeddings"
CONCURRENCY = 4
"""Requests of one call under way at once."""
TEXTS = 32
"""Per request: text-embeddings-inference takes no more by default; OpenAI takes 2,048."""
BYTES = 200_000
"""Per request: at one token a character, the worst case, OpenAI's limit is 300,000."""


class _Item(BaseModel, strict=True):
    embedding: str | list[float]
    index: int | None = None  # Google leaves out a zero


class _Answer(BaseModel):
    data: list[_Item]
    usage: Any = None


class Embeddings:
    """An embedding model on a server that speaks OpenAI's API; safe for threads and event loops.

    Args:
        model: its name there.
        base_url: see `Endpoint`, as for `api_key`, `allow_http`, `timeout` (of each request) and
            `max_retries`.
        dimensions: of the vectors, for models that can shorten them; None for the model's own.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        dimensions: int | None = None,
        allow_http: bool = False,
        timeout: float | None = 60.0,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        check_text("model", model)
        self.model = model
        self.dimensions = positive("dimensions", dimensions)
        self._endpoint = Endpoint(
            base_url,
            api_key=api_key,
            allow_http=allow_http,
            timeout=timeout,
            max_retries=max_retries,
        )
        self._input_tokens = 0
        self._lock = Lock()

    @property
    def identity(self) -> dict[str, Any]:
        """What its vectors depend on, as JSON, but for the texts; no key."""
        server = self._endpoint.url
        return {"model": self.model, "server": server, "dimensions": self.dimensions}

    @property
    def input_tokens(self) -> int:
        """Tokens of all texts so far, as far as the server tells."""
        return self._input_tokens

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of texts: float32, [texts, dimensions], not normalised.

        Raises:
            RemoteAnswerError: a vector is missing, doubled, not finite or of another length.
            ScoringError: the server gives none; see `Endpoint.post`. No text is repeated.
        """
        texts = _checked(texts)
        parts = _parts(texts)
        pool = ThreadPoolExecutor(max(1, min(CONCURRENCY, len(parts))))
        try:
            found = list(pool.map(lambda part: self._embed(texts[part]), parts))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a failed call waits for nobody
        return self._joined(found)

    async def aembed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`embed` for event loops."""
        texts = _checked(texts)
        parts = _parts(texts)
        found: list[NDArray[np.float32] | None] = [None] * len(parts)
        slots = asyncio.Semaphore(CONCURRENCY)

        async def fill(place: int) -> None:
            async with slots:
                part = texts[parts[place]]
                answer = await self._endpoint.apost(PATH, self._body(part), _Answer)
                found[place] = self._vectors(answer, len(part))

        await all_of(fill(place) for place in range(len(parts)))
        return self._joined([one for one in found if one is not None])

    def close(self) -> None:
        """Close the connections; calling it twice is harmless."""
        self._endpoint.close()

    def __repr__(self) -> str:
        return f"Embeddings({self.model!r}, {self._endpoint.url!r})"

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        answer = self._endpoint.post(PATH, self._body(texts), _Answer)
        return self._vectors(answer, len(texts))

    def _body(self, texts: Sequence[str]) -> dict[str, Any]:
        """Ask for base64, a quarter of the size; a server that knows only floats sends those."""
        body = {"model": self.model, "input": list(texts), "encoding_format": "base64"}
        return body if self.dimensions is None else body | {"dimensions": self.dimensions}

    def _vectors(self, answer: _Answer, count: int) -> NDArray[np.float32]:
        """Return an answer's vectors in the order of the texts, [count, dimensions]."""
        with self._lock:
            self._input_tokens += self._endpoint.tokens(answer.usage, "prompt_tokens")
        try:
            return np.stack([_vector(item) for item in _placed(answer.data, count)])
        except ValueError as error:
            raise self._unusable(error) from None

    def _joined(self, found: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        if not found:
            return np.empty((0, self.dimensions or 0), dtype=np.float32)
        lengths = {part.shape[1] for part in found}
        if self.dimensions is not None and lengths != {self.dimensions}:
            raise self._unusable(f"vectors are not of {self.dimensions} dimensions, as asked for")
        if len(lengths) > 1:
            raise self._unusable("vectors are of different lengths")
        return np.concatenate(found)

    def _unusable(self, problem: object) -> RemoteAnswerError:
        return RemoteAnswerError(f"{self._endpoint.url}{PATH}: {problem}")


def _checked(texts: Iterable[str]) -> list[str]:
    listed = list(in_order("texts", texts, "a list of texts"))
    for i, text in enumerate(listed):
        check_text(f"texts[{i}]", text)
    return listed


def _parts(texts: Sequence[str]) -> list[slice]:
    runs = split("", texts, TEXTS, BYTES) if texts else []
    return [slice(run.start, run.stop) for run in runs]


def _placed(items: Sequence[_Item], count: int) -> list[_Item]:
    """Put items to their texts' places; one without an index stands in its own."""
    if len(items) != count:
        raise ValueError(f"the answer has {len(items)} vectors for {count} texts")
    places = {i if one.index is None else one.index: one for i, one in enumerate(items)}
    if set(places) != set(range(count)):
        raise ValueError("the answer has no vector for a text, or several")
    return [places[i] for i in range(count)]


def _vector(item: _Item) -> NDArray[np.float32]:
    """Read a vector: base64 of little-endian float32, or numbers."""
    if isinstance(item.embedding, str):
        content = base64.b64decode(item.embedding, validate=True)  # binascii.Error is a ValueError
        vector = np.frombuffer(content, dtype="<f4").astype(np.float32)
    else:
        with np.errstate(over="ignore"):  # too large for float32 is not finite, and told so
            vector = np.asarray(item.embedding, dtype=np.float32)
    if not vector.size or not np.isfinite(vector).all():
        raise ValueError("a vector is empty, or holds NaN or infinity")
    return vector
