"""The scores that a server of an export must give: computed, compared, and written for the doctor.

The pairs are those that `zelo doctor` asks for. Where scores of the model were published, these
have to come out, or the export is not what its name says. What another program reads in the same
folder has to come out too, or zelo's own reading of it is what would be exported.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from zelo.doctor.pairs import PAIRS, published
from zelo.doctor.tolerances import READING, SCORE
from zelo.doctor.witness import Testimony, testify
from zelo.errors import ModelError, UnsupportedModelError
from zelo.export.classifier import SCORE as HEAD
from zelo.export.classifier import write_json
from zelo.export.export import OnBytes, Statement
from zelo.export.scores import streamed_logits
from zelo.export.source import Source
from zelo.local.loading.tensors import StoredTensor, stored_tensors

__all__ = ["PROBES", "unwitnessed", "write_probes"]

PROBES = "zelo-probes.json"
"""What `zelo doctor --known` reads."""


def write_probes(source: Source, folder: Path, on_bytes: OnBytes) -> tuple[Statement, ...]:
    """Score the doctor's pairs with the weights in a folder, or with the source's, and write them.

    Raises:
        UnsupportedModelError: published scores of this model are others, or those that another
            program reads in its folder.
    """
    # first, as it needs room for the whole model
    testimony = _testimony(source)
    prompts = [source.encoder.prompt_ids(pair.query, pair.document) for pair in PAIRS]
    written = {
        tensor.name: tensor
        for path in sorted(folder.glob("*.safetensors"))
        for tensor in stored_tensors(path)
    }
    own: dict[str, StoredTensor] = {tensor.name: tensor for tensor in source.tensors}

    def logits_of(tensors: Mapping[str, StoredTensor], row: torch.Tensor) -> list[float]:
        found = streamed_logits(tensors, source.parsed_config, row, prompts, on_bytes)
        return [logit * source.family.scale for logit in found]

    if HEAD in written:
        of = "the exported weights"
        (numbers,) = written[HEAD].numbers()
        logits = logits_of(written, numbers.float())
    else:
        of = "the weights that were exported"
        logits = logits_of(own, source.scaled_row)
    rounded = any(written[name].kind == "BF16" != own[name].kind for name in own if name in written)
    read = logits_of(own, source.scaled_row) if rounded else logits
    statements = [
        Statement(
            f"the scores in {PROBES} are those of {of}",
            True,
            "computed while exporting, in float32 by transformers' layers",
        ),
        _witnessed(source, testimony, read),
        *_published(source, logits),
    ]
    write_json(folder / PROBES, _as_json(source, of, prompts, logits))
    return tuple(statements)


def _testimony(source: Source) -> Testimony | str:
    """Return what another program reads in the source's folder, or why none could."""
    try:
        return testify(source.checkpoint, PAIRS, torch.device("cpu"))
    except ModelError as error:
        return str(error)


def _witnessed(source: Source, testimony: Testimony | str, logits: Sequence[float]) -> Statement:
    """Compare what zelo reads in the source's folder with what another program does."""
    if isinstance(testimony, str):
        return unwitnessed(testimony)
    off = max(abs(own - other) for own, other in zip(logits, testimony.logits, strict=True))
    if off > READING:
        message = (
            f"{testimony.witness} reads other scores in {source.folder} than zelo, by up to "
            f"{off:.2g} logits, so nothing was exported. zelo doctor --model {source.folder} says "
            "where to look"
        )
        raise UnsupportedModelError(message)
    how = f"both in float32, on the pairs of {PROBES}: within {max(off, 1e-6):.1g} logits"
    if testimony.remark:
        how += f"; {testimony.remark}"
    return Statement(f"{testimony.witness} reads the same in the model's folder", True, how)


def unwitnessed(how: str) -> Statement:
    """Say that nobody compared zelo's reading of the source."""
    return Statement("other programs read the same in the model's folder", False, how)


def _published(source: Source, logits: list[float]) -> list[Statement]:
    """Compare with what was published of the model, if anything was."""
    told = published(source.alias) if source.alias else None
    if told is None:
        return []
    known = [
        (source.family.probability(logit), source.family.probability(wanted))
        for logit, wanted in zip(logits, told.logits, strict=True)
        if wanted is not None
    ]
    off = max(abs(found - wanted) for found, wanted in known)
    if off > SCORE:
        message = (
            f"{source.name} is not {source.alias}: its scores are off from those published by up "
            f"to {off:.3f}. Give the folder by its path, if it is meant to be another model"
        )
        raise UnsupportedModelError(message)
    return [
        Statement(
            f"{len(known)} scores published for {source.alias} come out within {off:.4f}",
            True,
            told.source,
        )
    ]


def _as_json(
    source: Source, of: str, prompts: list[list[int]], logits: list[float]
) -> dict[str, Any]:
    return {
        "model": source.name,
        "family": source.family.name,
        "source": f"computed in float32 from {of}, while they were exported",
        "pairs": [
            {
                "query": pair.query,
                "document": pair.document,
                "tokens": len(ids),
                "logit": logit,
                "score": source.family.probability(logit),
            }
            for pair, ids, logit in zip(PAIRS, prompts, logits, strict=True)
        ],
    }
