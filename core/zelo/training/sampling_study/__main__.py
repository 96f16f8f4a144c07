"""The study as a command."""

import argparse
import csv
import itertools
from collections.abc import Sequence
from pathlib import Path

from zelo.training.sampling_study.chart import write_chart
from zelo.training.sampling_study.planted import planted_by_bm25, planted_normal
from zelo.training.sampling_study.simulation import MEASURES, Row, study


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m zelo.training.sampling_study")
    parser.add_argument("--out", type=Path, required=True, help="folder for table and chart")
    parser.add_argument("--collection", type=Path, help="BEIR folder; default: normal ratings")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.collection is None:
        planted = planted_normal(given.queries, given.documents, given.seed)
    else:
        planted = planted_by_bm25(given.collection, given.queries, given.documents)
    rows = list(study(planted, seed=given.seed))
    given.out.mkdir(parents=True, exist_ok=True)
    write_table(rows, given.out / "sampling.csv")
    write_chart(rows, given.out / "sampling.png")


def write_table(rows: Sequence[Row], path: Path) -> None:
    """Write a line for each row, a mean in three columns: itself and its interval's ends."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["noise", "size", *Row._fields[1:-1], *_columns()])
        for row in rows:
            means = [row.means.get(name, (None,) * 3) for name in MEASURES]
            table.writerow([*row.noise, *row[1:-1], *itertools.chain(*means)])


def _columns() -> list[str]:
    return [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")]


if __name__ == "__main__":
    main()
