"""Options that several subcommands share, with their help."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer

from zelo.errors import InputError

__all__ = [
    "DEFAULT_MODEL",
    "MODEL",
    "OUTPUT",
    "AsJson",
    "AsOneJson",
    "Device",
    "Dtype",
    "Family",
    "LocalFilesOnly",
    "LongDocuments",
    "Model",
    "Scale",
    "as_usage_error",
    "sound_text",
]

DEFAULT_MODEL = "zelo-nano"
MODEL, OUTPUT = "Model", "Result"  # headings in --help


class Scale(StrEnum):
    """Which number the table shows."""

    PROBABILITY = "probability"
    LOGIT = "logit"


class LongDocuments(StrEnum):
    """What happens to a document beyond the limit."""

    TRUNCATE = "truncate"
    CHUNK = "chunk"


def sound_text(value: str | None) -> str | None:
    """Refuse an argument whose bytes were not UTF-8: the model would read something else."""
    if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
        raise typer.BadParameter("it is not valid UTF-8")
    return value


@contextmanager
def as_usage_error() -> Iterator[None]:
    """Turn an InputError about an option into a usage error."""
    try:
        yield
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="Alias (zelo-nano, zerank-2, zerank-1, zerank-1-small, ...), hub id or folder.",
        rich_help_panel=MODEL,
    ),
]
Family = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Kind of model, for a folder that does not tell: zerank-2, zerank-1, qwen3-reranker.",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Such as cpu or cuda:0. Default: an accelerator if any.",
        rich_help_panel=MODEL,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="float32, bfloat16 or float16. Default: by hardware, but float32 for models as "
        "small as zelo-nano.",
        rich_help_panel=MODEL,
    ),
]
LocalFilesOnly = Annotated[
    bool,
    typer.Option(
        "--local-files-only", help="Never ask the network for a model.", rich_help_panel=MODEL
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="Write JSON Lines, one object per result, to stdout.", rich_help_panel=OUTPUT
    ),
]
AsOneJson = Annotated[
    bool,
    typer.Option(
        "--json", help="Write one JSON object to stdout, not tables.", rich_help_panel=OUTPUT
    ),
]
