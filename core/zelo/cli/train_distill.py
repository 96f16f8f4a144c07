"""`zelo train distill`: a small model that prefers as the ensemble of judges does."""

from zelo.cli import learning_options as learns
from zelo.cli.options import AsOneJson, Device, as_usage_error
from zelo.cli.progress import stages
from zelo.cli.render import json_line, note, out, symbols
from zelo.cli.train_distill_report import as_json, rendered
from zelo.cli.train_options import JudgedPairs, ModelFolder, Texts

__all__ = ["EPILOG", "distill"]

EPILOG = """
**Examples**

zelo train distill preferences.jsonl --candidates candidates.jsonl --model Qwen/Qwen3-4B
--lora-rank 32 --learning-rate 2e-4 --max-document-tokens 1024 --out pairwise/

zelo train judge more-pairs.jsonl --candidates candidates.jsonl -j pairwise:pairwise/
--out more-preferences.jsonl
"""


def distill(
    preferences: JudgedPairs,
    candidates: Texts,
    model: learns.StartModel,
    folder: ModelFolder,
    held_out: learns.HeldOut = 0.1,
    max_document_tokens: learns.MaxDocumentTokens = None,
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
    for_programs: AsOneJson = False,
) -> None:
    """Teach a model which document the judges prefer, so that it can judge in their place.

    It reads two documents in one prompt, and learns the mean of the judges' votes, each pair in
    both orders. It is tried on held-out queries, and so are the judges: each against the mean of
    the others, and the model against the same.
    """
    from zelo.training.learning import Learning
    from zelo.training.pairwise.distill import distill as learn_preferences

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
    with stages() as on_stage:
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
    if for_programs:
        json_line(as_json(found))
    else:
        screen = out()
        screen.print(rendered(found, symbols=symbols(screen)))
    note(f"a pairwise model in {folder}; as a judge it is pairwise:{folder}")
