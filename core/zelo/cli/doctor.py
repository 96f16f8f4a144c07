"""`zelo doctor`: is that endpoint really the model, and if not, what is wrong with it?"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from zelo.cli.options import MODEL, Device, Family, Head, as_usage_error
from zelo.cli.progress import steps
from zelo.cli.render import json_line, note, out, symbols
from zelo.errors import InputError, MissingExtraError
from zelo.scoring.catalog import server_of_environment

__all__ = ["EPILOG", "doctor"]

EPILOG = """
**Examples**

zelo doctor --base-url http://localhost:8000

zelo doctor --base-url https://gpu-box:8000 --model zerank-1 --reference ~/models/zerank-1

zelo doctor --base-url http://localhost:8000 --dialect vllm --score-scale logit --json

zelo doctor --model ./my-zerank

zelo doctor --base-url http://localhost:8000 --model mine --known export/zelo-probes.json
"""
SERVER, PROBES = "Server", "Probes"  # headings in --help
DEFAULT = "zerank-2"


def doctor(
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The server. Default: ZELO_BASE_URL, or the model in this process. Its key is "
            "read from ZELO_API_KEY.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help=f"What it claims to be: alias, hub id or folder. Default, of a server: {DEFAULT}.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    served_model_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the server calls the model. Default: as --model.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    dialect: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What the server speaks, such as vllm, llama.cpp, cohere-v2; auto finds out.",
            rich_help_panel=SERVER,
        ),
    ] = "auto",
    score_scale: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What its numbers ought to be: probability, logit or logit/5. Default: what its "
            "dialect promises, else probability.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="The model's weights, to compare with what each mistake would give. Default: the "
            "model's own folder if it is one, else the published scores.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    known: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="The scores that the right model gives, as zelo export writes them beside one; "
            "no weights are needed then.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    family: Family = None,
    head: Head = None,
    device: Device = None,
    longest_document: Annotated[
        int,
        typer.Option(
            metavar="WORDS", min=0, help="0 leaves long documents out.", rich_help_panel=PROBES
        ),
    ] = 8_000,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.001, help="Of each request.", rich_help_panel=PROBES),
    ] = 60.0,
    allow_http: Annotated[
        bool,
        typer.Option(
            "--allow-http",
            help="Send the key in clear text to another host.",
            rich_help_panel=SERVER,
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object to stdout.")
    ] = False,
) -> None:
    """Tell whether a rerank server really is the model it claims to be.

    Sends pairs with known scores, and others that contradict themselves if something is wrong:
    template, head, scale, order, truncation. Says that all is right, or which known mistake the
    answers match, and how to mend it. Weights at hand are read by sentence-transformers where that
    is installed, else by transformers alone: theirs are the right scores.

    Exit codes: 0 right, 1 wrong, 2 cannot tell.
    """
    from zelo.doctor import Examination, examine
    from zelo.doctor.rendering import rendered

    server = base_url or server_of_environment(model or DEFAULT)
    if server is None and model is None:
        raise typer.BadParameter("say what to examine: --base-url URL, or --model FOLDER")
    scale: Any = score_scale  # checked by examine
    with as_usage_error(), _in_options(), steps() as on_step:
        wanted = Examination(
            model=model or DEFAULT,
            base_url=server,
            served_model_name=served_model_name,
            family=family,
            head=head,
            dialect=dialect,
            score_scale=scale,
            reference=reference,
            known=known,
            device=device,
            allow_http=allow_http,
            timeout=timeout,
            longest=longest_document,
        )
        report = examine(wanted, on_step)
    if report.error is not None:
        report = replace(report, error=_as_options(report.error))
    if as_json:
        json_line(report.as_json())
    else:
        screen = out()
        screen.print(rendered(report, symbols(screen)))
    raise typer.Exit(report.exit_code)


OPTIONS = {
    "api_key=": "ZELO_API_KEY",
    "allow_http=True": "--allow-http",
    "base_url": "--base-url",
    "dialect=": "--dialect ",
    "family=": "--family ",
    "head=": "--head ",
    "score_scale=": "--score-scale ",
}
"""How arguments that the core's messages name are said on this command line."""


def _as_options(message: str) -> str:
    for argument, option in OPTIONS.items():
        message = message.replace(argument, option)
    return message


@contextmanager
def _in_options() -> Iterator[None]:
    """Let messages name options of the command line; a missing package tells nothing, so ends 2."""
    try:
        yield
    except InputError as error:
        raise InputError(_as_options(str(error))) from error
    except MissingExtraError as error:
        note(f"error: {error}")
        raise typer.Exit(2) from error
