"""`zelo bench fidelity`: what quantisation and shorter numbers change of a model's scores."""

from pathlib import Path
from typing import Annotated

import typer

from zelo.cli.options import (
    DEFAULT_MODEL,
    AsOneJson,
    Device,
    Family,
    Head,
    LocalFilesOnly,
    Model,
    as_usage_error,
)
from zelo.cli.progress import stages
from zelo.cli.render import json_line, note, out
from zelo.errors import MissingExtraError

__all__ = ["EPILOG", "fidelity"]

EPILOG = """
**Examples**

zelo bench fidelity

zelo bench fidelity scifact/ cosqa/ --queries 300 --against fp8,bfloat16

zelo bench fidelity mine/ --model zerank-2 --device cuda:0 --against fp8 --json
"""


def fidelity(
    collections: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[COLLECTION]...",
            help="BEIR folders or zbench files; without judgements there is no nDCG. Default: "
            "Python's own documentation, which is not judged.",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which qrels. Default: test.")
    ] = None,
    queries: Annotated[
        int, typer.Option(metavar="N", min=1, help="At most so many per collection, evenly spaced.")
    ] = 50,
    depth: Annotated[
        int, typer.Option(metavar="N", min=1, help="Candidates per query, BM25's best.")
    ] = 100,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="fp8, int8, int8-weights, int4-weights, bfloat16, float16. Default: all but the "
            "last that the device can run.",
        ),
    ] = None,
    model: Model = DEFAULT_MODEL,
    family: Family = None,
    head: Head = None,
    device: Device = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What a quantised model computes the rest in. Default: by hardware and model.",
        ),
    ] = None,
    local_files_only: LocalFilesOnly = False,
    as_json: AsOneJson = False,
) -> None:
    """Hold a model in fewer bits against itself in float32, on the same candidates.

    Shown are the largest and the median deviation of raw logits, how much of the order stays, the
    change of nDCG@10 where documents are judged, and the memory of the weights. A variant is safe
    for the model where nDCG@10 falls by at most 0.002 on the mean over the collections.
    """
    try:
        from zelo.bench.fidelity import (
            FidelitySettings,
            measure_fidelity,
            python_docs_collection,
        )
        from zelo.bench.fidelity.report import rendered
        from zelo.corpora import read_collection
    except ImportError as error:
        raise MissingExtraError("measuring fidelity", "bench,eval") from error
    settings = FidelitySettings(
        model=model,
        against=None if against is None else tuple(against.split(",")),
        family=family,
        head=head,
        device=device,
        dtype=dtype,
        queries=queries,
        depth=depth,
        local_files_only=local_files_only,
    )
    with stages() as on_stage:
        readings = [read_collection(path, split=split, unjudged=True) for path in collections or []]
        for problem in (problem for reading in readings for problem in reading.problems):
            note(str(problem))
        found = [reading.collection for reading in readings]
        with as_usage_error():
            report = measure_fidelity(
                found or [python_docs_collection(queries)], settings, on_stage
            )
    if as_json:
        json_line(report.as_json())
    else:
        out().print(rendered(report))
