"""Distilling: a small model learns to prefer as an ensemble of judges does, at a thousandth's cost.

The zELO paper (arXiv:2509.12541) trains it by binary cross-entropy on the ensemble's preferences,
and does not publish its prompt or settings; those are ours.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from zelo._common.atomic_write import writing
from zelo.errors import InputError
from zelo.local.loading.files import read_json
from zelo.scoring.families import sigmoid
from zelo.training.learning import (
    Learned,
    Learning,
    Student,
    drop_checkpoint,
    learn,
    load_student,
    predict,
)
from zelo.training.learning.processes import Processes
from zelo.training.lookup import CandidateFile
from zelo.training.pairwise.folder import is_pairwise, save_pairwise
from zelo.training.pairwise.material import Comparison, Counts, Material, both_orders, gather
from zelo.training.pairwise.prompt import PairEncoder, Reading
from zelo.training.pairwise.scoring import Asked
from zelo.training.pairwise.standing import Standings, standings

__all__ = ["Distilled", "distill"]

AnyPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Distilled:
    """What distilling gave."""

    counts: Counts
    learned: Learned
    standings: Standings | None
    """On held-out pairs; None where no query was held out."""


def distill(
    preferences: AnyPath,
    candidates: AnyPath,
    out: AnyPath,
    *,
    model: str,
    learning: Learning,
    held_out: float = 0.1,
    max_document_tokens: int | None = None,
    device: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Distilled:
    """Teach a model the ensemble's preferences, and write it for `PairwiseModelJudge`.

    Its sigmoid is to be the preference, by binary cross-entropy; a preference of 0.7 is learned as
    such. Half of the held-out queries choose the step whose weights are kept, the other half give
    the figures. The same call goes on where a killed one stopped; its checkpoint lies in the folder
    and is dropped when the model is there.

    Args:
        preferences: file of `records.Preferences`. Pairs without one are left out.
        candidates: file of `records.Candidates`, with the texts.
        out: folder for the model and its learning curve; made if there is none.
        model: what it starts from: what `zelo.Reranker` loads here, or a plain Qwen3.
        learning: see `Learning`.
        held_out: share of the queries, at least 4 of them; 0 for none, and no figures.
        max_document_tokens: the rest of a document is not read, neither here nor by the judge.
        device: None for an accelerator if there is one.
        on_progress: told of steps done and steps in all.

    Raises:
        InputError: a file, an option or `out` is not as it must be.
        ModelError: the model cannot be found, read or trusted.
        ScoringError: the loss became NaN or infinite.
        MissingExtraError: a package for training is not installed.
    """
    folder = Path(out)
    _check_free(folder)
    source = CandidateFile(candidates)
    student = load_student(model, learning, device=device)
    reading = Reading(student.max_tokens, max_document_tokens)
    encoder = PairEncoder(student.encoder, reading)
    found = gather(preferences, source, encoder, held_out=held_out, seed=learning.seed)
    choosing = [example for example, _ in both_orders(found.choosing, encoder)]
    learned = learn(
        student,
        found.examples,
        preference_loss,
        learning,
        folder,
        held_out=choosing,
        on_progress=on_progress,
    )
    tried = _tried(student, encoder, found, learning)
    processes = Processes(student.device)
    if processes.main:
        with writing(folder):
            save_pairwise(student, folder, reading)
        drop_checkpoint(folder)
    processes.wait()
    return Distilled(found.counts, learned, tried)


def preference_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each prompt (N,), of sigmoid(logit) against a preference."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _tried(
    student: Student, encoder: PairEncoder, found: Material, learning: Learning
) -> Standings | None:
    if not found.trying:
        return None
    asked = _ask(student, encoder, found.trying, learning)
    return standings(found.trying, asked, found.teachers)


def _ask(
    student: Student, encoder: PairEncoder, comparisons: Sequence[Comparison], learning: Learning
) -> list[Asked]:
    """Ask the student about every pair in both orders."""
    prompts = [*both_orders(comparisons, encoder)]
    answers = predict(student, [example for example, _ in prompts], learning)
    logits = [0.0] * (2 * len(comparisons))
    for (_, places), values in zip(prompts, answers, strict=True):
        for place, logit in zip(places, values, strict=True):
            logits[place] = logit
    return [
        Asked(sigmoid(kept), sigmoid(turned))
        for kept, turned in zip(logits[::2], logits[1::2], strict=True)
    ]


def _check_free(folder: Path) -> None:
    """Refuse a folder that holds another model, before anything is learned."""
    config = folder / "config.json"
    if config.exists() and not is_pairwise(read_json(config)):
        message = f"{folder} holds another model; name another folder, or an empty one"
        raise InputError(message)
