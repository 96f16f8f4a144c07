"""The face of zelo: a query and texts in, a ranking out.

Knows what callers want (order, cutoffs, scales); what computes the scores stands behind the
`Scorer` protocol, so a local and a remote model look the same from here.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self, TypeVar, get_args

from zelo.batch import BLANK, Batch, broken
from zelo.catalog import resolve
from zelo.errors import InputError, NonFiniteScoreError
from zelo.families import family_named
from zelo.local.options import InstanceKey, LongDocuments, ReadingOptions
from zelo.local.scorer import LocalScorer
from zelo.results import RankedDocument, Stats
from zelo.scoring import Progress, Scored, Scorer

__all__ = ["Reranker"]

Scale = Literal["probability", "logit"]
_Word = TypeVar("_Word", bound=str)


class Reranker:
    """Scores and ranks documents for a query with a cross-encoder.

    The model is loaded at its first use, or by `warmup()`; rerankers of one process with equal
    settings share one copy. All methods may be called from many threads and event loops at once,
    whose calls are merged into common forward passes. Pickling and copying carry the settings,
    never the weights.

    Args:
        model: an alias (`zerank-2`, `zerank-1`, `zerank-1-small`, `qwen3-reranker-0.6b`, `-4b`,
            `-8b`, `zelo-nano`), a hub id, or a local folder.
        family: the kind of model, for a folder that does not tell: `zerank-2`, `zerank-1` or
            `qwen3-reranker`.
        device: a torch device such as `cuda:0`; default, an accelerator if there is one.
        dtype: `float32`, `bfloat16` or `float16`; default, bfloat16 where the hardware has it.
        quantization: None; no other value is supported yet.
        revision: commit on the hub instead of the pinned one.
        local_files_only: never ask the network.
        cache_dir: where hub downloads are kept; default, the hub library's own cache.
        max_tokens: longest prompt, in tokens; default, 32,768 or what the model reads.
        max_document_tokens: longest document, in tokens; default, what the prompt leaves.
        long_documents: `truncate` reads a longer document's beginning, `chunk` reads it in
            overlapping windows of which the best counts.
        max_batch_tokens: tokens per forward pass; default, by device.
        strip: remove white space around query and documents, as the vendor's API did; default,
            texts are scored as they are given, as sentence-transformers does.

    Raises:
        UnknownModelError: `model` is no alias, folder or hub id.
        InputError: an option has no meaning.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "zerank-2",
        *,
        family: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        quantization: None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        cache_dir: str | os.PathLike[str] | None = None,
        max_tokens: int | None = None,
        max_document_tokens: int | None = None,
        long_documents: LongDocuments = "truncate",
        max_batch_tokens: int | None = None,
        strip: bool = False,
    ) -> None:
        self._scorer: Scorer = LocalScorer(
            InstanceKey(
                resolve(os.fspath(model), revision),
                family=family_named(family).name if family else None,
                device=None if device is None else str(device),
                dtype=None if dtype is None else str(dtype).removeprefix("torch."),
                quantization=_unsupported("quantization", quantization),
                max_batch_tokens=_positive("max_batch_tokens", max_batch_tokens),
                cache_dir=None if cache_dir is None else os.fspath(cache_dir),
                local_files_only=local_files_only,
            ),
            ReadingOptions(
                max_tokens=_positive("max_tokens", max_tokens),
                max_document_tokens=_positive("max_document_tokens", max_document_tokens),
                long_documents=_one_of("long_documents", long_documents, LongDocuments),
                strip=strip,
            ),
        )

    @classmethod
    def from_scorer(cls, scorer: Scorer) -> Self:
        """Rank with a scorer of your own; see `zelo.scoring.Scorer` for what it must do."""
        reranker = cls.__new__(cls)
        reranker._scorer = scorer
        return reranker

    def score(
        self,
        query: str,
        documents: Sequence[str],
        *,
        scale: Scale = "probability",
        instruction: str | None = None,
        progress: Progress | None = None,
    ) -> list[float]:
        """Return one score per document, in input order.

        `scale="probability"` is in [0, 1]; `scale="logit"` is the model's raw output, minus
        infinity for an empty document. `instruction` tells the model what counts as relevant.

        Raises:
            InputError: a text cannot be scored, or the family takes no instruction.
            ModelError: the model cannot be loaded.
            ScoringError: the model gave no finite score; nothing is returned in its place.
        """
        _one_of("scale", scale, Scale)
        batch = Batch.of([(query, documents)], instruction)
        return _numbers(self._run(batch, progress)[0], scale)

    async def ascore(
        self,
        query: str,
        documents: Sequence[str],
        *,
        scale: Scale = "probability",
        instruction: str | None = None,
        progress: Progress | None = None,
    ) -> list[float]:
        """`score` for event loops: never blocks, and a cancelled call costs nothing further."""
        _one_of("scale", scale, Scale)
        batch = Batch.of([(query, documents)], instruction)
        return _numbers((await self._arun(batch, progress))[0], scale)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None = None,
        min_score: float | None = None,
        instruction: str | None = None,
        progress: Progress | None = None,
    ) -> list[RankedDocument]:
        """Return the documents best first; ties keep input order, empty documents come last.

        `min_score` keeps probabilities at or above it, then `top_n` keeps that many. Raises as
        `score` does.
        """
        batch = Batch.of([(query, documents)], instruction)
        cut = _Cut(top_n, min_score)
        return cut.ranking(batch.documents[0], self._run(batch, progress)[0])

    async def arank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None = None,
        min_score: float | None = None,
        instruction: str | None = None,
        progress: Progress | None = None,
    ) -> list[RankedDocument]:
        """`rank` for event loops: never blocks, and a cancelled call costs nothing further."""
        batch = Batch.of([(query, documents)], instruction)
        cut = _Cut(top_n, min_score)
        return cut.ranking(batch.documents[0], (await self._arun(batch, progress))[0])

    def rank_many(
        self,
        queries: Iterable[tuple[str, Sequence[str]]],
        *,
        top_n: int | None = None,
        min_score: float | None = None,
        instruction: str | None = None,
        progress: Progress | None = None,
    ) -> list[list[RankedDocument]]:
        """Rank several (query, documents) at once, which shares forward passes among them."""
        batch = Batch.of(queries, instruction)
        cut = _Cut(top_n, min_score)
        found = self._run(batch, progress, many=True)
        return [cut.ranking(*of) for of in zip(batch.documents, found, strict=True)]

    def predict(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        scale: Scale = "probability",
        instruction: str | None = None,
        progress: Progress | None = None,
    ) -> list[float]:
        """Return one score per (query, document) pair, in order, as on the model cards.

        The card of zerank-2 shows raw outputs: those are `scale="logit"`. Pairs of one query
        share its computation, wherever they stand.
        """
        _one_of("scale", scale, Scale)
        places = _by_query(pairs)
        groups = [(query, [pairs[i][1] for i in at]) for query, at in places.items()]
        found = self._run(Batch.of(groups, instruction), progress, check=False)
        scored: list[Scored] = [BLANK] * len(pairs)
        for at, answers in zip(places.values(), found, strict=True):
            for place, answer in zip(at, answers, strict=True):
                scored[place] = answer
        _check_finite([scored], many=False)
        return _numbers(scored, scale)

    def warmup(self) -> None:
        """Load the model and run it once, so that the first call does not wait for that."""
        self._scorer.warmup()

    def stats(self) -> Stats:
        """Return what the loaded model has done so far, for all rerankers that share it."""
        return self._scorer.stats()

    def close(self) -> None:
        """Give the model back. Its memory is freed when no other reranker of the process uses it.

        Scoring after this raises ClosedError.
        """
        self._scorer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Reranker({self._scorer!r})"

    def _run(
        self,
        batch: Batch,
        progress: Progress | None,
        *,
        many: bool = False,
        check: bool = True,
    ) -> list[list[Scored]]:
        found = batch.restore(
            self._scorer.score(batch.requests, progress) if batch.requests else []
        )
        if check:
            _check_finite(found, many=many)
        return found

    async def _arun(self, batch: Batch, progress: Progress | None) -> list[list[Scored]]:
        answers = await self._scorer.ascore(batch.requests, progress) if batch.requests else []
        found = batch.restore(answers)
        _check_finite(found, many=False)
        return found


class _Cut:
    """Which part of a ranking is returned."""

    def __init__(self, top_n: int | None, min_score: float | None) -> None:
        self._top_n = _positive("top_n", top_n)
        self._min_score = 0.0 if min_score is None else min_score
        if not 0.0 <= self._min_score <= 1.0:
            message = f"min_score={min_score}; it is a probability, from 0 to 1"
            raise InputError(message)

    def ranking(self, documents: Sequence[str], scored: Sequence[Scored]) -> list[RankedDocument]:
        """Order by logit, which tells apart what the probability rounds to one number."""
        order = sorted(range(len(scored)), key=lambda i: -scored[i].logit)  # stable
        kept = [i for i in order if scored[i].probability >= self._min_score]
        return [
            RankedDocument(
                index=i,
                score=scored[i].probability,
                document=documents[i],
                logit=scored[i].logit,
                truncated=scored[i].truncated,
                empty=scored[i] is BLANK,
            )
            for i in kept[: self._top_n]
        ]


def _check_finite(found: Sequence[Sequence[Scored]], many: bool) -> None:
    for number, scored in enumerate(found):
        if at := broken(scored):
            raise NonFiniteScoreError(at, number if many else None)


def _numbers(scored: Sequence[Scored], scale: Scale) -> list[float]:
    return [s.logit if scale == "logit" else s.probability for s in scored]


def _by_query(pairs: Sequence[tuple[str, str]]) -> dict[str, list[int]]:
    """Return the places of each query's pairs, queries in order of first appearance."""
    places: dict[str, list[int]] = {}
    for i, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != 2:
            raise InputError(f"pairs[{i}] is not a (query, document) pair")
        places.setdefault(pair[0], []).append(i)
    return places


def _positive(name: str, value: int | None) -> int | None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise InputError(f"{name}={value!r}; it must be a whole number of at least 1, or None")
    return value


def _one_of(name: str, value: _Word, words: Any) -> _Word:
    if value not in get_args(words):
        raise InputError(f"{name}={value!r}; choose one of {', '.join(get_args(words))}")
    return value


def _unsupported(name: str, value: str | None) -> str | None:
    if value is not None:
        raise InputError(f"{name}={value!r} is not supported yet; leave it out")
    return value
