"""The options of `zelo evaluate`, with their help."""

from pathlib import Path
from typing import Annotated

import typer

from zelo.cli.options import MODEL, OUTPUT

__all__ = [
    "AllowHttp",
    "Baseline",
    "Collections",
    "Concurrency",
    "Corpus",
    "Depth",
    "Dialect",
    "EmbeddingModel",
    "EmbeddingUrl",
    "ExpGain",
    "Folder",
    "Keys",
    "Language",
    "Lenient",
    "MaxDocumentTokens",
    "Measures",
    "Prices",
    "QrelsFile",
    "Questions",
    "RelevantFrom",
    "RrfK",
    "Sample",
    "ScoreScale",
    "Seed",
    "Split",
    "SystemModel",
    "Systems",
]

COLLECTION, SYSTEM, SERVER, MEASURE = "Collection", "Systems", "Servers", "Measures"

Collections = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[COLLECTION]...",
        help="BEIR folders (corpus.jsonl, queries.jsonl, qrels/) or zbench files (.jsonl).",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Which qrels. Default: test.", rich_help_panel=COLLECTION),
]
Corpus = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A collection in files of its own: documents as JSONL, CSV or TSV,",
        rich_help_panel=COLLECTION,
    ),
]
Questions = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="its queries in the same formats,", rich_help_panel=COLLECTION
    ),
]
QrelsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="and its judgements: TREC qrels, or a table with a header.",
        rich_help_panel=COLLECTION,
    ),
]
Lenient = Annotated[
    bool,
    typer.Option(
        "--lenient",
        help="Go on in spite of problems in the files, by trec_eval's rules. Each is named.",
        rich_help_panel=COLLECTION,
    ),
]
ExpGain = Annotated[
    bool,
    typer.Option(
        "--exp-gain",
        help="Judgements are ratings: exp(rating) is the gain, as in zbench.",
        rich_help_panel=COLLECTION,
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="At most so many per collection, evenly spaced. Default: all.",
        rich_help_panel=COLLECTION,
    ),
]
Systems = Annotated[
    list[str] | None,
    typer.Option(
        "--system",
        "-s",
        metavar="SPEC",
        help="[NAME=]FIRST_STAGE[+RERANKER], repeatable. First stages: bm25, dense, hybrid, "
        "given (candidates of the collection), run:FILE (TREC; may hold {collection}). "
        "Rerankers: MODEL, MODEL@URL, listwise:MODEL@URL, random, oracle. "
        "Default: bm25, bm25+MODEL, bm25+random, bm25+oracle.",
        rich_help_panel=SYSTEM,
    ),
]
SystemModel = Annotated[
    str,
    typer.Option(
        "--model", "-m", metavar="NAME", help="MODEL of the default.", rich_help_panel=SYSTEM
    ),
]
Depth = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="Candidates per query, at most.", rich_help_panel=SYSTEM),
]
Language = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Of BM25's stemmer; none for no stemming.", rich_help_panel=SYSTEM
    ),
]
EmbeddingModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="For dense and hybrid: a sentence-transformers folder or an installed package "
        "that holds one; with --embedding-url, a model's name there.",
        rich_help_panel=SYSTEM,
    ),
]
EmbeddingUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="An OpenAI-compatible server; see --key.",
        rich_help_panel=SYSTEM,
    ),
]
RrfK = Annotated[
    int,
    typer.Option(
        metavar="K",
        min=0,
        help="Of hybrid's rank fusion, the sum of 1/(K + rank); the vendor used 0.",
        rich_help_panel=SYSTEM,
    ),
]
MaxDocumentTokens = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Read so much of each.", rich_help_panel=MODEL),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Queries under way at once. Default: 4.",
        rich_help_panel=SERVER,
    ),
]
Dialect = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What servers of rerankers speak, such as vllm, cohere-v2, voyage; auto finds out.",
        rich_help_panel=SERVER,
    ),
]
ScoreScale = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What their numbers are, where the dialect does not promise one: probability, logit "
        "or logit/5.",
        rich_help_panel=SERVER,
    ),
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="NAME=VARIABLE",
        help="The environment's variable that holds a server's key. NAME is a reranker, as tables "
        "call it, or dense for the embedding model. Default: ZELO_API_KEY for rerankers, and "
        "OPENAI_API_KEY for the others, which goes to OpenAI or OPENAI_BASE_URL alone.",
        rich_help_panel=SERVER,
    ),
]
AllowHttp = Annotated[
    bool,
    typer.Option(
        "--allow-http",
        help="Send a reranker's key in clear text to another host.",
        rich_help_panel=SERVER,
    ),
]
Measures = Annotated[
    str,
    typer.Option(
        metavar="NAME,...",
        help="Names of ir_measures, the main one first.",
        rich_help_panel=MEASURE,
    ),
]
RelevantFrom = Annotated[
    float | None,
    typer.Option(
        metavar="GRADE",
        min=0,
        help="Lowest grade of a relevant document; queries without one are left out. Default: any "
        "above 0.",
        rich_help_panel=MEASURE,
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="SYSTEM",
        help="Differences are tested against it. Default: the first.",
        rich_help_panel=MEASURE,
    ),
]
Prices = Annotated[
    list[str] | None,
    typer.Option(
        "--price",
        metavar="RERANKER=PRICE",
        help="In USD: 2.50/hour, 0.025/Mtok, 0.30+2.50/Mtok (read + written) or "
        "2.00/1000-searches.",
        rich_help_panel=MEASURE,
    ),
]
Seed = Annotated[
    int, typer.Option(metavar="N", help="Of random orders and tests.", rich_help_panel=MEASURE)
]
Folder = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="For tables, charts, TREC runs, results query by query, and the journal from "
        "which a run that was stopped goes on.",
        rich_help_panel=OUTPUT,
    ),
]
