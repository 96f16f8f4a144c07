"""Scores the same candidates in float32 and in each variant, one loaded model at a time."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import torch

from zelo.bench.fidelity.agreement import Logits, Sample, compare
from zelo.bench.fidelity.results import FidelityReport, Variant, VariantResult
from zelo.corpora import Collection
from zelo.corpora.collection import evenly
from zelo.errors import InputError, ZeloError
from zelo.local.instances import model_folder
from zelo.local.loading.checkpoint import CheckpointFiles, read_checkpoint_files
from zelo.local.loading.device import DTYPES, choose_devices, choose_dtype
from zelo.local.quantization import check_quantization, weights_bytes
from zelo.reranker import Reranker
from zelo.retrieval.bm25 import BM25Stage
from zelo.scoring import Progress
from zelo.scoring.catalog import resolve
from zelo.scoring.options import Head, InstanceKey, Quantization

__all__ = ["FidelitySettings", "measure_fidelity"]

FLOAT32 = "float32"
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)
DEFAULT = (*QUANTIZATIONS, "bfloat16")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FidelitySettings:
    """What is measured."""

    model: str
    against: tuple[str, ...] | None = None
    """Quantisations and number types; None takes those that the device can run."""
    family: str | None = None
    head: Head | None = None
    device: str | None = None
    dtype: str | None = None
    """What is not quantised computes in it; by default as `zelo.Reranker` chooses."""
    queries: int | None = 50
    """Of each collection, at most; None takes all."""
    depth: int = 100
    """Candidates of a query, at most."""
    local_files_only: bool = False


def measure_fidelity(
    collections: Iterable[Collection],
    settings: FidelitySettings,
    on_stage: Callable[[str], Progress] | None = None,
) -> FidelityReport:
    """Score BM25's candidates in float32 and in each variant, and compare.

    Of a judged collection the queries with a relevant document are taken, else all, evenly spaced
    where there are more than asked for.

    Raises:
        InputError: a variant is unknown or cannot run here, or a collection cannot be searched.
        ModelError: the model cannot be loaded.
        ScoringError: a variant gave no finite score.
    """
    tell = on_stage or (lambda _: lambda done, total: None)
    device = choose_devices(settings.device)[0]
    exact, variants, refused = _variants(settings, device)
    asked = list(collections)
    _check_names([collection.name for collection in asked])
    samples = [_sample(collection, settings, tell) for collection in asked]
    reference = _logits(exact, samples, settings, tell)
    results = []
    for variant in variants:
        logits = _logits(variant, samples, settings, tell)
        agreements = map(compare, samples, reference, logits)
        results.append(VariantResult(variant, tuple(agreements)))
    return FidelityReport(
        settings.model, str(device), settings.depth, exact, tuple(results), refused
    )


def _variants(
    settings: FidelitySettings, device: torch.device
) -> tuple[Variant, list[Variant], dict[str, str]]:
    """Return float32, the variants, and those of the default that the device cannot run."""
    _check_asked(settings.against)
    files = read_checkpoint_files(_folder(settings), local_files_only=settings.local_files_only)
    variants: list[Variant] = []
    refused: dict[str, str] = {}
    for name in settings.against or DEFAULT:
        try:
            variants.append(_variant(name, settings.dtype, device, files))
        except InputError as error:
            if settings.against is not None:
                raise
            refused[name] = str(error)
    return _variant(FLOAT32, None, device, files), variants, refused


def _check_asked(against: Sequence[str] | None) -> None:
    known = (*QUANTIZATIONS, *(name for name in DTYPES if name != FLOAT32))
    for name in against or ():
        if name not in known:
            message = f"{name!r} cannot be held against float32; choose among {', '.join(known)}"
            raise InputError(message)
    if against is not None and (not against or len(set(against)) < len(against)):
        raise InputError("name at least one variant, and each of them once")


def _variant(
    name: str, wanted: str | None, device: torch.device, files: CheckpointFiles
) -> Variant:
    quantization = next((known for known in QUANTIZATIONS if known == name), None)
    dtype = choose_dtype(wanted if quantization else name, device, files)
    if quantization is not None:
        check_quantization(quantization, device, dtype)
    size = weights_bytes(files.config, dtype, quantization)
    return Variant(name, str(dtype).removeprefix("torch."), quantization, size)


def _folder(settings: FidelitySettings) -> Any:
    source = resolve(settings.model)
    return model_folder(InstanceKey(source, local_files_only=settings.local_files_only))


def _sample(
    collection: Collection, settings: FidelitySettings, tell: Callable[[str], Progress]
) -> Sample:
    asked = evenly(collection.answerable or collection.queries, settings.queries)
    kept = dataclasses.replace(
        collection,
        queries={query_id: collection.queries[query_id] for query_id in asked},
        qrels={query_id: collection.qrels[query_id] for query_id in asked},
    )
    run = BM25Stage().retrieve(kept, asked, settings.depth, tell(f"{collection.name}: bm25"))
    candidates = {q: tuple(one.doc_id for one in found) for q, found in run.items() if found}
    if not candidates:
        raise InputError(f"{collection.name}: no query shares a word with a document")
    return Sample(kept, candidates)


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise InputError("there is no collection to measure on")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two collections are named {name!r}; rename one")


def _logits(
    variant: Variant,
    samples: Sequence[Sample],
    settings: FidelitySettings,
    tell: Callable[[str], Progress],
) -> list[Logits]:
    """Score every sample's candidates with a model that is loaded for it and given back."""
    options: Mapping[str, Any] = {
        "family": settings.family,
        "head": settings.head,
        "device": settings.device,
        "dtype": variant.dtype,
        "quantization": variant.quantization,
        "local_files_only": settings.local_files_only,
    }
    with Reranker(settings.model, **options) as reranker:
        return [
            _scored(sample, reranker, variant, tell(f"{sample.collection.name}: {variant.name}"))
            for sample in samples
        ]


def _scored(
    sample: Sample, reranker: Reranker, variant: Variant, progress: Progress
) -> dict[str, Any]:
    collection, logits = sample.collection, {}
    for query_id, doc_ids in sample.candidates.items():
        texts = [collection.documents[doc_id] for doc_id in doc_ids]
        try:
            scores = reranker.score(collection.queries[query_id], texts, scale="logit")
        except ZeloError as error:
            error.add_note(f"{collection.name}, query {query_id!r}, in {variant.name}")
            raise
        logits[query_id] = np.array(scores)
        progress(len(logits), len(sample.candidates))
    return logits
