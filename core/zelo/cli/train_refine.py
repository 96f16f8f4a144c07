"""`zelo train refine`: what judges are to look at again, as the trained reranker fails on it."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from zelo.cli.options import MODEL, OUTPUT, AsOneJson, Device, Dtype, Family
from zelo.cli.progress import stages
from zelo.cli.render import note
from zelo.cli.train_figures import show
from zelo.cli.train_options import CandidatesFile, Seed, ToPairs

__all__ = ["EPILOG", "refine"]

EPILOG = """
**Examples**

zelo train refine candidates.jsonl --targets targets.jsonl --preferences preferences.jsonl
--model trained/ --out pairs-refined.jsonl

zelo train judge pairs-refined.jsonl --candidates candidates.jsonl -j bm25
-j oracle --journal preferences.jsonl.journal.sqlite --out refined.jsonl

zelo train fit preferences.jsonl --add refined.jsonl --out ratings-refined.jsonl

**See also** zelo train run --help, which does all of this
"""


def refine(
    candidates: CandidatesFile,
    targets: Annotated[
        Path,
        typer.Option(
            metavar="TARGETS.jsonl",
            help="What the reranker learned: those of zelo train calibrate.",
            exists=True,
            dir_okay=False,
        ),
    ],
    preferences: Annotated[
        Path,
        typer.Option(
            metavar="PREFERENCES.jsonl",
            help="What was judged before, and is not asked again.",
            exists=True,
            dir_okay=False,
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="The trained reranker: a folder.",
            rich_help_panel=MODEL,
        ),
    ],
    to: ToPairs,
    threshold: Annotated[
        int,
        typer.Option(
            metavar="RANK", min=1, help="A query fails if its best document stands below this rank."
        ),
    ] = 10,
    seed: Seed = 0,
    family: Family = None,
    device: Device = None,
    dtype: Dtype = None,
    max_document_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Read so much of each document, as in training.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where rankings are kept as they are made. The same command goes on from there. "
            "Default: OUT.journal.sqlite.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: AsOneJson = False,
) -> None:
    """Choose pairs to judge from where the trained reranker fails, as in the paper's last round.

    Of each query the best document is the one with the highest grade, or without grades the one
    with the highest target. Where the reranker puts it below a rank, it is to be judged against the
    document right above it.
    """
    from zelo import Reranker
    from zelo._common.journal import Journal
    from zelo.training.refine import refine as find

    kept = journal or to.with_name(f"{to.name}.journal.sqlite")
    with ExitStack() as stack:
        on_stage = stack.enter_context(stages())
        reranker = Reranker(
            model,
            family=family,
            device=device,
            dtype=dtype,
            max_document_tokens=max_document_tokens,
        )
        found = find(
            candidates,
            targets,
            preferences,
            to,
            reranker=stack.enter_context(reranker),
            threshold=threshold,
            seed=seed,
            journal=stack.enter_context(Journal(kept)),
            on_progress=on_stage("ranking"),
        )
    show(found._asdict(), as_json=as_json)
    if not found.pairs:
        note("nothing is to be judged again; a lower --threshold finds more")
