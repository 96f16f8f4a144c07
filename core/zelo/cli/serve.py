"""`zelo serve`: the model behind HTTP, for every client that speaks a rerank dialect."""

import ipaddress
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

import zelo
from zelo._common.terminal import printable
from zelo.cli.options import (
    DEFAULT_MODEL,
    MODEL,
    Compile,
    Device,
    Dtype,
    Family,
    Head,
    LocalFilesOnly,
    Model,
    Quantization,
    as_usage_error,
)
from zelo.cli.render import note, out
from zelo.errors import MissingExtraError

__all__ = ["EPILOG", "serve"]

EPILOG = """
**Examples**

zelo serve

zelo serve --model zerank-2 --served-model-name zerank-2 --served-model-name rerank-v3.5

ZELO_API_KEYS=... zelo serve --model zerank-2 --host 0.0.0.0
"""
ADDRESS, ACCESS, LIMITS = "Address", "Access", "Limits"  # headings in --help


def serve(
    model: Model = DEFAULT_MODEL,
    served_model_name: Annotated[
        list[str] | None,
        typer.Option(
            "--served-model-name",
            metavar="NAME",
            help="What requests call the model; several times for several names. Default: its "
            "alias or hub id, or its folder's name.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    family: Family = None,
    head: Head = None,
    device: Device = None,
    dtype: Dtype = None,
    quantization: Quantization = None,
    compile: Compile = None,
    max_batch_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Tokens of one forward pass. Default: by device.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    local_files_only: LocalFilesOnly = False,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where to listen; 0.0.0.0 is every interface.",
            rich_help_panel=ADDRESS,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=65535, help="0 takes a free one.", rich_help_panel=ADDRESS
        ),
    ] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            help="A key that clients must send; several times for several keys. Others on this "
            "machine can read it in the list of processes: rather use ZELO_API_KEYS (with commas "
            "between keys) or a file.",
            rich_help_panel=ACCESS,
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Keys, one per line.", rich_help_panel=ACCESS, dir_okay=False
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin",
            metavar="ORIGIN",
            help="A web origin whose pages may use the server, such as https://example.org; "
            "several times for several. Default: none.",
            rich_help_panel=ACCESS,
        ),
    ] = None,
    max_documents: Annotated[
        int, typer.Option(metavar="N", min=1, help="Of one request.", rich_help_panel=LIMITS)
    ] = 1_000,
    max_bytes: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Of one request's body.", rich_help_panel=LIMITS),
    ] = 5_000_000,
    max_queued_tokens: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Of all requests under way, as estimated from their bytes; beyond them, requests "
            "are answered 429.",
            rich_help_panel=LIMITS,
        ),
    ] = 2_000_000,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.001,
            help="From a request to its answer; a request may ask for less with the header "
            "x-zelo-timeout.",
            rich_help_panel=LIMITS,
        ),
    ] = 60.0,
) -> None:
    """Serve a model over HTTP, to the clients of ZeroEntropy, Cohere, Jina, vLLM, TEI and zelo.

    Requests that come together share forward passes. What cannot be queued is answered 429 before
    anything of it is computed. On SIGTERM, accepted requests are finished before the server ends.
    Logs are JSON lines on stderr, and hold no texts and no keys.
    """
    try:
        from zelo.server import ApiKeys, Limits, ServedModel, create_app
        from zelo.server.answering import dialects_by_path
        from zelo.server.logs import write_logs_to
        from zelo.server.running import Server, listen
    except ImportError as error:
        raise MissingExtraError("serving", "server") from error
    from zelo.reranker import Reranker

    with as_usage_error():
        keys = ApiKeys.gathered(api_key or (), api_key_file)
        limits = Limits(
            max_bytes=max_bytes,
            max_documents=max_documents,
            max_queued_tokens=max_queued_tokens,
            timeout_s=timeout,
        )
        reranker = Reranker(
            model,
            family=family,
            head=head,
            device=device,
            dtype=dtype,
            quantization=quantization,
            compile=compile,
            max_batch_tokens=max_batch_tokens,
            local_files_only=local_files_only,
        )
        served = ServedModel(reranker, served_model_name or ())
        app = create_app([served], limits, keys, cors_origins=cors_origin or ())
    if model == DEFAULT_MODEL:
        note("serving zelo-nano, a small model for trying out; for quality, --model zerank-2")
    if not keys and not _is_loopback(host):
        note(OPEN.format(host=host))
    with as_usage_error():
        listening = listen(host, port)
    address = _address(listening.getsockname())
    paths = {path: [d.title for d in dialects] for path, dialects in dialects_by_path().items()}
    out().print(_opening(address, served.names, paths, bool(keys)), soft_wrap=True)
    sys.stdout.flush()
    write_logs_to(sys.stderr)
    Server(app, app.state.service).serve_on(listening)


OPEN = """
!!! WARNING: listening on {host} without an API key.
!!! Everybody who can reach this machine can use the model.
!!! Give --api-key, --api-key-file or ZELO_API_KEYS, or listen on 127.0.0.1.
"""
TRY = """curl {address}{path} \\
      -H 'Content-Type: application/json' \\{key}
      -d '{{"query": "how do I read a json file?",
           "documents": ["csv.reader(file)", "json.load(fp)"]}}'"""
KEY = """
      -H "Authorization: Bearer $ZELO_API_KEY" \\"""


def _opening(
    address: str, names: Sequence[str], paths: Mapping[str, Sequence[str]], with_key: bool
) -> str:
    """Return what a person needs to know to use the server."""
    width = max(map(len, paths))
    spoken = [f"{path:{width}}  as {', '.join(titles)}" for path, titles in paths.items()]
    key = "wanted: Authorization: Bearer KEY" if with_key else "none wanted"
    lines = [
        f"zelo {zelo.__version__} is loading {printable(names[0])}; {address}/ready tells when it "
        "can be asked",
        "",
        f"  page    {address}/",
        f"  models  {printable(', '.join(names))}",
        f"  key     {key}",
        "  paths   " + "\n          ".join(spoken),
        f"  also    {', '.join(ALSO)}",
        "",
        "  " + TRY.format(address=address, path=next(iter(paths)), key=KEY if with_key else ""),
        "",
    ]
    return "\n".join(lines)


ALSO = ("/info", "/v1/models", "/health", "/ready", "/metrics", "/openapi.json")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def _address(bound: tuple[object, ...]) -> str:
    host, port = str(bound[0]), bound[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
