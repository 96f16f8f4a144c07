"""`zelo train pairs`: which documents of a query are to be compared."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zelo.cli.options import OUTPUT
from zelo.cli.progress import steps
from zelo.cli.train_figures import counted, show

if TYPE_CHECKING:
    from zelo.training.pairs import Shape
    from zelo.training.records import Pairs

__all__ = ["EPILOG", "pairs"]

EPILOG = """
**Examples**

zelo train pairs candidates.jsonl --out pairs.jsonl

zelo train pairs candidates.jsonl --out pairs.jsonl --cycles 2

**See also** zelo train across --help, for pairs of documents of different queries
"""


class Method(StrEnum):
    """How pairs are chosen."""

    CYCLES = "cycles"
    RANDOM = "random"
    FULL = "full"


def pairs(
    candidates: Annotated[
        Path,
        typer.Argument(
            metavar="CANDIDATES.jsonl", help="Queries and documents.", exists=True, dir_okay=False
        ),
    ],
    to: Annotated[
        Path,
        typer.Option("--out", metavar="PAIRS.jsonl", help="To write.", rich_help_panel=OUTPUT),
    ],
    method: Annotated[
        Method,
        typer.Option(
            help="Random cycles through a query's documents; as many random pairs; or every pair."
        ),
    ] = Method.CYCLES,
    cycles: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="So many pairs for each document; it meets twice as many."
        ),
    ] = 4,
    seed: Annotated[int, typer.Option(metavar="N", help="Of chance.")] = 0,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Write the figures as one JSON object.", rich_help_panel=OUTPUT
        ),
    ] = False,
) -> None:
    """Choose the pairs of documents that are to be judged, query by query.

    Four cycles through 100 documents are 400 of 4,950 pairs. They connect all documents, and each
    meets 8 others. More cycles add to what fewer choose. A query with a single document has no pair
    and is left out.
    """
    from zelo.training.pairs import Shape, sample
    from zelo.training.records import Candidates, read_records, write_records

    shape = Shape()
    left_out = 0

    def chosen(records: Iterable[Candidates]) -> "Iterator[Pairs]":
        nonlocal left_out
        for record in records:
            doc_ids = [document.id for document in record.documents]
            if len(doc_ids) < 2:
                left_out += 1
                continue
            found = sample(record.query.id, doc_ids, method=method.value, cycles=cycles, seed=seed)
            shape.add(found, doc_ids)
            yield found

    with steps() as tell:
        records = counted(read_records(candidates, Candidates), tell, "queries")
        write_records(to, chosen(records))
    show({**_figures(shape), "queries_left_out": left_out}, as_json=as_json)


def _figures(shape: "Shape") -> dict[str, int | float | None]:
    return {
        "queries": shape.queries,
        "documents": shape.documents,
        "pairs": shape.pairs,
        "degree_min": shape.degree_min,
        "degree_mean": shape.degree_mean,
        "degree_max": shape.degree_max,
        "diameter_max": shape.diameter_max,
    }
