"""The pointwise stage: a reranker that answers each document with its calibrated target.

The loss is that of the zELO paper, the mean squared error of the answer, here with the scale that
zerank is read by: (sigmoid(logit / 5) - target)^2.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zelo.errors import InputError, MissingExtraError

try:
    import numpy as np
    import torch
    from torch import Tensor
except ImportError as error:
    raise MissingExtraError("training", "train") from error

from zelo._common.checks import file_path
from zelo.scoring.families import FAMILIES
from zelo.scoring.options import Limits
from zelo.training.learning import (
    Example,
    Learned,
    Learning,
    drop_checkpoint,
    learn,
    load_student,
    predict,
)
from zelo.training.learning.processes import Processes
from zelo.training.lookup import CandidateFile
from zelo.training.measures import kendall_tau
from zelo.training.model_card import write_card
from zelo.training.targets import Sampling, gather

__all__ = ["FAMILY", "Pointwise", "Standing", "pointwise", "squared_error"]

AnyPath = str | os.PathLike[str]
FAMILY = FAMILIES["zelo"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model does on the held-out queries."""

    loss: float
    """Mean squared error of its probabilities."""
    tau: float | None
    """Mean over queries of Kendall's tau between its order and that of the targets, ties counting
    0; None where no query has two documents."""


@dataclass(frozen=True, slots=True)
class Pointwise:
    """What pointwise training came to."""

    queries: int
    """Learned from."""
    documents: int
    """Learned from in all rounds together."""
    held_out_queries: int
    held_out_documents: int
    blank: int
    """Documents without text, left out."""
    truncated: int
    """Of the documents read, those not read to their end."""
    before: Standing | None
    """Before the first step; None where nothing is held out, as for `after`."""
    after: Standing | None
    learned: Learned


def squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    """Return (sigmoid(logit / 5) - target)^2 of each prompt (N,)."""
    return (torch.sigmoid(logits / FAMILY.scale) - targets).square()


def pointwise(
    targets: AnyPath,
    candidates: AnyPath,
    out: AnyPath,
    *,
    model: str,
    learning: Learning,
    held_out: float = 0.05,
    max_document_tokens: int | None = None,
    documents_per_query: int | None = None,
    device: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Pointwise:
    """Train a reranker on targets, and write it in the sentence-transformers form.

    A run that was stopped goes on with the same call. Its checkpoint lies in the folder, and is
    dropped when the model is there; so the same call then begins anew.

    Args:
        targets: file of `records.Targets`.
        candidates: file of `records.Candidates`, with the texts.
        out: folder of the model, its card and its learning curve; made if there is none.
        model: to start from: alias, folder or hub name.
        learning: how to train.
        held_out: share of the queries that are not learned from, but choose the best weights.
        max_document_tokens: of each document; None for what the model reads, 32,768 at most.
        documents_per_query: learned from in an epoch; each epoch has another choice, always with
            the best and the worst, the others evenly from between. None for all.
        device: None for an accelerator if there is one.
        on_progress: told of steps done and steps in all.

    Raises:
        InputError: a file or an option is not as it must be, the files do not fit together, or
            `out` holds the checkpoint of another run.
        ModelError: the model cannot be found, read or trusted.
        ScoringError: the loss became NaN or infinite.
    """
    folder = file_path("out", out)
    if os.path.isdir(model) and folder.resolve() == Path(model).resolve():
        raise InputError(f"{folder} is the model to start from; write to another folder")
    sampling = _sampling(documents_per_query, learning)
    student = load_student(model, learning, device=device)
    material = gather(
        targets,
        CandidateFile(candidates),
        student.encoder,
        Limits(student.max_tokens, max_document_tokens),
        held_out=held_out,
        sampling=sampling,
    )
    before = _standing(predict(student, material.held_out, learning), material.held_out)
    learned = learn(
        student,
        material.examples,
        squared_error,
        learning,
        folder,
        held_out=material.held_out,
        rounds=sampling.rounds,
        on_progress=on_progress,
    )
    found = Pointwise(
        queries=material.queries,
        documents=material.documents,
        held_out_queries=material.held_out_queries,
        held_out_documents=material.held_out_documents,
        blank=material.blank,
        truncated=material.truncated,
        before=before,
        after=_standing(predict(student, material.held_out, learning), material.held_out),
        learned=learned,
    )
    processes = Processes(student.device)
    if processes.main:
        student.save(folder, family=FAMILY.name)
        write_card(folder, found, model, learning, max_document_tokens, documents_per_query)
        drop_checkpoint(folder)
    processes.wait()
    return found


def _sampling(documents_per_query: int | None, learning: Learning) -> Sampling:
    if documents_per_query is None:
        return Sampling()
    if type(documents_per_query) is not int or documents_per_query < 2:
        message = (
            f"documents_per_query={documents_per_query!r}; it must be a whole number of at least "
            "2, the best and the worst, or None"
        )
        raise InputError(message)
    return Sampling(documents_per_query, math.ceil(learning.epochs), learning.seed)


def _standing(logits: Sequence[Sequence[float]], held_out: Sequence[Example]) -> Standing | None:
    if not held_out:
        return None
    flat = torch.tensor([value for one in logits for value in one])
    wanted = torch.tensor([value for example in held_out for value in example.targets])
    taus = [
        kendall_tau(np.array(found), np.array(example.targets))
        for found, example in zip(logits, held_out, strict=True)
        if len(example.targets) > 1
    ]
    loss = float(squared_error(flat, wanted).double().mean())
    return Standing(loss, sum(taus) / len(taus) if taus else None)
