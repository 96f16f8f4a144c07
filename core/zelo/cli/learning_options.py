"""Options of the commands that train a model, with their help; most are those of `Learning`."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypedDict, cast, get_type_hints

import typer

from zelo.cli.options import MODEL, as_usage_error
from zelo.training.learning.settings import Learning, Precision

__all__ = ["TRAINING", "HeldOut", "MaxDocumentTokens", "StartModel", "with_learning"]

TRAINING, MEMORY = "Training", "Memory"  # headings in --help

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


class _Options(TypedDict):
    """Settings of `Learning`, each with its option, in the order of --help."""

    epochs: Annotated[
        float,
        typer.Option(
            metavar="X",
            help="How often everything is read; may be broken.",
            rich_help_panel=TRAINING,
        ),
    ]
    learning_rate: Annotated[
        float,
        typer.Option(
            metavar="X",
            help="At its top; it falls to 0 along half a cosine. With --lora-rank, ten times as "
            "much.",
            rich_help_panel=TRAINING,
        ),
    ]
    warmup: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Of the steps, in which the rate rises.", rich_help_panel=TRAINING
        ),
    ]
    weight_decay: Annotated[
        float, typer.Option(metavar="X", help="Of AdamW, on matrices.", rich_help_panel=TRAINING)
    ]
    embedding_rate: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Of the learning rate, for the embedding; 0 leaves it as it is.",
            rich_help_panel=TRAINING,
        ),
    ]
    keep_zeros: Annotated[
        bool,
        typer.Option(
            "--keep-zeros",
            help="Weights that are exactly 0 stay 0, as zelo-nano's shape needs.",
            rich_help_panel=TRAINING,
        ),
    ]
    lora_rank: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Learn low-rank updates only, which are merged when the model is saved. "
            "0: all weights.",
            rich_help_panel=TRAINING,
        ),
    ]
    lora_alpha: Annotated[
        float | None,
        typer.Option(metavar="X", help="Default: twice the rank.", rich_help_panel=TRAINING),
    ]
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="Of all that is left to chance.", rich_help_panel=TRAINING),
    ]
    tokens_per_step: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="About, between two updates; a shared prefix counts once.",
            rich_help_panel=TRAINING,
        ),
    ]
    tokens_per_pack: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="In memory at once. Default: 16,384 on an accelerator, 4,096 on a CPU.",
            rich_help_panel=MEMORY,
        ),
    ]
    precision: Annotated[
        Precision,
        typer.Option(help="To compute in.", rich_help_panel=MEMORY),
    ]
    gradient_checkpointing: Annotated[
        bool,
        typer.Option(
            "--gradient-checkpointing",
            help="Compute each layer twice, and hold one layer's activations only.",
            rich_help_panel=MEMORY,
        ),
    ]
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            metavar="STEPS",
            help="What a killed run loses at most. Default: a tenth of all.",
            rich_help_panel=MEMORY,
        ),
    ]


def with_learning(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options where it has a parameter `learning`, which gets them as one.

    Their defaults are those of `Learning`. A value without a meaning is a usage error.
    """
    own = inspect.signature(command)
    parameters = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in own.parameters.values()
        for one in (_options() if parameter.name == "learning" else [parameter])
    ]

    @functools.wraps(command)
    def whole(**given: Any) -> None:
        options = {name: given.pop(name) for name in _Options.__annotations__}
        with as_usage_error():
            learning = Learning(**cast(_Options, options))
        command(**given, learning=learning)

    shown: Any = whole  # what typer looks at
    shown.__signature__ = own.replace(parameters=parameters)
    shown.__annotations__ = {one.name: one.annotation for one in parameters}
    return whole


def _options() -> Iterator[inspect.Parameter]:
    defaults = {field.name: field.default for field in dataclasses.fields(Learning)}
    for name, annotation in get_type_hints(_Options, include_extras=True).items():
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation
        )
