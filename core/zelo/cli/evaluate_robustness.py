"""`zelo evaluate robustness`: documents that want to climb, passages that long documents hide."""

from pathlib import Path
from typing import Annotated

import typer

from zelo.cli.options import (
    DEFAULT_MODEL,
    MODEL,
    OUTPUT,
    Compile,
    Device,
    Dtype,
    Family,
    Head,
    Model,
    Quantization,
    as_usage_error,
)
from zelo.cli.progress import stages
from zelo.cli.render import json_line, out, symbols
from zelo.errors import InputError, MissingExtraError

__all__ = ["EPILOG", "robustness"]

EPILOG = """
**Examples**

zelo evaluate robustness scifact/

zelo evaluate robustness scifact/ --model zerank-2 --queries 100 --lengths 4000,16000

zelo evaluate robustness scifact/ --model zerank-2 --base-url http://127.0.0.1:8000 --json
"""
SAMPLE = "Queries"  # heading in --help


def robustness(
    collection: Annotated[
        Path,
        typer.Argument(
            metavar="COLLECTION",
            help="A BEIR folder (corpus.jsonl, queries.jsonl, qrels/) or a zbench file (.jsonl).",
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which qrels. Default: test.", rich_help_panel=SAMPLE),
    ] = None,
    queries: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="At most so many, evenly spaced.", rich_help_panel=SAMPLE
        ),
    ] = 50,
    depth: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Candidates per query, from BM25.", rich_help_panel=SAMPLE
        ),
    ] = 100,
    lengths: Annotated[
        str,
        typer.Option(
            metavar="N,...",
            help="Of the long documents, in characters; an empty text leaves them out.",
            rich_help_panel=SAMPLE,
        ),
    ] = "2000,8000",
    seed: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Of the documents chosen, and of intervals.",
            rich_help_panel=SAMPLE,
        ),
    ] = 0,
    model: Model = DEFAULT_MODEL,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A server that has the model; its key is ZELO_API_KEY. Default: this process.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    family: Family = None,
    head: Head = None,
    device: Device = None,
    dtype: Dtype = None,
    quantization: Quantization = None,
    compile: Compile = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Write Markdown to stdout.", rich_help_panel=OUTPUT)
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write one JSON object to stdout, with every trial.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
) -> None:
    """How far does a document climb that wants to, and does a long document hide its passage?

    Forged control tokens, flattery, instructions and repeated queries are added to an irrelevant
    candidate of each query, beside as many neutral characters. A model of this process is asked
    with zelo's encoding and with the usual one, where text can become control tokens; a server only
    as it is. A relevant passage is put into long documents at five depths. With the defaults
    zelo-nano takes about five minutes on two cores, most of it for the longest documents.
    """
    try:
        from zelo.evaluation.robustness import robustness as study
        from zelo.evaluation.robustness.rendering import markdown, rendered
        from zelo.retrieval import BM25Stage
    except ImportError as error:
        raise MissingExtraError("evaluation", "eval") from error
    from zelo.corpora import read_collection
    from zelo.reranker import Reranker

    with as_usage_error():
        sizes = _numbers(lengths)
        if as_json and as_markdown:
            raise InputError("--json and --markdown exclude each other; give one of them")
        reranker = Reranker(
            model,
            base_url=base_url,
            family=family,
            head=head,
            device=device,
            dtype=dtype,
            quantization=quantization,
            compile=compile,
        )
    with reranker, stages() as on_stage:
        on_stage(f"reading {collection.name}")
        found = read_collection(collection, split=split).collection
        report = study(
            found,
            reranker,
            BM25Stage(),
            queries=queries,
            depth=depth,
            lengths=sizes,
            seed=seed,
            progress=on_stage(f"queries of {found.name}"),
        )
    if as_json:
        json_line(report.as_json())
    elif as_markdown:
        typer.echo(markdown(report), nl=False)
    else:
        screen = out()
        screen.print(rendered(report, symbols=symbols(screen)))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(",") if number.strip())
    except ValueError as error:
        message = f"--lengths {text!r}: give whole numbers with commas between, such as 2000,8000"
        raise InputError(message) from error
