"""The face of zelo: a query and texts in, a ranking out.

Knows what callers want (order, cutoffs, scales); what computes the scores stands behind the
`Scorer` protocol, so a local and a remote model look the same from here.
"""

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsIndex, TypeVar

from zelo._common.checks import (
    at_least_zero,
    callable_or_none,
    in_order,
    instance_of,
    one_of,
    path_text,
    positive_seconds,
    refuse_given,
    text_or_none,
    true_or_false,
    with_methods,
)
from zelo.errors import InputError, NonFiniteScoreError
from zelo.local.making import local_scorer
from zelo.results import RankedDocument, Stats
from zelo.scoring import Progress, Scored, Scorer
from zelo.scoring.batch import BLANK, Batch, InvalidText, Texts, broken
from zelo.scoring.catalog import server_of_environment
from zelo.scoring.options import Head, LongDocuments, Quantization
from zelo.scoring.ranking import Cutoff
from zelo.scoring.retrying import Patience

if TYPE_CHECKING:
    import httpx
    import torch

    from zelo.wire.values import Scale as WireScale

__all__ = ["Reranker"]

Scale = Literal["probability", "logit"]
Second = TypeVar("Second")


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
        head: `trained` scores with a classifier's own `score.weight` as it is, in the prompt of
            the family: one that was trained further, and is no answer's row any more. Then
            `scale="logit"` is the classifier's own output, and the probability its sigmoid.
            Default, the family's row, and any other is refused, as it may be random.
        device: a torch device such as `cuda:0`, a number for that CUDA device, or `all` for a copy
            of the weights on each accelerator of this machine; default, one accelerator if there
            is any.
        dtype: `float32`, `bfloat16` or `float16`, or torch's own; default, bfloat16 where the
            hardware has it.
        quantization: of the layers' projections: `fp8` or `int8` for speed, where the hardware
            multiplies in them, `int8-weights` or `int4-weights` for less memory. Scores change; by
            how much, `zelo bench fidelity` measures. Default, none: weights are kept in `dtype`.
        compile: compile the layers, which takes a while at the first use; default, on CUDA.
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
        invalid_text: a lone surrogate in a text is an error with `raise`; with `replace` the model
            reads U+FFFD in its place, the log names the texts, and rankings hold them as given.
        base_url: a server to score on instead of this process, or several in order of preference;
            default, the environment's ZELO_BASE_URL or ZEROENTROPY_BASE_URL, unless `model` is a
            folder or ships in the package.
        api_key: the server's key; default, the environment's ZELO_API_KEY or ZEROENTROPY_API_KEY.
        dialect: what the server speaks, a name of `zelo.wire.DIALECTS`; `auto` finds out with at
            most one canary.
        score_scale: what the server's scores are, `probability`, `logit` or `logit/5`, where its
            dialect does not promise one.
        allow_http: send the key in clear text to another host.
        http2: speak HTTP/2 with servers that do; needs the package h2.
        http_client, async_http_client: clients of yours, with their proxies and certificates; you
            close them.
        fallback: a reranker that answers when nobody else does; its scores say so in `source`.
        timeout: seconds a call may take before it fails with ScoringTimeoutError, on each server
            that is asked; default, 60 for a server, and here as long as it takes. Loading the
            model does not count.
        max_retries: how often a call is made again after a failure that may pass, within `timeout`.

    Raises:
        UnknownModelError: `model` is no alias, folder or hub id.
        InputError: an option has no meaning.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "zerank-2",
        *,
        family: str | None = None,
        head: Head | None = None,
        device: "str | int | torch.device | None" = None,
        dtype: "str | torch.dtype | None" = None,
        quantization: Quantization | None = None,
        compile: bool | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        cache_dir: str | os.PathLike[str] | None = None,
        max_tokens: int | None = None,
        max_document_tokens: int | None = None,
        long_documents: LongDocuments = "truncate",
        max_batch_tokens: int | None = None,
        strip: bool = False,
        invalid_text: InvalidText = "raise",
        base_url: str | Sequence[str] | None = None,
        api_key: str | None = None,
        dialect: str = "auto",
        score_scale: "WireScale | None" = None,
        allow_http: bool = False,
        http2: bool = False,
        http_client: "httpx.Client | None" = None,
        async_http_client: "httpx.AsyncClient | None" = None,
        fallback: "Reranker | None" = None,
        timeout: float | None = None,
        max_retries: int = 2,
    ) -> None:
        name = path_text("model", model)
        one_of("invalid_text", invalid_text, InvalidText)
        patience = Patience(
            timeout=positive_seconds("timeout", timeout),
            max_retries=at_least_zero("max_retries", max_retries),
        )
        text_or_none("api_key", api_key)
        reading: Any = {
            "family": text_or_none("family", family),
            "max_document_tokens": max_document_tokens,
            "strip": true_or_false("strip", strip),
        }
        of_process: Any = {
            "head": head,
            "device": device,
            "dtype": dtype,
            "quantization": quantization,
            "compile": compile,
            "revision": revision,
            "local_files_only": local_files_only,
            "cache_dir": cache_dir,
            "max_tokens": max_tokens,
            "long_documents": long_documents,
            "max_batch_tokens": max_batch_tokens,
        }
        of_server: Any = {
            "dialect": dialect,
            "score_scale": score_scale,
            "allow_http": allow_http,
            "http2": http2,
            "http_client": http_client,
            "async_http_client": async_http_client,
        }
        self._scorer: Scorer
        server = server_of_environment(name) if base_url is None else base_url
        if server is None:
            refuse_given(of_server, {"dialect": "auto"}, "belongs to base_url=; give that too")
            self._scorer, self._settings = local_scorer(name, patience, **reading, **of_process)
        else:
            from zelo.remote.making import remote_scorer  # brings httpx and pydantic

            defaults = {"long_documents": "truncate"}
            refuse_given(of_process, defaults, "is the server's to decide; leave it out")
            made = remote_scorer(name, server, api_key, patience, **reading, **of_server)
            self._scorer, self._settings = made
        self._settings["invalid_text"] = invalid_text
        if fallback is not None:
            instance_of("fallback", fallback, Reranker)
            from zelo.remote.failover import FailoverScorer

            self._scorer = FailoverScorer([self._scorer, fallback._scorer])
            self._settings["fallback"] = fallback.settings

    @classmethod
    def from_scorer(cls, scorer: Scorer) -> Self:
        """Rank with a scorer of your own; see `zelo.scoring.Scorer` for what it must do.

        Raises:
            InputError: it cannot score.
        """
        with_methods("scorer", scorer, "score")
        reranker = cls.__new__(cls)
        reranker._scorer = scorer
        reranker._settings = {"model": type(scorer).__name__}
        return reranker

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that make this reranker again, as plain values.

        A fallback stands as its own settings; of a scorer of your own, just its class's name is
        told, as `model`.
        """
        return dict(self._settings)

    @property
    def commit(self) -> str | None:
        """The hub commit of the model, as far as it is known: pinned or given, or once loaded.

        None for a folder, a server, or a scorer of your own.
        """
        return getattr(self._scorer, "commit", None)

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
        one_of("scale", scale, Scale)
        batch = Batch.of(self._texts(), [(query, documents)], instruction)
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
        one_of("scale", scale, Scale)
        batch = Batch.of(self._texts(), [(query, documents)], instruction)
        return _numbers((await self._arun(batch, progress))[0], scale)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: SupportsIndex | None = None,
        min_score: float | None = None,
        instruction: str | None = None,
        progress: Progress | None = None,
    ) -> list[RankedDocument]:
        """Return the documents best first; ties keep input order, empty documents come last.

        `min_score` keeps probabilities at or above it, then `top_n` keeps that many. Raises as
        `score` does.
        """
        batch = Batch.of(self._texts(), [(query, documents)], instruction)
        cut = Cutoff(top_n, min_score)
        return cut.ranking(batch.documents[0], self._run(batch, progress)[0])

    async def arank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: SupportsIndex | None = None,
        min_score: float | None = None,
        instruction: str | None = None,
        progress: Progress | None = None,
    ) -> list[RankedDocument]:
        """`rank` for event loops: never blocks, and a cancelled call costs nothing further."""
        batch = Batch.of(self._texts(), [(query, documents)], instruction)
        cut = Cutoff(top_n, min_score)
        return cut.ranking(batch.documents[0], (await self._arun(batch, progress))[0])

    def rank_many(
        self,
        queries: Iterable[tuple[str, Sequence[str]]],
        *,
        top_n: SupportsIndex | None = None,
        min_score: float | None = None,
        instruction: str | None = None,
        progress: Progress | None = None,
    ) -> list[list[RankedDocument]]:
        """Rank several (query, documents) at once, which shares forward passes among them."""
        pairs = _pairs("queries", queries, "documents")
        batch = Batch.of(self._texts(), pairs, instruction, many=True)
        cut = Cutoff(top_n, min_score)
        found = self._run(batch, progress, many=True)
        return [cut.ranking(*of) for of in zip(batch.documents, found, strict=True)]

    def predict(
        self,
        pairs: Iterable[tuple[str, str] | list[str]],
        *,
        scale: Scale = "probability",
        instruction: str | None = None,
        progress: Progress | None = None,
    ) -> list[float]:
        """Return one score per (query, document) pair, in order, as on the model cards.

        The card of zerank-2 shows raw outputs: those are `scale="logit"`. Pairs of one query
        share its computation, wherever they stand.
        """
        one_of("scale", scale, Scale)
        return _numbers(self._scored(pairs, instruction, progress), scale)

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

    def _scored(
        self,
        pairs: Iterable[tuple[str, str] | list[str]],
        instruction: str | None,
        progress: Progress | None,
    ) -> list[Scored]:
        """Return all that `predict` knows of each pair."""
        texts = self._texts()
        places: dict[str, list[int]] = {}  # of each query's pairs, in order of first appearance
        documents = []
        for i, (query, document) in enumerate(_pairs("pairs", pairs, "document")):
            query = texts.query(f"the query of pairs[{i}]", query)
            places.setdefault(query, []).append(i)
            documents.append(texts.sound(f"the document of pairs[{i}]", document))
        groups = [(query, [documents[i] for i in at]) for query, at in places.items()]
        found = self._run(Batch.of(texts, groups, instruction), progress, check=False)
        scored: list[Scored] = [BLANK] * len(documents)
        for at, answers in zip(places.values(), found, strict=True):
            for place, answer in zip(at, answers, strict=True):
                scored[place] = answer
        _check_finite([scored], many=False)
        return scored

    def _texts(self) -> Texts:
        return Texts(self._settings.get("invalid_text", "raise"))

    def _run(
        self,
        batch: Batch,
        progress: Progress | None,
        *,
        many: bool = False,
        check: bool = True,
    ) -> list[list[Scored]]:
        callable_or_none("progress", progress)
        answers = self._scorer.score(batch.requests, progress) if batch.requests else []
        found = batch.restore(answers)
        if check:
            _check_finite(found, many=many)
        return found

    async def _arun(self, batch: Batch, progress: Progress | None) -> list[list[Scored]]:
        callable_or_none("progress", progress)
        answers = await self._scorer.ascore(batch.requests, progress) if batch.requests else []
        found = batch.restore(answers)
        _check_finite(found, many=False)
        return found


def _check_finite(found: Sequence[Sequence[Scored]], many: bool) -> None:
    for number, scored in enumerate(found):
        if at := broken(scored):
            raise NonFiniteScoreError(at, number if many else None)


def _numbers(scored: Sequence[Scored], scale: Scale) -> list[float]:
    return [s.logit if scale == "logit" else s.probability for s in scored]


def _pairs(name: str, values: Iterable[Any], second: str) -> list[tuple[Any, Any]]:
    """List pairs of a query and its document, or documents."""
    listed = in_order(
        name,
        values,
        f"a list of (query, {second}) pairs",
        of_mapping=f"list({name}.items())",
        of_table=f"zip({name}['query'], {name}['{second}'])",
    )
    found = []
    for i, pair in enumerate(listed):
        try:
            if isinstance(pair, str | Mapping | Set):
                raise TypeError
            query, other = pair
        except (TypeError, ValueError):
            raise InputError(f"{name}[{i}] is not a (query, {second}) pair") from None
        found.append((query, other))
    return found
