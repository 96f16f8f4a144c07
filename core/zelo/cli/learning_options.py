"""Options of every command that trains a model, with their help; they are those of `Learning`."""

from enum import StrEnum
from typing import Annotated

import typer

from zelo.cli.options import MODEL

__all__ = [
    "CheckpointEvery",
    "EmbeddingRate",
    "Epochs",
    "GradientCheckpointing",
    "HeldOut",
    "KeepZeros",
    "LearningRate",
    "LoraAlpha",
    "LoraRank",
    "MaxDocumentTokens",
    "Precise",
    "Precision",
    "Seed",
    "StartModel",
    "TokensPerPack",
    "TokensPerStep",
    "Warmup",
    "WeightDecay",
]

TRAINING, MEMORY = "Training", "Memory"  # headings in --help


class Precision(StrEnum):
    """The number type that a model computes in."""

    BF16 = "bf16"
    FLOAT32 = "float32"


StartModel = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="What it starts from: a folder, a hub name or an alias, of a reranker or a Qwen3.",
        rich_help_panel=MODEL,
    ),
]
MaxDocumentTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Of a document; the rest is not read. Default: all that the model can.",
        rich_help_panel=MODEL,
    ),
]
HeldOut = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=1,
        help="Of the queries, to measure by and not to learn from.",
        rich_help_panel=TRAINING,
    ),
]
Epochs = Annotated[
    float,
    typer.Option(
        metavar="X", help="How often everything is read; may be broken.", rich_help_panel=TRAINING
    ),
]
LearningRate = Annotated[
    float,
    typer.Option(
        metavar="X",
        help="At its top; it falls to 0 along half a cosine. With --lora-rank, ten times as much.",
        rich_help_panel=TRAINING,
    ),
]
Warmup = Annotated[
    float,
    typer.Option(
        metavar="SHARE", help="Of the steps, in which the rate rises.", rich_help_panel=TRAINING
    ),
]
WeightDecay = Annotated[
    float, typer.Option(metavar="X", help="Of AdamW, on matrices.", rich_help_panel=TRAINING)
]
EmbeddingRate = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Of the learning rate, for the embedding; 0 leaves it as it is.",
        rich_help_panel=TRAINING,
    ),
]
KeepZeros = Annotated[
    bool,
    typer.Option(
        "--keep-zeros",
        help="Weights that are exactly 0 stay 0, as zelo-nano's shape needs.",
        rich_help_panel=TRAINING,
    ),
]
LoraRank = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Learn low-rank updates only, which are merged when the model is saved. "
        "0: all weights.",
        rich_help_panel=TRAINING,
    ),
]
LoraAlpha = Annotated[
    float | None,
    typer.Option(metavar="X", help="Default: twice the rank.", rich_help_panel=TRAINING),
]
Seed = Annotated[
    int,
    typer.Option(metavar="N", help="Of all that is left to chance.", rich_help_panel=TRAINING),
]
TokensPerStep = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="About, between two updates; a shared prefix counts once.",
        rich_help_panel=TRAINING,
    ),
]
TokensPerPack = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="In memory at once. Default: 16,384 on an accelerator, 4,096 on a CPU.",
        rich_help_panel=MEMORY,
    ),
]
Precise = Annotated[
    Precision,
    typer.Option("--precision", help="To compute in.", rich_help_panel=MEMORY),
]
GradientCheckpointing = Annotated[
    bool,
    typer.Option(
        "--gradient-checkpointing",
        help="Compute each layer twice, and hold one layer's activations only.",
        rich_help_panel=MEMORY,
    ),
]
CheckpointEvery = Annotated[
    int | None,
    typer.Option(
        metavar="STEPS",
        help="What a killed run loses at most. Default: a tenth of all.",
        rich_help_panel=MEMORY,
    ),
]
