"""`zelo evaluate`: does reranking help on my documents, which model, and at what cost?"""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from zelo.cli.evaluate_compare import EPILOG as COMPARE_EXAMPLES
from zelo.cli.evaluate_compare import compare
from zelo.cli.evaluate_options import (
    AllowHttp,
    Baseline,
    Collections,
    Concurrency,
    Corpus,
    Depth,
    Dialect,
    EmbeddingModel,
    EmbeddingUrl,
    ExpGain,
    Folder,
    Keys,
    Language,
    Lenient,
    MaxDocumentTokens,
    Measures,
    Prices,
    QrelsFile,
    Questions,
    RelevantFrom,
    RrfK,
    Sample,
    ScoreScale,
    Seed,
    Split,
    SystemModel,
    Systems,
)
from zelo.cli.evaluate_robustness import EPILOG as ROBUSTNESS_EXAMPLES
from zelo.cli.evaluate_robustness import robustness
from zelo.cli.options import (
    DEFAULT_MODEL,
    AsOneJson,
    Compile,
    Device,
    Dtype,
    Family,
    Head,
    Instruction,
    Quantization,
    as_usage_error,
    by_name,
)
from zelo.cli.progress import stages
from zelo.cli.render import json_line, note, out, symbols
from zelo.errors import InputError

if TYPE_CHECKING:  # brings numpy
    from zelo.corpora import Collection

__all__ = ["evaluate_commands"]

PROBLEMS_TOLD = 20  # of each collection
COMMAS = re.compile(r",(?![^()]*\))")  # between measures, not between their parameters
DEFAULT_MEASURES = "nDCG@10,R@10,RR@10,AP,P@5,Success@5"
EPILOG = """
**Examples**

zelo evaluate scifact/ --queries 100

zelo evaluate scifact/ cosqa/ -s bm25 -s hybrid -s bm25+zerank-2 -s hybrid+zerank-2
--embedding-model all-MiniLM-L6-v2/ --out results/

zelo evaluate mine/ -s run:mine.trec -s run:mine.trec+zerank-2@http://gpu:8000
--price "zerank-2@gpu:8000=2.50/hour"

zelo evaluate --corpus docs.csv --questions queries.tsv --qrels qrels.txt -s bm25+zelo-nano

**See also** zelo evaluate compare --help, zelo evaluate robustness --help
"""


class _RunUnlessNamed(TyperGroup):
    """Takes what is no subcommand's name for a collection: the main job needs no name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the main command's name in front."""
        if not args or args[0] not in self.commands:
            args = ["run", *args]
        return super().parse_args(ctx, args)


evaluate_commands = typer.Typer(cls=_RunUnlessNamed, rich_markup_mode="markdown")
evaluate_commands.command(epilog=COMPARE_EXAMPLES)(compare)
evaluate_commands.command(epilog=ROBUSTNESS_EXAMPLES)(robustness)


@evaluate_commands.callback()
def evaluate() -> None:
    """Measure first stages and rerankers on collections with relevance judgements."""


@evaluate_commands.command(epilog=EPILOG)
def run(
    collections: Collections = None,
    split: Split = None,
    corpus: Corpus = None,
    questions: Questions = None,
    qrels: QrelsFile = None,
    lenient: Lenient = False,
    exp_gain: ExpGain = False,
    queries: Sample = None,
    systems: Systems = None,
    model: SystemModel = DEFAULT_MODEL,
    depth: Depth = 100,
    language: Language = "english",
    embedding_model: EmbeddingModel = None,
    embedding_url: EmbeddingUrl = None,
    rrf_k: RrfK = 60,
    instruction: Instruction = None,
    device: Device = None,
    dtype: Dtype = None,
    quantization: Quantization = None,
    compile: Compile = None,
    max_document_tokens: MaxDocumentTokens = None,
    family: Family = None,
    head: Head = None,
    dialect: Dialect = "auto",
    score_scale: ScoreScale = None,
    keys: Keys = None,
    allow_http: AllowHttp = False,
    concurrency: Concurrency = None,
    measures: Measures = DEFAULT_MEASURES,
    relevant_from: RelevantFrom = None,
    baseline: Baseline = None,
    prices: Prices = None,
    seed: Seed = 0,
    folder: Folder = Path("zelo-evaluation"),
    as_json: AsOneJson = False,
) -> None:
    """Does reranking help on my documents, which model, and at what cost?

    Every system ranks the same queries of the same collections: a first stage finds candidates, a
    reranker puts them in order. The tables show each measure with its significance against the
    baseline, the first stage's recall (what it missed, no reranker can rank), what each reranker
    took, and how far its probabilities can be trusted.

    Give the same command again to go on after a stop.
    """
    from zelo._common.journal import Journal
    from zelo.evaluation import evaluate as run_experiment  # brings numpy
    from zelo.evaluation import summarise
    from zelo.evaluation.costs import Price
    from zelo.evaluation.reporting import as_json as figures
    from zelo.evaluation.reporting import rendered, write_folder
    from zelo.evaluation.specs import Making, make_systems, parse_spec
    from zelo.evaluation.summary import check_options

    with as_usage_error():
        specs = [parse_spec(word) for word in systems or _default_systems(model)]
        prices_by = by_name("--price", "RERANKER=PRICE", prices)
        known = {name: Price.parse(text) for name, text in prices_by.items()}
        variables = by_name("--key", "NAME=VARIABLE", keys)
    making = Making(
        embedding_model=embedding_model,
        embedding_url=embedding_url,
        language=None if language == "none" else language,
        rrf_k=rrf_k,
        instruction=instruction,
        concurrency=concurrency,
        seed=seed,
        keys=variables,
        reranker={"family": family, "max_document_tokens": max_document_tokens},
        here={
            "head": head,
            "device": device,
            "dtype": dtype,
            "quantization": quantization,
            "compile": compile,
        },
        server={"dialect": dialect, "score_scale": score_scale, "allow_http": allow_http},
    )
    with ExitStack() as stack:
        on_stage = stack.enter_context(stages())
        with as_usage_error():
            made = make_systems(specs, making)
        reading = {"lenient": lenient, "gain": "exp" if exp_gain else "linear"}
        found = _read(collections or [], split, (corpus, questions, qrels), reading)
        wishes: dict[str, Any] = {
            "measures": COMMAS.split(measures),
            "baseline": baseline,
            "prices": known,
            "relevant_from": relevant_from,
        }
        with as_usage_error():
            check_options(found, made, **wishes)
        journal = stack.enter_context(Journal(folder / "journal.sqlite"))
        evaluation = run_experiment(
            found,
            made,
            depth=depth,
            queries=queries,
            seed=seed,
            journal=journal,
            on_stage=on_stage,
        )
        on_stage("significance")
        summary = summarise(evaluation, **wishes)
        on_stage("tables and charts")
        written = write_folder(evaluation, summary, folder)
    if as_json:
        json_line(figures(summary))
    else:
        screen = out()
        screen.print(rendered(summary, symbols=symbols(screen)))
    note(f"{len(written)} files in {folder}, tables and charts among them")


def _default_systems(model: str) -> list[str]:
    return ["bm25", f"bm25+{model}", "bm25+random", "bm25+oracle"]


def _read(
    paths: list[Path],
    split: str | None,
    files: tuple[Path | None, Path | None, Path | None],
    reading: dict[str, Any],
) -> "list[Collection]":
    """Read the collections that were named, and tell what was not as it should be in them."""
    from zelo.corpora import read_collection, read_files

    found = [read_collection(path, split=split, **reading) for path in paths]
    corpus, queries, qrels = files
    if corpus and queries and qrels:
        found.append(
            read_files(corpus.stem, corpus=corpus, queries=queries, qrels=qrels, **reading)
        )
    elif any(files):
        raise InputError("--corpus, --questions and --qrels make one collection: give all three")
    elif not found:
        raise InputError("there is no collection; name a folder, or give --corpus and the others")
    for collection, problems in found:
        for problem in problems[:PROBLEMS_TOLD]:
            note(f"{problem.path}, line {problem.line}: {problem.reason}")
        if len(problems) > PROBLEMS_TOLD:
            note(f"{collection.name}: {len(problems) - PROBLEMS_TOLD} further problems like these")
    return [collection for collection, _ in found]
