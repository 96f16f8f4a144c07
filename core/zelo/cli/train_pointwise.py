"""`zelo train pointwise`: from targets to a reranker."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zelo.cli import learning_options as learns
from zelo.cli.options import AsOneJson, Device
from zelo.cli.progress import stages
from zelo.cli.render import note
from zelo.cli.train_figures import UNTRAINED, show
from zelo.cli.train_options import ModelFolder, Texts
from zelo.training.learning.launched import is_first
from zelo.training.learning.settings import Learning

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

torchrun --nproc-per-node 8 -m zelo train pointwise targets.jsonl
--candidates candidates.jsonl --model zerank-2 --out my-reranker/
"""


@learns.with_learning
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
    *,
    learning: Learning,
    as_json: AsOneJson = False,
) -> None:
    """Train a reranker whose probabilities are the targets, by mean squared error.

    The folder loads with zelo.Reranker and with sentence_transformers.CrossEncoder. The weights
    are those of the step with the lowest loss on held-out queries.
    """
    from zelo.training.pointwise import pointwise as train

    with stages(shown=is_first()) as on_stage:
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
    if not is_first():
        return
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
