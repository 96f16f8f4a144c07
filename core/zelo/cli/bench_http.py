"""`zelo bench http`: a server under load, beside the in-process scorer."""

import asyncio
from typing import Annotated

import typer

from zelo.cli.options import DEFAULT_MODEL, as_usage_error
from zelo.cli.progress import steps
from zelo.cli.render import json_line, out
from zelo.errors import MissingExtraError, ScoringError

__all__ = ["EPILOG", "http"]

EPILOG = """
**Examples**

zelo bench http

zelo bench http --clients 8 --seconds 10 --json

ZELO_API_KEY=... zelo bench http --base-url http://127.0.0.1:8000
"""


def http(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="FOLDER",
            help="What is served, and scored here for comparison.",
        ),
    ] = DEFAULT_MODEL,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A running zelo serve. Default: one is started on the loopback."
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="ZELO_API_KEY", show_envvar=True, metavar="KEY", help="Its key."),
    ] = None,
    served_model_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What it calls the model. Default: its first."),
    ] = None,
    clients: Annotated[
        int, typer.Option(metavar="N", min=1, help="Each waits for its answer, then asks again.")
    ] = 64,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=0.001, help="Of each of the three measurements.")
    ] = 60.0,
    documents: Annotated[
        int, typer.Option(metavar="N", min=1, help="Of one request, about 200 tokens each.")
    ] = 50,
    dtype: Annotated[
        str, typer.Option(metavar="NAME", help="float32, bfloat16 or float16, on both sides.")
    ] = "float32",
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object to stdout.")
    ] = False,
) -> None:
    """Load a server with concurrent clients, compare every answer, and count what HTTP costs.

    The in-process scorer runs on the same cores before and after the server's turn. Then the server
    gets three times the requests that it can do: what it accepts stays in time, what it refuses is
    refused at once. Keep the machine idle meanwhile; with the defaults it takes about five minutes.
    """
    try:
        from zelo.bench.http_bench import HttpSettings, run_http_bench
        from zelo.bench.http_report import rendered
    except ImportError as error:
        raise MissingExtraError("load-testing a server", "bench,server") from error
    settings = HttpSettings(
        model=model,
        base_url=base_url,
        api_key=api_key,
        served_name=served_model_name,
        clients=clients,
        seconds=seconds,
        documents=documents,
        dtype=dtype,
    )
    with as_usage_error(), steps() as on_step:
        report = asyncio.run(run_http_bench(settings, on_step))
    if as_json:
        json_line(report.as_json())
    else:
        out().print(rendered(report))
    if not report.sound:
        raise ScoringError("requests were lost, refused too early, or got other scores")
