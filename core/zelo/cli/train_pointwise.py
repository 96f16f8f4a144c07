"""`zelo train pointwise`: from targets to a reranker."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zelo.cli import learning_options as learns
from zelo.cli.options import AsOneJson, Device, as_usage_error
from zelo.cli.progress import stages
from zelo.cli.render import note
from zelo.cli.train_figures import UNTRAINED, show
from zelo.cli.train_options import ModelFolder, Texts

if TYPE_CHECKING:  # brings torch
    from zelo.training.pointwise import Pointwise, Standing

__all__ = ["EPILOG", "pointwise"]

EPILOG = """
**Examples**

zelo train pointwise targets.jsonl --candidates candidates.jsonl --model Qwen/Qwen3-4B
--lora-rank 32 --learning-rate 2e-4 --gradient-checkpointing --max-document-tokens 2048
--out my-reranker/

zelo train pointwise targets.jsonl --candidates candidates.jsonl --model zelo-nano
--keep-zeros --embedding-rate 0 --learning-rate 3e-4 --tokens-per-step 8192
--max-document-tokens 256 --out my-nano/

accelerate launch --num-processes 8 -m zelo train pointwise targets.jsonl
--candidates candidates.jsonl --model zerank-2 --out my-reranker/
"""


def pointwise(
    targets: Annotated[
        Path,
        typer.Argument(
            metavar="TARGETS.jsonl",
            help="What zelo train calibrate writes.",
            exists=True,
            dir_okay=False,
        ),
    ],
    candidates: Texts,
    model: learns.StartModel,
    folder: ModelFolder,
    held_out: learns.HeldOut = 0.05,
    max_document_tokens: learns.MaxDocumentTokens = None,
    documents_per_query: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            help="Of each query, read in an epoch: the best, the worst, and others evenly from "
            "between, chosen anew for each epoch. Default: all.",
            rich_help_panel=learns.TRAINING,
        ),
    ] = None,
    device: Device = None,
    epochs: learns.Epochs = 1.0,
    learning_rate: learns.LearningRate = 2e-5,
    warmup: learns.Warmup = 0.1,
    weight_decay: learns.WeightDecay = 0.0,
    embedding_rate: learns.EmbeddingRate = 1.0,
    keep_zeros: learns.KeepZeros = False,
    lora_rank: learns.LoraRank = 0,
    lora_alpha: learns.LoraAlpha = None,
    seed: learns.Seed = 0,
    tokens_per_step: learns.TokensPerStep = 65_536,
    tokens_per_pack: learns.TokensPerPack = None,
    precision: learns.Precise = learns.Precision.BF16,
    gradient_checkpointing: learns.GradientCheckpointing = False,
    checkpoint_every: learns.CheckpointEvery = None,
    as_json: AsOneJson = False,
) -> None:
    """Train a reranker whose probabilities are the targets, by mean squared error.

    The folder loads with zelo.Reranker and with sentence_transformers.CrossEncoder. The weights
    are those of the step with the lowest loss on held-out queries.
    """
    from zelo.training.learning import Learning
    from zelo.training.pointwise import pointwise as train

    with as_usage_error():
        learning = Learning(
            epochs=epochs,
            learning_rate=learning_rate,
            warmup=warmup,
            weight_decay=weight_decay,
            embedding_rate=embedding_rate,
            keep_zeros=keep_zeros,
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
            seed=seed,
            tokens_per_step=tokens_per_step,
            tokens_per_pack=tokens_per_pack,
            precision=precision.value,
            gradient_checkpointing=gradient_checkpointing,
            checkpoint_every=checkpoint_every,
        )
    first = os.environ.get("RANK", "0") == "0"  # of the processes that train together
    with stages() if first else nullcontext(lambda _: None) as on_stage:
        found = train(
            targets,
            candidates,
            folder,
            model=model,
            learning=learning,
            held_out=held_out,
            max_document_tokens=max_document_tokens,
            documents_per_query=documents_per_query,
            device=device,
            on_progress=on_stage("learning"),
        )
    if first:
        show(_figures(found), as_json=as_json)
        if found.learned.best_step == 0:
            note(UNTRAINED)
        note(f"a reranker in {folder}, its learning curve in {folder / 'curve.png'}")


def _figures(found: "Pointwise") -> dict[str, int | float | str | None]:
    return {
        "queries": found.queries,
        "documents": found.documents,
        "held_out_queries": found.held_out_queries,
        "held_out_documents": found.held_out_documents,
        "blank_documents": found.blank,
        "truncated_documents": found.truncated,
        "steps": found.learned.steps,
        "best_step": found.learned.best_step,
        "tokens": found.learned.tokens,
        "seconds": found.learned.seconds,
        **_standing("before", found.before),
        **_standing("after", found.after),
    }


def _standing(when: str, standing: "Standing | None") -> dict[str, float | None]:
    loss, tau = (None, None) if standing is None else (standing.loss, standing.tau)
    return {f"held_out_loss_{when}": loss, f"kendall_tau_{when}": tau}
