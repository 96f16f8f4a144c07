"""The score row: the one vector whose product with the last hidden state is the logit.

A causal model has it in its vocabulary projection, which is never multiplied as a whole. A
converted classifier has it in `score.weight`, as it was or divided by the family's scale; which of
the two is told by comparing it with the row it was made from, in the same file. `zelo export` notes
it down beside a digest of the row, as an export has no projection. A row that was trained further
is taken for the score's only by who says so.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from zelo.errors import ModelFileError, UnsupportedModelError
from zelo.local.loading.checkpoint import SCORE_ROW, Checkpoint, CheckpointFiles
from zelo.scoring.families import FAMILIES, Family

__all__ = [
    "family_of_score_row",
    "read_score_row",
    "score_divisor",
    "score_row_note",
    "vocabulary_tensors",
]

EMBEDDINGS = ("model.embed_tokens.weight", "embed_tokens.weight")
PROJECTION = "lm_head.weight"
SCORE = "score.weight"
TRAINED = (
    "If it was trained further, score with it as it is: head='trained', with the family= whose "
    "prompt it was trained in."
)

# bfloat16 keeps 8 bits, so a rounded row differs from its source by at most 2**-8 of each value
TOLERANCE = 2**-7


def read_score_row(checkpoint: Checkpoint, positive: int, negative: int | None) -> torch.Tensor:
    """Return the row (hidden,), float32, with `last_hidden_state @ row` the family's raw logit.

    Raises:
        UnsupportedModelError: a converted folder's row is not the family's; it is random or
            was trained for something else.
        ModelFileError: the tensor it would be read from is missing.
    """
    if not checkpoint.converted:
        return _vocabulary_row(checkpoint.files, positive, negative)
    row = _converted_row(checkpoint.files)
    return row * score_divisor(checkpoint, positive, negative)


def score_divisor(checkpoint: Checkpoint, positive: int, negative: int | None) -> float:
    """Return how many times a converted folder's output the family's raw logit is.

    Raises:
        UnsupportedModelError, ModelFileError: as `read_score_row`.
    """
    if checkpoint.trained:
        return 1.0
    row = _converted_row(checkpoint.files)
    divisor = _noted_divisor(checkpoint, row)
    if divisor is None:
        source = _vocabulary_row(checkpoint.files, positive, negative)
        divisor = _divisor(row, source, checkpoint.family)
    if divisor is None:
        message = (
            f"score.weight in {checkpoint.files.folder} is not the answer row of family "
            f"{checkpoint.family.name!r}, whole or divided by its scale; a random or foreign "
            f"head would give meaningless scores. Convert the original checkpoint again, or name "
            f"the right family. {TRAINED}"
        )
        raise UnsupportedModelError(message)
    return divisor


def score_row_note(row: torch.Tensor, divisor: float) -> dict[str, Any]:
    """Return what an export notes of its `score.weight`, (hidden,) in float32, under `SCORE_ROW`.

    It is worth something for just this row: of one that was trained further it says nothing.
    """
    digest = hashlib.blake2b(row.contiguous().numpy().tobytes(), digest_size=16)
    return {"divisor": divisor, "digest": digest.hexdigest()}


def _noted_divisor(checkpoint: Checkpoint, row: torch.Tensor) -> float | None:
    config, family = checkpoint.files.config, checkpoint.family
    noted, exported = config.get(SCORE_ROW), FAMILIES.get(str(config.get("zelo_family")))
    divisor = noted.get("divisor") if isinstance(noted, dict) else None
    if not isinstance(divisor, int | float) or noted != score_row_note(row, divisor):
        return None
    if exported is None or family.answers != exported.answers:
        return None
    return float(divisor)


def family_of_score_row(files: CheckpointFiles) -> Family:
    """Tell a converted folder's family by the rows its head was made from.

    zerank's generations share one row, so the answer for them is the family `zerank`.
    """
    row = _converted_row(files)
    for name in ("zerank", "qwen3-reranker"):
        family = FAMILIES[name]
        ids = [files.token_id(a.text) for a in (family.positive, family.negative) if a]
        if None in ids:
            continue
        positive, negative = [*ids, None][:2]
        if _divisor(row, _vocabulary_row(files, positive or 0, negative), family) is not None:
            return family
    message = (
        f"score.weight in {files.folder} is neither zerank's 'Yes' row (whole or divided by 5) "
        "nor Qwen3-Reranker's 'yes' minus 'no'; it is random or was trained for something else. "
        + TRAINED
    )
    raise UnsupportedModelError(message)


def vocabulary_tensors(files: CheckpointFiles) -> tuple[str | None, str | None]:
    """Return the tensors that hold a folder's embedding and its vocabulary projection, by name.

    As transformers 5 reads a causal model (`PreTrainedModel.tie_weights`): `tie_word_embeddings`
    lets either stand for the other where that is missing. Where both are there, each counts, also
    if they differ. None is for one that is missing.
    """
    embeddings = [name for name in EMBEDDINGS if name in files.tensor_files]
    projections = [name for name in (PROJECTION,) if name in files.tensor_files]
    tied = files.config.get("tie_word_embeddings")
    embedding = [*embeddings, *(projections if tied else ())]
    # a converted folder may have lost its projection, and is only compared with what is left
    projection = [*projections, *(embeddings if tied or SCORE in files.tensor_files else ())]
    return next(iter(embedding), None), next(iter(projection), None)


def _divisor(row: torch.Tensor, source: torch.Tensor, family: Family) -> float | None:
    """Return what the row was divided by when the folder was converted, or None if foreign."""
    for divisor in sorted({1.0, family.scale}):
        if (row * divisor - source).norm() <= TOLERANCE * source.norm():
            return divisor
    return None


def _vocabulary_row(files: CheckpointFiles, positive: int, negative: int | None) -> torch.Tensor:
    """Return the positive token's output row, minus the negative one's, in float32."""
    name = vocabulary_tensors(files)[1]
    if name is None:
        lost = EMBEDDINGS[0] if files.config.get("tie_word_embeddings") else PROJECTION
        message = f"{files.folder} holds no tensor {lost}, from which the score is read"
        raise ModelFileError(message)
    row = _row(files, name, positive)
    return row if negative is None else row - _row(files, name, negative)


def _converted_row(files: CheckpointFiles) -> torch.Tensor:
    if SCORE not in files.tensor_files:
        message = (
            f"{files.folder} holds no {SCORE}; loaded as it is, its head would be random. Use "
            "the original checkpoint, or convert it again"
        )
        raise ModelFileError(message)
    with _opened(files.tensor_files[SCORE]) as tensors:
        weight: torch.Tensor = tensors.get_tensor(SCORE)
    hidden = files.config.get("hidden_size")
    if weight.dim() != 2 or weight.shape[0] != 1 or weight.shape[1] != hidden:
        message = (
            f"{SCORE} in {files.folder} has shape {tuple(weight.shape)}; a reranker has one "
            f"label, (1, {hidden})"
        )
        raise UnsupportedModelError(message)
    return _finite(files, SCORE, weight[0].float())


def _row(files: CheckpointFiles, name: str, index: int) -> torch.Tensor:
    """Read one row of a tensor, in float32, without reading the rest."""
    path = files.tensor_files[name]
    with _opened(path) as tensors:
        rows = tensors.get_slice(name)
        shape, hidden = tuple(rows.get_shape()), files.config.get("hidden_size")
        if len(shape) != 2 or shape[0] <= index or shape[1] != hidden:
            message = (
                f"{name} in {path} has shape {shape}, but token {index} of the tokenizer needs a "
                f"row there, {hidden} wide; fetch the whole model again"
            )
            raise ModelFileError(message)
        row: torch.Tensor = rows[index : index + 1][0]
    return _finite(files, name, row.float())


def _finite(files: CheckpointFiles, name: str, row: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(row).all():
        message = f"tensor {name} of {files.folder} holds NaN or infinity; the file is damaged"
        raise ModelFileError(message)
    return row


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as tensors:
            yield tensors
    except SafetensorError as error:
        message = f"{path} is not a sound safetensors file ({error}); fetch it again"
        raise ModelFileError(message) from error
