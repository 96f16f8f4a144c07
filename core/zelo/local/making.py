"""From the face's arguments to a local scorer: checks, and the settings that make it again."""

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zelo._common.checks import (
    one_of,
    path_text,
    positive,
    text_or_none,
    true_or_false,
    yes_or_no,
)
from zelo.local.scorer import LocalScorer
from zelo.scoring.catalog import resolve
from zelo.scoring.families import family_named
from zelo.scoring.options import (
    Head,
    InstanceKey,
    LongDocuments,
    Quantization,
    ReadingOptions,
    device_name,
    dtype_name,
)
from zelo.scoring.retrying import Patience

if TYPE_CHECKING:
    import torch

__all__ = ["local_scorer"]


def local_scorer(
    model: str,
    patience: Patience,
    *,
    family: str | None,
    head: Head | None,
    device: "str | int | torch.device | None",
    dtype: "str | torch.dtype | None",
    quantization: Quantization | None,
    compile: bool | None,
    revision: str | None,
    local_files_only: bool,
    cache_dir: str | os.PathLike[str] | None,
    max_tokens: int | None,
    max_document_tokens: int | None,
    long_documents: LongDocuments,
    max_batch_tokens: int | None,
    strip: bool,
) -> tuple[LocalScorer, dict[str, Any]]:
    """Return a scorer that loads its model at its first use, and its settings as plain values."""
    if head is not None:
        one_of("head", head, Head)
    if quantization is not None:
        one_of("quantization", quantization, Quantization)
    key = InstanceKey(
        resolve(model, text_or_none("revision", revision)),
        family=family_named(family).name if family else None,
        head=head,
        device=device_name(device),
        dtype=dtype_name(dtype),
        quantization=quantization,
        compile=yes_or_no("compile", compile),
        max_batch_tokens=positive("max_batch_tokens", max_batch_tokens),
        cache_dir=None if cache_dir is None else path_text("cache_dir", cache_dir),
        local_files_only=true_or_false("local_files_only", local_files_only),
    )
    reading = ReadingOptions(
        max_tokens=positive("max_tokens", max_tokens),
        max_document_tokens=positive("max_document_tokens", max_document_tokens),
        long_documents=one_of("long_documents", long_documents, LongDocuments),
        strip=strip,
    )
    settings = {"model": model, "revision": revision} | asdict(key) | asdict(reading)
    del settings["source"]  # said by model and revision
    return LocalScorer(key, reading, patience), settings | asdict(patience)
