"""The scores that a server of an export must give: computed, compared, and written for the doctor.

The pairs are those that `zelo doctor` asks for. Where scores of the model were published, these
have to come out, or the export is not what its name says.
"""

from pathlib import Path
from typing import Any

from zelo.doctor.pairs import PAIRS, published
from zelo.doctor.tolerances import SCORE
from zelo.errors import UnsupportedModelError
from zelo.exporting.classifier import SCORE as HEAD
from zelo.exporting.classifier import write_json
from zelo.exporting.export import OnBytes, Statement
from zelo.exporting.scores import streamed_logits
from zelo.exporting.source import Source, stored_tensors

__all__ = ["PROBES", "write_probes"]

PROBES = "zelo-probes.json"
"""What `zelo doctor --known` reads."""


def write_probes(source: Source, folder: Path, on_bytes: OnBytes) -> tuple[Statement, ...]:
    """Score the doctor's pairs with the weights in a folder, or with the source's, and write them.

    Raises:
        UnsupportedModelError: published scores of this model are others.
    """
    prompts = [source.encoder.prompt_ids(pair.query, pair.document) for pair in PAIRS]
    written = {
        tensor.name: tensor
        for path in sorted(folder.glob("*.safetensors"))
        for tensor in stored_tensors(path)
    }
    of = "the exported weights"
    tensors, row = written, source.scaled_row
    if HEAD in written:
        (numbers,) = written[HEAD].numbers()
        row = numbers.float()
    else:
        of = "the weights that were exported"
        tensors = {tensor.name: tensor for tensor in source.tensors}
    scale = source.family.scale
    logits = [
        logit * scale
        for logit in streamed_logits(tensors, source.parsed_config, row, prompts, on_bytes)
    ]
    statements = [
        Statement(
            f"the scores in {PROBES} are those of {of}",
            True,
            "computed while exporting, in float32 by transformers' layers",
        ),
        *_published(source, logits),
    ]
    write_json(folder / PROBES, _as_json(source, of, prompts, logits))
    return tuple(statements)


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
