"""`zelo train candidates`: the documents that are to be judged, for each query."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zelo.cli.evaluate_options import (
    SYSTEM,
    Corpus,
    Depth,
    EmbeddingModel,
    EmbeddingUrl,
    Language,
    Lenient,
    QrelsFile,
    Questions,
    RrfK,
    Sample,
    Split,
)
from zelo.cli.options import OUTPUT, as_usage_error
from zelo.cli.progress import stages
from zelo.cli.render import note
from zelo.errors import InputError

if TYPE_CHECKING:
    from zelo.corpora import Collection

__all__ = ["EPILOG", "candidates"]

EPILOG = """
**Examples**

zelo train candidates scifact/ --split train --out candidates.jsonl

zelo train candidates scifact/ --first-stage hybrid --embedding-model all-MiniLM-L6-v2/
--depth 100 --add-relevant --out candidates.jsonl

zelo train candidates --corpus docs.csv --questions queries.tsv --out candidates.jsonl
"""


def candidates(
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="For the candidates, in zbench's layout.", rich_help_panel=OUTPUT
        ),
    ],
    collection: Annotated[
        Path | None,
        typer.Argument(
            metavar="[COLLECTION]",
            help="A BEIR folder (corpus.jsonl, queries.jsonl, and qrels/ if there are any) or a "
            "zbench file (.jsonl).",
        ),
    ] = None,
    split: Split = None,
    corpus: Corpus = None,
    questions: Questions = None,
    qrels: QrelsFile = None,
    lenient: Lenient = False,
    queries: Sample = None,
    first_stage: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="bm25, dense, hybrid (both, fused), given (candidates of the collection) or "
            "run:FILE (TREC).",
            rich_help_panel=SYSTEM,
        ),
    ] = "bm25",
    depth: Depth = 100,
    add_relevant: Annotated[
        bool,
        typer.Option(
            "--add-relevant",
            help="Add the relevant documents that the first stage missed, behind its candidates. "
            "Training then sees more relevant documents, but also ones unlike any that the "
            "reranker will be given: nearly all that the first stage could not find are relevant, "
            "which can teach it to prefer documents that share nothing with the query.",
            rich_help_panel=SYSTEM,
        ),
    ] = False,
    language: Language = "english",
    embedding_model: EmbeddingModel = None,
    embedding_url: EmbeddingUrl = None,
    rrf_k: RrfK = 60,
) -> None:
    """Find the documents that are to be judged and rated for each query.

    Judgements are not needed. Where the collection has any, they stand in the file as scores, and
    of the queries those are taken that have one in the split.
    """
    from zelo.evaluation.specs import Making, make_systems, parse_spec
    from zelo.training.candidates import candidates as find
    from zelo.training.records import write_records

    making = Making(
        embedding_model=embedding_model,
        embedding_url=embedding_url,
        language=None if language == "none" else language,
        rrf_k=rrf_k,
    )
    with as_usage_error():
        spec = parse_spec(first_stage)
        if spec.reranker is not None:
            raise InputError(f"--first-stage {first_stage!r} names a reranker; leave it out")
        (system,) = make_systems([spec], making)
    with stages() as on_stage:
        on_stage(f"reading {(collection or corpus or out).name}")
        found = _read(collection, split, (corpus, questions, qrels), lenient=lenient)
        records = find(
            found,
            system.first_stage,
            depth=depth,
            queries=queries,
            add_relevant=add_relevant,
            progress=on_stage(f"{found.name}: {system.first_stage.name}"),
        )
        written = write_records(out, records)
    wanted = len(found.queries) if queries is None else min(queries, len(found.queries))
    note(f"candidates of {written:,} queries in {out}")
    if written < wanted:
        note(f"{wanted - written:,} further queries have none: nothing was found for them")


def _read(
    path: Path | None,
    split: str | None,
    files: tuple[Path | None, Path | None, Path | None],
    *,
    lenient: bool,
) -> "Collection":
    """Read the collection that was named, or the one in files of its own."""
    from zelo.corpora import read_collection, read_files

    corpus, queries, qrels = files
    if path is not None and not any(files):
        return read_collection(path, split=split, lenient=lenient, unjudged=True).collection
    if path is not None or corpus is None or queries is None:
        message = "name a collection, or give --corpus and --questions, with --qrels if there are"
        raise typer.BadParameter(message)
    return read_files(
        corpus.stem, corpus=corpus, queries=queries, qrels=qrels, lenient=lenient
    ).collection
