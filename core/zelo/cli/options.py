"""Options that several subcommands share, with their help."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer

from zelo.errors import InputError
from zelo.scoring import options as local

__all__ = [
    "DEFAULT_MODEL",
    "MODEL",
    "OUTPUT",
    "AsJson",
    "AsOneJson",
    "Compile",
    "Device",
    "DocumentLimit",
    "Dtype",
    "Family",
    "Head",
    "Instruction",
    "LocalFilesOnly",
    "LongDocuments",
    "LongDocumentsRead",
    "Model",
    "Quantization",
    "Revision",
    "Scale",
    "as_usage_error",
    "by_name",
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


def by_name(option: str, form: str, texts: Sequence[str] | None) -> dict[str, str]:
    """Return what an option that is repeated says of each name; a name may hold an equals sign.

    Args:
        option: such as `--price`.
        form: of each text, such as `NAME=PRICE`.
        texts: what was written; it is not repeated in messages, as it may be a key.

    Raises:
        InputError: a text has another form, or two are of one name.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.rpartition("=")
        if not (equals and name and value):
            raise InputError(f"{option}: write {form}, and the option anew for each name")
        if name in found:
            raise InputError(f"{option}: two of them are of one name; leave one out")
        found[name] = value
    return found


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
Head = Annotated[
    local.Head | None,
    typer.Option(
        metavar="NAME",
        help="trained: score with a classifier's own head as it is, which was trained further. "
        "Default: the family's, and any other is refused.",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Such as cpu or cuda:0; all: a copy on every accelerator. Default: one, if any.",
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
Quantization = Annotated[
    local.Quantization | None,
    typer.Option(
        metavar="NAME",
        help="fp8 or int8 for speed where the hardware has it, int8-weights or int4-weights for "
        "less memory. Scores change; zelo bench fidelity measures by how much.",
        rich_help_panel=MODEL,
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Compile the layers at the first use. Default: on CUDA.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
Instruction = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="What counts as relevant, for models that take it (zerank-2, qwen3-reranker).",
        callback=sound_text,
        rich_help_panel=MODEL,
    ),
]
DocumentLimit = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Longest document. Default: what the prompt leaves.",
        rich_help_panel=MODEL,
    ),
]
LongDocumentsRead = Annotated[
    LongDocuments,
    typer.Option(
        help="Read a longer document's beginning, or all of it in windows.", rich_help_panel=MODEL
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        metavar="COMMIT", help="On the hub, instead of the pinned one.", rich_help_panel=MODEL
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
