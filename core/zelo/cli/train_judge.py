"""`zelo train judge`: which document of each pair is the better answer, by an ensemble."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from zelo.cli.options import MODEL, OUTPUT, AsOneJson, Device, Dtype, as_usage_error, by_name
from zelo.cli.progress import stages
from zelo.cli.render import json_line, note, out, symbols
from zelo.cli.train_judge_report import as_json, rendered
from zelo.cli.train_options import Texts
from zelo.errors import InputError

__all__ = ["EPILOG", "judge"]

ORACLE, BUDGET = "Oracle", "Budget"  # headings in --help
EPILOG = """
**Examples**

zelo train judge pairs.jsonl --candidates candidates.jsonl -j bm25
-j embedding:all-MiniLM-L6-v2/ -j oracle --noise 0.1 --out preferences.jsonl

zelo train judge pairs.jsonl --candidates candidates.jsonl -j mini=chat:gpt-4.1-mini
-j zerank-2@http://gpu:8000 --price mini=0.40+1.60/Mtok --price zerank-2@gpu:8000=2.50/hour
--budget-usd 20 --out preferences.jsonl
"""


def judge(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS.jsonl",
            help="What zelo train pairs writes.",
            exists=True,
            dir_okay=False,
        ),
    ],
    candidates: Texts,
    specs: Annotated[
        list[str],
        typer.Option(
            "--judge",
            "-j",
            metavar="SPEC",
            help="[NAME=]JUDGE, repeatable: chat:MODEL@URL (a server that speaks OpenAI's API, "
            "see --key; without @URL, OpenAI, with the key of OPENAI_API_KEY), embedding:MODEL "
            "(a folder or a package; MODEL@URL on a server), pairwise:FOLDER (what zelo train "
            "distill wrote), a reranker as MODEL or MODEL@URL, bm25, or oracle (the relevance "
            "judgements).",
        ),
    ],
    target: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="For the preferences, in the order of the pairs.",
            rich_help_panel=OUTPUT,
        ),
    ],
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where votes are kept as they come in. The same command goes on from there; "
            "other pairs pay for what is new. Default: OUT.journal.sqlite.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    scales: Annotated[
        list[str] | None,
        typer.Option(
            "--scale",
            metavar="NAME=SCALE",
            help="Of a judge that scores documents (embedding, reranker, bm25): it prefers by "
            "sigmoid(difference / SCALE). Default: 0.05 of a cosine, 1 of a reranker's log-odds "
            "or of a BM25 score. Another one asks nothing anew.",
        ),
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="NAME=VARIABLE",
            help="Of a judge on a server: the environment's variable that holds its key, such as "
            "qwen=QWEN_KEY. OPENAI_API_KEY goes to OpenAI or OPENAI_BASE_URL alone.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    noise: Annotated[
        float,
        typer.Option(
            metavar="P",
            min=0,
            max=1,
            help="Probability that its vote is turned around.",
            rich_help_panel=ORACLE,
        ),
    ] = 0.0,
    ties: Annotated[
        float,
        typer.Option(
            metavar="P",
            min=0,
            max=1,
            help="Probability that its vote is a tie.",
            rich_help_panel=ORACLE,
        ),
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(metavar="N", help="On which pairs it errs.", rich_help_panel=ORACLE)
    ] = 0,
    budget_usd: Annotated[
        float | None,
        typer.Option(
            metavar="USD",
            help="Stop before this much is spent, earlier runs of this journal included. It can "
            "be passed only by what questions under way cost beyond the dearest one before.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    budget_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="The same in tokens, read and written, on servers.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    prices: Annotated[
        list[str] | None,
        typer.Option(
            "--price",
            metavar="NAME=PRICE",
            help="Of a judge, in USD: 0.40/Mtok, 0.40+1.60/Mtok (read + written), 2.50/hour or "
            "2.00/1000-searches.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Questions under way at once on each server.",
            rich_help_panel=MODEL,
        ),
    ] = 8,
    language: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Of bm25's stemmer; none for no stemming.", rich_help_panel=MODEL
        ),
    ] = "english",
    device: Device = None,
    dtype: Dtype = None,
    for_programs: AsOneJson = False,
) -> None:
    """Judge which document of each pair is the better answer to its query.

    Every judge votes on every pair, and the preferences are the means of the votes. A chat model's
    answer without a clear score is asked for once more, and is then no vote.

    Give the same command again to go on after a stop.
    """
    from zelo._common.journal import Journal
    from zelo.evaluation.costs import Price
    from zelo.training.budget import Budget
    from zelo.training.judges.specs import Making, make_judges, parse_spec
    from zelo.training.judging import judge as judge_pairs
    from zelo.training.lookup import CandidateFile

    with as_usage_error():
        wanted = [parse_spec(text) for text in specs]
        variables = by_name("--key", "NAME=VARIABLE", keys)
        prices_by = by_name("--price", "NAME=PRICE", prices)
        scales_by = by_name("--scale", "NAME=SCALE", scales)
        known = {name: Price.parse(text) for name, text in prices_by.items()}
        wide = {name: _number(text) for name, text in scales_by.items()}
        budget = Budget(budget_usd, budget_tokens)
    with ExitStack() as stack:
        on_stage = stack.enter_context(stages())
        on_stage(f"reading {candidates.name}")
        making = Making(
            CandidateFile(candidates),
            noise=noise,
            ties=ties,
            seed=seed,
            language=None if language == "none" else language,
            concurrency=concurrency,
            scales=wide,
            keys=variables,
            reranker={"device": device, "dtype": dtype},
        )
        with as_usage_error():
            judges = make_judges(wanted, making)
        kept = journal or target.with_name(f"{target.name}.journal.sqlite")
        found = judge_pairs(
            pairs,
            making.candidates,
            judges,
            target,
            journal=stack.enter_context(Journal(kept)),
            budget=budget,
            prices=known,
            on_stage=on_stage,
        )
    if for_programs:
        json_line(as_json(found))
    else:
        screen = out()
        screen.print(rendered(found, symbols=symbols(screen)))
    note(f"preferences of {found.pairs:,} pairs in {target}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"--scale: {text!r} is no number") from error
