"""`zelo train distill`: a small model that prefers as the ensemble of judges does."""

from zelo.cli import learning_options as learns
from zelo.cli.options import AsOneJson, Device
from zelo.cli.progress import stages
from zelo.cli.render import json_line, note, out, symbols
from zelo.cli.train_distill_report import as_json, rendered
from zelo.cli.train_options import JudgedPairs, ModelFolder, Texts
from zelo.training.learning.launched import is_first
from zelo.training.learning.settings import Learning

__all__ = ["EPILOG", "distill"]

EPILOG = """
**Examples**

zelo train distill preferences.jsonl --candidates candidates.jsonl --model Qwen/Qwen3-4B
--lora-rank 32 --learning-rate 2e-4 --max-document-tokens 1024 --out pairwise/

zelo train judge more-pairs.jsonl --candidates candidates.jsonl -j pairwise:pairwise/
--out more-preferences.jsonl
"""


@learns.with_learning
def distill(
    preferences: JudgedPairs,
    candidates: Texts,
    model: learns.StartModel,
    folder: ModelFolder,
    held_out: learns.HeldOut = 0.1,
    max_document_tokens: learns.MaxDocumentTokens = None,
    device: Device = None,
    *,
    learning: Learning,
    for_programs: AsOneJson = False,
) -> None:
    """Teach a model which document the judges prefer, so that it can judge in their place.

    It reads two documents in one prompt, and learns the mean of the judges' votes, each pair in
    both orders. It is tried on held-out queries, and so are the judges: each against the mean of
    the others, and the model against the same.
    """
    from zelo.training.pairwise.distill import distill as learn_preferences

    with stages(shown=is_first()) as on_stage:
        found = learn_preferences(
            preferences,
            candidates,
            folder,
            model=model,
            learning=learning,
            held_out=held_out,
            max_document_tokens=max_document_tokens,
            device=device,
            on_progress=on_stage("learning"),
        )
    if not is_first():
        return
    if for_programs:
        json_line(as_json(found))
    else:
        screen = out()
        screen.print(rendered(found, symbols=symbols(screen)))
    note(f"a pairwise model in {folder}; as a judge it is pairwise:{folder}")
